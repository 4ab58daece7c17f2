//! The texts that trace and span ids are hashed from.
//!
//! `H(x)` is SHA-256 of the printable text `stepspan/1/` + x; ids are its first hex digits. The texts are printable so that
//! `sha256sum` or a Collector's OTTL can compute the same ids. The hash itself is the caller's (this crate has no dependencies).

/// What every hashed text begins with.
pub const PREFIX: &str = "stepspan/1/";

/// Trace id = first 32 hex digits of `H("trace/" + workflow UID)`.
///
/// Never the UUID's own bytes: their fixed version and variant bits break ratio samplers.
pub fn trace(workflow_uid: &str) -> String {
    format!("{PREFIX}trace/{workflow_uid}")
}

/// Workflow span id = first 16 hex digits of `H("workflow/" + UID)`.
pub fn workflow_span(workflow_uid: &str) -> String {
    format!("{PREFIX}workflow/{workflow_uid}")
}

/// Node span id = first 16 hex digits of `H("node/" + UID + "/" + node id)`.
pub fn node_span(workflow_uid: &str, node_id: &str) -> String {
    format!("{PREFIX}node/{workflow_uid}/{node_id}")
}

/// Step span id = first 16 hex digits of `H("step/" + UID + "/" + node id + "/" + pod UID + "/" + container + "/" + attempt)`;
/// `attempt` counts the runs of this container so far, decimal from 0.
pub fn step_span(workflow_uid: &str, node_id: &str, pod_uid: &str, container: &str, attempt: u32) -> String {
    format!("{PREFIX}step/{workflow_uid}/{node_id}/{pod_uid}/{container}/{attempt}")
}
