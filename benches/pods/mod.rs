//! The step pods that benches give to dry-run and its peers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stepspan::{
    admission::{Outcome, review},
    context::Context,
    policy::{PolicySet, compile::Rules},
};

/// How many there are.
pub const PODS: usize = 1000;

/// The recorded pods that the embedded policy injects, again and again, each with a name and in one of ten namespaces. They are made
/// manifests again: without `managedFields`, and without the token that the API server mounts into every container.
pub fn pods() -> Result<Vec<Value>> {
    let policies = PolicySet::embedded(&Rules::default()).ok().context("the embedded policy")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut recorded = Vec::new();
    for file in files.iter().filter(|file| file.to_string_lossy().ends_with("-pod.json")) {
        let bytes = fs::read(file)?;
        if review(&bytes, &policies, &Context::default()).outcome == Outcome::Injected {
            let mut pod = serde_json::from_slice::<Value>(&bytes)?["request"]["object"].take();
            pod["metadata"].as_object_mut().context("metadata")?.shift_remove("managedFields");
            without_token(&mut pod["spec"]);
            recorded.push(pod);
        }
    }
    ensure!(!recorded.is_empty(), "no recorded step pods");
    let renamed = (0..PODS).map(|i| {
        let mut pod = recorded[i % recorded.len()].clone();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        pod["metadata"]["name"] = format!("{name}-{i:04}").into();
        pod["metadata"]["namespace"] = format!("team-{}", i % 10).into();
        pod
    });
    Ok(renamed.collect())
}

fn without_token(spec: &mut Value) {
    let keep = |entries: &mut Value| {
        if let Value::Array(entries) = entries {
            entries.retain(|entry| !entry["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-")));
        }
    };
    keep(&mut spec["volumes"]);
    for kind in ["initContainers", "containers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(kind) {
            for container in containers {
                keep(&mut container["volumeMounts"]);
            }
        }
    }
}
