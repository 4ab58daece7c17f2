//! What is put into a pod.

pub mod reason;
