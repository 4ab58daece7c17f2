//! Several policies for one pod: merged leaf by leaf in order, the first writer of a key wins.
//!
//! The merge works on the JSON form, so that it has no list of fields to forget: objects are merged key by key, everything
//! else (text, number, list) is a leaf. `env.set` is a list of named things and is merged by name. `match`, `priority` and
//! `optOut` belong to each policy alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::spec::Spec;

/// Who wrote a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The policy whose value counts.
    pub policy: String,
    /// Policies that wrote another value and lost.
    pub over: Vec<String>,
}

/// The result of a merge: the spec, and the writer of each leaf by field path.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The merged spec.
    pub spec: Spec,
    /// Writers by path, such as `otlp.endpoint`, `env.set.OTEL_LOGS_EXPORTER`.
    pub writers: BTreeMap<String, Writer>,
}

/// Merges specs, highest priority first.
///
/// # Errors
/// Never for specs that were read from policies: the merged form has only fields that one of them had.
pub fn merge<'a>(layers: impl Iterator<Item = (&'a str, &'a Spec)>) -> Result<Merged, serde_json::Error> {
    let mut merged = Map::new();
    let mut writers = BTreeMap::new();
    for (name, spec) in layers {
        merge_object(&mut merged, layer(spec)?, name, "", &mut writers);
    }
    unname_list(&mut merged);
    Ok(Merged { spec: serde_json::from_value(Value::Object(merged))?, writers })
}

/// What a policy writes: each leaf by its field path.
///
/// # Errors
/// Never for a spec that was read from a policy.
pub fn leaves(spec: &Spec) -> Result<BTreeMap<String, Value>, serde_json::Error> {
    fn flat(fields: Map<String, Value>, at: &str, into: &mut BTreeMap<String, Value>) {
        for (key, value) in fields {
            let path = if at.is_empty() { key } else { format!("{at}.{key}") };
            match value {
                Value::Object(fields) => flat(fields, &path, into),
                leaf => drop(into.insert(path, leaf)),
            }
        }
    }
    let mut into = BTreeMap::new();
    flat(layer(spec)?, "", &mut into);
    Ok(into)
}

/// A spec without what belongs to its policy alone.
fn layer(spec: &Spec) -> Result<Map<String, Value>, serde_json::Error> {
    let Value::Object(mut layer) = serde_json::to_value(spec)? else { return Ok(Map::new()) };
    for own in ["match", "priority", "optOut"] {
        layer.remove(own);
    }
    name_list(&mut layer);
    Ok(layer)
}

fn merge_object(
    into: &mut Map<String, Value>,
    layer: Map<String, Value>,
    policy: &str,
    at: &str,
    writers: &mut BTreeMap<String, Writer>,
) {
    for (key, value) in layer {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match (into.get_mut(&key), value) {
            (Some(Value::Object(existing)), Value::Object(fields)) => {
                merge_object(existing, fields, policy, &path, writers);
            }
            (None, Value::Object(fields)) => {
                let mut fresh = Map::new();
                merge_object(&mut fresh, fields, policy, &path, writers);
                into.insert(key, Value::Object(fresh));
            }
            (None, leaf) => {
                writers.insert(path, Writer { policy: policy.to_owned(), over: Vec::new() });
                into.insert(key, leaf);
            }
            (Some(existing), leaf) if *existing != leaf => {
                if let Some(writer) = writers.get_mut(&path) {
                    writer.over.push(policy.to_owned());
                }
            }
            _ => {}
        }
    }
}

/// `env.set` as an object by name, each entry a leaf-bearing object of its own.
fn name_list(layer: &mut Map<String, Value>) {
    if let Some(set) = layer.get_mut("env").and_then(|env| env.get_mut("set")) {
        let entries = set.as_array_mut().map(std::mem::take).unwrap_or_default();
        // One entry is one leaf (a list of one), so that value and onConflict never come from two policies.
        let named =
            entries.into_iter().filter_map(|e| Some((e.get("name")?.as_str()?.to_owned(), Value::Array(vec![e]))));
        *set = Value::Object(named.collect());
    }
}

fn unname_list(merged: &mut Map<String, Value>) {
    if let Some(set) = merged.get_mut("env").and_then(|env| env.get_mut("set")) {
        let entries = set.as_object_mut().map(std::mem::take).unwrap_or_default();
        *set = entries.into_iter().flat_map(|(_, e)| e.as_array().cloned().unwrap_or_default()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: Value) -> Spec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_first_writer_of_each_leaf_wins_and_is_named() {
        let high = spec(serde_json::json!({
            "priority": 10, "otlp": {"endpoint": "http://a:4317"},
            "env": {"set": [{"name": "OTEL_X", "value": "1"}]},
            "correlation": {"repo": {"label": "repo"}},
        }));
        let low = spec(serde_json::json!({
            "otlp": {"endpoint": "http://b:4317", "protocol": "grpc"},
            "env": {"set": [{"name": "OTEL_X", "value": "2", "onConflict": "override"}, {"name": "OTEL_Y", "value": "3"}]},
            "correlation": {"repo": {"label": "other", "from": [{"label": "r"}]}},
        }));
        let merged = merge([("high", &high), ("low", &low)].into_iter()).unwrap();
        assert_eq!(merged.spec.otlp.endpoint.as_deref(), Some("http://a:4317"));
        assert!(merged.spec.otlp.protocol.is_some());
        assert_eq!(merged.spec.env.set.len(), 2);
        assert_eq!(merged.spec.env.set[0].value, "1");
        assert_eq!(merged.spec.env.set[0].on_conflict, None);
        assert_eq!(merged.spec.correlation["repo"].label.as_deref(), Some("repo"));
        assert!(merged.spec.correlation["repo"].from.is_some());
        let endpoint = &merged.writers["otlp.endpoint"];
        assert_eq!((endpoint.policy.as_str(), endpoint.over.as_slice()), ("high", ["low".to_owned()].as_slice()));
        assert_eq!(merged.writers["correlation.repo.from"].policy, "low");
        assert_eq!(merged.spec.priority, None);
    }

    #[test]
    fn one_policy_alone_is_itself() {
        let alone = spec(serde_json::json!({"environment": "prod", "labels": {"a": "b"}}));
        let merged = merge(std::iter::once(("p", &alone))).unwrap();
        assert_eq!(merged.spec, alone);
    }
}
