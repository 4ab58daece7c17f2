//! The self-check of a patch (law 8): what the API server would refuse, we never answer.
//!
//! Checked is what the patch brings in, against what the pod has; the pod's own faults are its own. Follows
//! `ValidatePodCreate` of `k8s.io/kubernetes/pkg/apis/core/validation`. That the patch applies is proven by applying it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::json::{Json, Object, unescape};
use crate::patch::{Action, Op};
use crate::policy::syntax::{is_dns_subdomain, is_env_name, is_label_value, is_qualified_name};

/// All annotations together, keys and values (`TotalAnnotationSizeLimitB`).
const MAX_ANNOTATIONS: usize = 256 * 1024;
/// So many names are compared one by one; a real pod has no more.
const FEW: usize = 16;

/// The first reason why the patched object could be refused where the object itself is not; `None` where there is none.
pub fn fault(object: &Json<'_>, ops: &[Op]) -> Option<String> {
    let mut brought = Vec::with_capacity(ops.len());
    for op in ops {
        list(op, &mut brought);
    }
    metadata_fault(object, &brought)
        .or_else(|| names_fault(object, &brought))
        .or_else(|| brought.iter().filter(|b| b.is_in("/env")).find_map(env_fault))
        .or_else(|| mounts_fault(object, &brought))
}

/// One thing that a patch brings in: a map's entry or a list's item.
struct Brought<'a> {
    /// Pointer of the map or list.
    parent: &'a str,
    /// The entry's key; empty for an item.
    key: Cow<'a, str>,
    value: &'a Json<'static>,
}

impl Brought<'_> {
    /// Whether it is an item of a container's list, such as `/env`.
    fn is_in(&self, list: &str) -> bool {
        self.parent.ends_with(list) && self.parent.starts_with("/spec/containers/")
    }
}

/// Lists what an operation brings in; a whole map or list counts as its entries.
fn list<'a>(op: &'a Op, brought: &mut Vec<Brought<'a>>) {
    let (Action::Add(value) | Action::Replace(value)) = &op.action else { return };
    let parent = op.path.as_str();
    match value {
        Json::Object(entries) if is_whole(parent) => {
            brought.extend(entries.iter().map(|(key, value)| Brought { parent, key: key.into(), value }));
        }
        Json::Array(items) if is_whole(parent) => {
            brought.extend(items.iter().map(|value| Brought { parent, key: "".into(), value }));
        }
        _ => {
            if let Some((parent, key)) = op.path.rsplit_once('/') {
                brought.push(Brought { parent, key: unescape(key), value });
            }
        }
    }
}

/// Whether a pointer leads to a map or list that is checked by its entries.
fn is_whole(path: &str) -> bool {
    matches!(path, "/metadata/labels" | "/metadata/annotations" | "/spec/volumes" | "/spec/initContainers")
        || ["/env", "/volumeMounts"].iter().any(|list| path.ends_with(list))
}

fn metadata_fault(object: &Json<'_>, brought: &[Brought<'_>]) -> Option<String> {
    let existing = object["metadata"]["annotations"].as_object();
    let length = |value: &Json<'_>| value.as_str().map_or(0, str::len);
    let before: usize = existing.into_iter().flat_map(Object::iter).map(|(key, value)| key.len() + length(value)).sum();
    let mut added = 0;
    for entry in brought {
        let fits: fn(&str) -> bool = match entry.parent {
            "/metadata/labels" => is_label_value,
            "/metadata/annotations" => |_| true,
            _ => continue,
        };
        if !is_qualified_name(&entry.key) || !entry.value.as_str().is_some_and(fits) {
            return Some(format!("{}: {} is not well-formed", entry.parent, entry.key));
        }
        if entry.parent == "/metadata/annotations" {
            added += entry.key.len() + length(entry.value);
        }
    }
    (added > 0 && before + added > MAX_ANNOTATIONS).then(|| "annotations would be over 256 KiB".to_owned())
}

