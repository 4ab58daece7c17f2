//! What Argo Workflows writes into pods and Workflows, and what can be proven from it.

pub mod expand;
pub mod names;
pub mod node_name;
pub mod step;
pub mod template;

pub use step::{Container, Layout, PodKind, Role, StepPod};
