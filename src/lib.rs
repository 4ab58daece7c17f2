//! stepspan makes every Argo Workflows step a span, by declarative policy, without editing a workflow.
//!
//! Data goes one way: bytes -> [`admission`] -> pod -> [`policy`] -> [`inject`] -> patch -> response bytes.

pub mod admission;
#[cfg(feature = "webhook")]
pub mod cli;
#[cfg(feature = "webhook")]
pub mod config;
pub mod context;
pub mod inject;
pub mod policy;
pub mod source;
#[cfg(feature = "webhook")]
pub mod telemetry;
#[cfg(feature = "webhook")]
pub mod webhook;