/// Volumes, and containers of both lists, have names of their own.
fn names_fault(object: &Json<'_>, brought: &[Brought<'_>]) -> Option<String> {
    let own = |list: &str| object["spec"][list].as_array().unwrap_or(&[]).iter();
    let of = |parent: &'static str| brought.iter().filter(move |b| b.parent == parent).map(|b| b.value);
    let volumes = repeated(own("volumes").chain(of("/spec/volumes")), "name");
    let containers = own("initContainers").chain(own("containers")).chain(of("/spec/initContainers"));
    let name = volumes.or_else(|| repeated(containers, "name"))?;
    Some(format!("the name {name} would stand twice"))
}

fn env_fault(entry: &Brought<'_>) -> Option<String> {
    let name = entry.value["name"].as_str().filter(|n| is_env_name(n));
    let secret = entry.value["valueFrom"]["secretKeyRef"]["name"].as_str();
    let fits = name.is_some() && secret.is_none_or(is_dns_subdomain);
    (!fits)
        .then(|| format!("{}: {} is not well-formed", entry.parent, entry.value["name"].as_str().unwrap_or_default()))
}

fn mounts_fault(object: &Json<'_>, brought: &[Brought<'_>]) -> Option<String> {
    let mut done = "";
    for entry in brought.iter().filter(|b| b.is_in("/volumeMounts")) {
        // The mounts of one container stand together.
        if std::mem::replace(&mut done, entry.parent) == entry.parent {
            continue;
        }
        let own = object.pointer(entry.parent).and_then(Json::as_array).unwrap_or(&[]);
        let ours = brought.iter().filter(|b| b.parent == entry.parent).map(|b| b.value);
        if let Some(path) = repeated(own.iter().chain(ours), "mountPath") {
            return Some(format!("the mount path {path} would stand twice"));
        }
    }
    None
}

/// A value of a field that two of the things share.
fn repeated<'a>(things: impl Iterator<Item = &'a Json<'a>>, field: &str) -> Option<&'a str> {
    let mut few = Vec::with_capacity(FEW);
    let mut more = BTreeSet::new();
    for value in things.filter_map(|thing| thing[field].as_str()) {
        if few.contains(&value) || more.contains(value) {
            return Some(value);
        }
        if few.len() < FEW {
            few.push(value);
        } else {
            more.insert(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_api_server_would_refuse_is_a_fault() {
        let pod = json!({
            "metadata": {"annotations": {"a": "x".repeat(MAX_ANNOTATIONS - 11)}},
            "spec": {"volumes": [{"name": "v"}], "containers": [{"name": "c", "volumeMounts": [{"mountPath": "/m"}]}]},
        });
        for (op, expected) in [
            (Op::add("/metadata/labels", json!({"k": "not a label"})), Some("k is not")),
            (Op::add("/metadata/labels/a~1b~1c", json!("x")), Some("a/b/c is not")),
            (Op::add("/metadata/annotations/b", json!("123456789")), None),
            (Op::add("/metadata/annotations/b", json!("1234567890")), Some("256 KiB")),
            (Op::add("/spec/volumes/-", json!({"name": "v"})), Some("name v")),
            (Op::add("/spec/initContainers", json!([{"name": "c"}])), Some("name c")),
            (Op::add("/spec/containers/0/volumeMounts/-", json!({"mountPath": "/m"})), Some("mount path /m")),
            (Op::add("/spec/containers/0/env", json!([{"name": "1x"}])), Some("1x")),
            (Op::add("/spec/containers/0/env", json!([{"name": "X", "value": "$(Y)"}])), None),
        ] {
            let fault = fault(&Json::from(&pod), std::slice::from_ref(&op));
            assert_eq!(fault.is_some(), expected.is_some(), "{op:?}: {fault:?}");
            assert!(fault.zip(expected).is_none_or(|(fault, part)| fault.contains(part)), "{op:?}");
        }
    }
}
