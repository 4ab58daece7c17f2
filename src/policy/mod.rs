//! Policies.

pub mod expr;

/// All policies in force.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {}
