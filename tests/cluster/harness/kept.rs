//! Ended Workflows, kept as the input of tests without a cluster (`make record-runs`).

use std::{env, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::namespace::Namespace;

/// With `STEPSPAN_RECORD_RUNS=<folder>`, what a sample left is kept there: its Workflow as it was stored in the end in `LEVEL-STEM.json`, in
/// `LEVEL-STEM-pods.json` its pods too. Only files that are there are written anew.
pub fn run(level: &str, stem: &str, namespace: &Namespace<'_>, ended: &Value) -> Result<()> {
    let Some(folder) = env::var_os("STEPSPAN_RECORD_RUNS") else { return Ok(()) };
    let path = |part: &str| Path::new(&folder).join(format!("{level}-{stem}{part}.json"));
    let mut workflow = ended.clone();
    plain(&mut workflow, "Workflow");
    keep(&path(""), &workflow)?;
    let with_pods = path("-pods");
    if with_pods.exists() {
        let mut items = namespace.list("pods")?;
        for pod in &mut items {
            plain(pod, "Pod");
        }
        items.insert(0, workflow);
        keep(&with_pods, &json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))?;
    }
    Ok(())
}

/// As kubectl prints an object.
fn plain(object: &mut Value, kind: &str) {
    object["kind"] = kind.into();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

fn keep(path: &Path, object: &Value) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(object)? + "\n";
    fs::write(path, text).with_context(|| path.display().to_string())
}
