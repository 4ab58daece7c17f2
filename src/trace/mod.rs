//! What happened in a run: a Workflow as the API server stores it -> nodes -> a tree -> spans.
//!
//! Read in that order: [`status`] (with [`node`], [`phase`], `loose` and `packed`), [`tree`], [`spans`] (with [`outcome`], [`pod`], [`kept`], [`values`] and [`span`]).
//! `stepspan trace` draws the tree and exports the spans, `stepspan watch` sends them.
//!
//! Invariants:
//! - Spans are a function of the Workflow and what is [`spans::Known`] of it: no clock, no cluster. One that is made twice is the
//!   same, so what may not have arrived can be sent again.
//! - Every span's parent is among the spans of its run, or the trace that its policy joins.
//! - Of what is not needed, or has another form than Argo's, nothing is kept, and it hinders nothing that is.
//! - A status that somebody wrote by hand, with circles or without an end, gives a tree too.

pub mod kept;
pub(crate) mod loose;
mod moments;
pub mod node;
pub mod otlp;
pub mod outcome;
mod packed;
pub mod phase;
pub mod pod;
pub mod span;
pub mod spans;
pub mod status;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod values;

pub use spans::{Known, Spans};
pub use status::{Run, Unreadable};
pub use tree::Tree;
