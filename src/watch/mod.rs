//! `stepspan watch`: the spans of Workflows and their nodes as they end, and the metrics of steps, counted once each.
//!
//! Data goes one way: `follow` (two watches: Workflows and step pods) -> [`seen`] (every Workflow that exists; each is `watched`: what of it has
//! ended, and was not counted, and was not sent) -> for spans `deliver` (a bounded queue, retries; `otlp` is the wire), and `seen` again (what has arrived);
//! for counts [`ledger`] ([`counts`] by label; [`marks`], of which nodes they are; [`kept`], of which pods) -> `store` (ConfigMaps) -> `steps` (what may be shown: as text by `exposition`, as OTLP by `otlp`). `lead` is the loop that
//! does it, on the replica that holds the Lease; [`run`] puts it together; `health` and `metrics` tell of it. `coverage` hears of pods besides:
//! which were injected, and why others were not.
//!
//! Invariants:
//! - **At least once** is a span sent. What is in the queue is bounded; what did not fit is made again from its Workflow: spans are a function
//!   of it ([`crate::trace`]), with the same ids each time.
//! - **Exactly once** is a step counted. It is put into the ledger, the ledger is stored, and only then it is shown; whoever dies in between
//!   has shown no more than the next holder finds. Nodes and the sums that came of them are in one object, written whole.
//! - A write names the version it is based on: a holder that lost the Lease and does not know it stops at its next write.
//! - Nothing is written to Workflows or pods.

pub mod config;
pub mod counts;
mod coverage;
mod deliver;
mod exposition;
mod follow;
mod health;
pub mod kept;
mod lead;
pub mod ledger;
mod lists;
pub mod marks;
pub mod metrics;
mod objects;
mod otlp;
mod own;
mod push;
pub mod run;
pub mod seen;
mod steps;
mod store;
mod tasks;
#[cfg(test)]
mod tests;
mod watched;
