use anyhow::Result;
use serde_json::Value;

use crate::harness::{Cluster, namespace::Namespace};

pub fn spans_of(cluster: &Cluster, namespace: &Namespace<'_>, workflow: &Value) -> Result<()> {
    let uid = workflow["metadata"]["uid"].as_str().unwrap_or_default();
    let _ = (cluster.node()?, namespace, uid);
    Ok(())
}
