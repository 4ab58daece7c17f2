//! Strategic merge (`StrategicMergePatch` of `k8s.io/apimachinery/pkg/util/strategicpatch`), as Argo merges template defaults, a
//! WorkflowTemplate into a Workflow, and `podSpecPatch` into a pod.

use serde_json::{Map, Value};

/// Lists that are merged, and the key of their elements (`patchMergeKey` in `k8s.io/api/core/v1` and Argo's `workflow_types.go`).
const MERGED: [(&str, &str); 19] = [
    ("artifacts", "name"),
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("parameters", "name"),
    ("ports", "containerPort"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("secrets", "name"),
    ("sidecars", "name"),
    ("tasks", "name"),
    ("templates", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// What a patch is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// A Workflow or a template: its `tolerations` are merged by their key.
    Argo,
    /// A pod's spec: they are replaced.
    PodSpec,
}

/// `original` with `patch` over it: maps are merged, null deletes, lists are merged by key or replaced.
pub fn merge(original: &Value, patch: &Value, into: Into) -> Value {
    match (original, patch) {
        (Value::Object(original), Value::Object(patch)) => Value::Object(maps(original, patch, into)),
        _ => patch.clone(),
    }
}

fn maps(original: &Map<String, Value>, patch: &Map<String, Value>, into: Into) -> Map<String, Value> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("delete") => return Map::new(),
        Some("replace") => {
            return patch.iter().filter(|(key, _)| *key != "$patch").map(|(k, v)| (k.clone(), v.clone())).collect();
        }
        _ => {}
    }
    let mut merged = original.clone();
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        merged.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, change) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        let value = match (original.get(key), change) {
            (_, Value::Null) => {
                merged.shift_remove(key);
                continue;
            }
            (Some(Value::Object(from)), Value::Object(to)) => Value::Object(maps(from, to, into)),
            (Some(Value::Array(from)), Value::Array(to)) => match merge_key(key, into) {
                Some(by) => lists(from, to, by, into),
                None => change.clone(),
            },
            _ => without_nulls(change),
        };
        merged.insert(key.clone(), value);
    }
    merged
}

fn merge_key(list: &str, into: Into) -> Option<&'static str> {
    if list == "tolerations" {
        return (into == Into::Argo).then_some("key");
    }
    MERGED.iter().find(|(name, _)| *name == list).map(|(_, by)| *by)
}

/// A patch's own directives and deletions say nothing where there is nothing to change.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, value)| !value.is_null() && !key.starts_with('$'));
            kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// Merges by key; new elements of the patch come before those of the original that it does not name.
fn lists(original: &[Value], patch: &[Value], by: &str, into: Into) -> Value {
    if patch.iter().any(|item| item["$patch"] == "replace" && item.get(by).is_none()) {
        return patch.iter().filter(|item| item["$patch"] != "replace").cloned().collect();
    }
    let same = |left: &Value, right: &Value| !left[by].is_null() && left[by] == right[by];
    let deleted = |item: &Value| patch.iter().any(|change| change["$patch"] == "delete" && same(change, item));
    let mut kept = original.iter().filter(|item| !deleted(item)).peekable();
    let place = |item: &Value| original.iter().position(|known| same(known, item));
    let mut all = Vec::new();
    let mut named = kept.by_ref().filter(|item| !patch.iter().any(|change| same(change, item))).peekable();
    let mut changes = patch.iter().filter(|item| item["$patch"] != "delete").peekable();
    // `mergeSortedSlice`: an element of the original goes first only before one that stood behind it.
    loop {
        let first = match (named.peek(), changes.peek()) {
            (Some(item), Some(change)) => {
                matches!((place(item), place(change)), (Some(item), Some(change)) if item < change)
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return all.into(),
        };
        if first {
            all.extend(named.next().cloned());
        } else if let Some(change) = changes.next() {
            let known = original.iter().find(|item| same(item, change));
            all.push(known.map_or_else(|| without_nulls(change), |known| merge(known, change, into)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(original: &Value, patch: &Value) -> Value {
        merge(original, patch, Into::PodSpec)
    }

    /// Answers of `strategicpatch.StrategicMergePatch` with a `PodSpec`.
    #[test]
    fn as_kubernetes_merges() {
        let pod = json!({"containers": [{"name": "wait", "env": [{"name": "A", "value": "1"}]}, {"name": "main", "args": ["x", "y"]}],
            "tolerations": [{"key": "a"}], "nodeSelector": {"a": "1"}, "priority": 1});
        for (patch, expected) in [
            (
                json!({"priority": null, "nodeSelector": {"b": "2"}}),
                json!({"containers": pod["containers"], "tolerations": [{"key": "a"}], "nodeSelector": {"a": "1", "b": "2"}}),
            ),
            (
                json!({"tolerations": [{"key": "b"}]}),
                json!({"containers": pod["containers"], "tolerations": [{"key": "b"}], "nodeSelector": {"a": "1"}, "priority": 1}),
            ),
        ] {
            assert_eq!(patched(&pod, &patch), expected, "{patch}");
        }
        let containers = |patch: Value| {
            let merged = patched(&pod, &json!({"containers": patch}));
            let name = |c: &Value| c["name"].as_str().unwrap().to_owned();
            merged["containers"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(containers(json!([{"name": "main", "image": "b"}])), ["wait", "main"]);
        assert_eq!(containers(json!([{"name": "extra"}])), ["extra", "wait", "main"]);
        assert_eq!(containers(json!([{"name": "main"}, {"name": "extra"}])), ["wait", "main", "extra"]);
        assert_eq!(containers(json!([{"name": "main"}, {"name": "wait"}])), ["main", "wait"]);
        assert_eq!(containers(json!([{"name": "wait", "$patch": "delete"}])), ["main"]);
        let env = json!({"containers": [{"name": "wait", "env": [{"name": "A", "value": "2"}, {"name": "B"}]}]});
        assert_eq!(patched(&pod, &env)["containers"][0]["env"], json!([{"name": "A", "value": "2"}, {"name": "B"}]));
        let args = json!({"containers": [{"name": "main", "args": ["z"]}]});
        assert_eq!(patched(&pod, &args)["containers"][1]["args"], json!(["z"]));
    }
}
