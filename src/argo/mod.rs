//! What Argo Workflows writes into pods and Workflows, and what can be proven from it.

pub mod expand;
pub mod names;
mod node_name;
mod step;
mod template;

pub use step::{Container, Layout, PodKind, Role, StepPod};
