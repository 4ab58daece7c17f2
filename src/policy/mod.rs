//! Policies: what to inject where.
//!
//! As written ([`spec`]) -> checked, every mistake at once ([`check`] for the shape, [`compile`] for the meaning) -> a
//! [`PolicySet`] -> for one pod the matching policies, merged leaf by leaf ([`merge`]) and filled with defaults
//! ([`effective`]) -> the correlation values ([`value`]).
//!
//! Invariants: a policy holds no power (no network, no cluster reads, no secrets, no shell); whatever is expensive or can fail
//! is done when policies are loaded; an expression that fails makes its policy not match, never an error of the pod.

pub mod check;
pub mod compile;
pub mod crd;
pub mod effective;
pub mod expr;
pub mod load;
pub mod merge;
pub mod selector;
mod set;
pub mod spec;
pub mod syntax;
pub mod value;

pub use load::{LoadErrors, PolicyError};
pub use set::{Mismatch, Policy, PolicySet, Selection};
pub(crate) use set::{named, referenced};
