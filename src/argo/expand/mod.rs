//! From a Workflow to the pods that Argo's controller would create.
//!
//! [`node`] names nodes and pods, [`replace`] puts values in the place of `{{...}}`, [`items`] unrolls loops, [`condition`] judges `when`.

pub mod condition;
pub mod items;
pub mod node;
pub mod replace;
