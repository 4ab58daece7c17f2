//! stepspan makes every Argo Workflows step a span, by declarative policy, without editing a workflow.
//!
//! Data goes one way: bytes -> [`admission`] -> [`argo::StepPod`] -> [`policy`] -> [`inject`] -> [`mod@patch`] -> response bytes.
//! All of that is the pure core: it and its tests build with `--no-default-features`, so the compiler keeps it free of servers and
//! clients.

pub mod admission;
pub mod argo;
#[cfg(feature = "webhook")]
pub mod breaker;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "webhook")]
pub mod cluster;
#[cfg(feature = "webhook")]
pub mod config;
pub mod context;
#[cfg(feature = "webhook")]
pub mod coverage;
#[cfg(feature = "webhook")]
pub mod doctor;
pub mod identity;
pub mod inject;
pub mod json;
pub mod lint;
pub mod offline;
pub mod patch;
pub mod policy;
pub mod record;
pub mod source;
pub mod suite;
#[cfg(feature = "webhook")]
pub mod telemetry;
pub mod text;
#[cfg(feature = "cli")]
pub mod trace;
#[cfg(feature = "webhook")]
pub mod watch;
#[cfg(feature = "webhook")]
pub mod webhook;
pub mod yaml;
