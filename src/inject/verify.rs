//! The self-check of a patched pod (law 8): what the API server would refuse, we never answer.
//!
//! Checked is only what our patch can have caused; the pod's own faults are its own. Follows `ValidatePodCreate` of
//! `k8s.io/kubernetes/pkg/apis/core/validation`.

use std::collections::BTreeSet;

use serde_json::Value;
use stepspan_contract::names;

use crate::policy::syntax::{is_dns_subdomain, is_env_name, is_label_value, is_qualified_name};

/// All annotations together, keys and values (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The first reason why a patched pod could be refused where the pod itself was not; `None` where there is none.
pub fn fault(before: &Value, after: &Value) -> Option<String> {
    metadata_fault(before, after).or_else(|| spec_fault(before, after))
}

fn metadata_fault(before: &Value, after: &Value) -> Option<String> {
    for (field, fits_value) in [("labels", is_label_value as fn(&str) -> bool), ("annotations", |_| true)] {
        let old = &before["metadata"][field];
        for (key, value) in after["metadata"][field].as_object().into_iter().flatten() {
            if old.get(key) == Some(value) {
                continue;
            }
            if !is_qualified_name(key) || !value.as_str().is_some_and(fits_value) {
                return Some(format!("{field}: {key} is not well-formed"));
            }
        }
    }
    let size = |pod: &Value| -> usize {
        let entries = pod["metadata"]["annotations"].as_object().into_iter().flatten();
        entries.map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum()
    };
    (size(after) > MAX_ANNOTATIONS && size(before) <= MAX_ANNOTATIONS)
        .then(|| "annotations are over 256 KiB".to_owned())
}

fn spec_fault(before: &Value, after: &Value) -> Option<String> {
    let (old, new) = (&before["spec"], &after["spec"]);
    let names_of = |field: &'static str| items(new, field).filter_map(|x| x["name"].as_str());
    let containers = names_of("initContainers").chain(names_of("containers"));
    if let Some(name) = repeated(containers).or_else(|| repeated(names_of("volumes"))) {
        return Some(format!("the name {name} stands twice"));
    }
    let volumes: BTreeSet<&str> = names_of("volumes").collect();
    for container in items(new, "initContainers").chain(items(new, "containers")) {
        let changed = !items(old, "initContainers").chain(items(old, "containers")).any(|o| o == container);
        if changed && let Some(fault) = container_fault(container, &volumes) {
            return Some(format!("container {}: {fault}", container["name"]));
        }
    }
    None
}

fn container_fault(container: &Value, volumes: &BTreeSet<&str>) -> Option<String> {
    let mounts = || items(container, "volumeMounts");
    if let Some(path) = repeated(mounts().filter_map(|m| m["mountPath"].as_str())) {
        return Some(format!("the mount path {path} stands twice"));
    }
    let ours = |m: &&Value| m["name"].as_str().is_some_and(|n| n.starts_with(names::VOLUME));
    if mounts().filter(ours).any(|m| m["name"].as_str().is_some_and(|n| !volumes.contains(n))) {
        return Some("a mount of ours has no volume".to_owned());
    }
    let ours =
        |e: &&Value| e["name"].as_str().is_some_and(|n| n.starts_with("OTEL_") || n.starts_with(names::PRIVATE_PREFIX));
    for entry in items(container, "env").filter(ours) {
        if !entry["name"].as_str().is_some_and(is_env_name) {
            return Some(format!("env: {} is not well-formed", entry["name"]));
        }
        let secret = &entry["valueFrom"]["secretKeyRef"]["name"];
        if secret.as_str().is_some_and(|s| !is_dns_subdomain(s)) {
            return Some(format!("env: {secret} is no Secret"));
        }
    }
    None
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
