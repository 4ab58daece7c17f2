//! stepspan makes every Argo Workflows step a span, by declarative policy, without editing a workflow.
//!
//! Data goes one way: bytes -> [`admission`] -> pod -> [`policy`] -> [`inject`] -> patch -> response bytes.

pub mod admission;
pub mod context;
pub mod inject;
pub mod policy;
pub mod yaml;
