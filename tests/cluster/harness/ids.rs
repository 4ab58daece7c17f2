//! Trace and span ids by design's formulas, independently of the code under test.

use anyhow::{Context, Result};
use serde_json::Value;

use super::digest::sha256;

/// The first digits of design's `H`.
pub fn h(of: &str, digits: usize) -> String {
    sha256(format!("stepspan/1/{of}").as_bytes())[..digits].to_owned()
}

/// The trace of a workflow.
pub fn trace_id(workflow: &Value) -> Result<String> {
    let uid = workflow["metadata"]["uid"].as_str().context("a workflow without a UID")?;
    Ok(h(&format!("trace/{uid}"), 32))
}
