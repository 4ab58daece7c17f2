//! What is put into a pod: labels and annotations, environment, init container, entrypoint; and what a Workflow carries to it.
//!
//! [`plan::plan`] decides and lists the operations; nothing here touches the pod itself. Invariants: the words up to emissary's `--` and the
//! user's argv after it stay identical; what is written from outside has every `$` doubled; existing labels are never changed; a second
//! look at the result plans nothing.

pub mod carrier;
pub(crate) mod entrypoint;
pub(crate) mod env;
pub(crate) mod init_container;
mod labels;
pub(crate) mod placement;
pub mod plan;
pub(crate) mod quantity;
pub mod reason;
mod trace;
pub mod undo;
pub mod verify;
