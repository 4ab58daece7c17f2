//! A template as Go's types write it: what they always have, and what `omitempty` leaves out.

use serde_json::{Map, Value, json};

use super::parameter::as_go_has_it;
use super::quantity::canonical;
use super::raw::{any_string, is_empty};

/// Fields that Go writes although nothing stands in them.
const ALWAYS: [&str; 3] = ["inputs", "outputs", "metadata"];

/// A template as the controller hands it to its executor in `ARGO_TEMPLATE`: without input parameters, and as Go's types write it.
pub fn handed_on(template: &Value) -> Value {
    let mut handed = Map::new();
    for (key, value) in template.as_object().into_iter().flatten() {
        if !is_empty(value) && !ALWAYS.contains(&key.as_str()) {
            handed.insert(key.clone(), pruned(value));
        }
    }
    for field in ALWAYS {
        let mut value = pruned(&template[field]);
        if value.is_null() {
            value = json!({});
        }
        if let (Value::Object(fields), "inputs") = (&mut value, field) {
            fields.shift_remove("parameters");
        }
        for parameter in value.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            *parameter = as_go_has_it(parameter);
        }
        handed.insert(field.to_owned(), value);
    }
    complete(&mut handed);
    Value::Object(handed)
}

/// Adds what has no `omitempty`, or is a struct and no pointer to one.
fn complete(handed: &mut Map<String, Value>) {
    let whole = |container: &mut Value| {
        default(container, "resources", json!({}));
        default(container, "name", "".into());
    };
    for field in ["container", "script"] {
        if let Some(container) = handed.get_mut(field).filter(|container| container.is_object()) {
            whole(container);
            if field == "script" {
                default(container, "source", "".into());
            }
        }
    }
    if let Some(members) = handed.get_mut("containerSet").and_then(|set| set["containers"].as_array_mut()) {
        members.iter_mut().for_each(whole);
    }
    for field in ["initContainers", "sidecars"] {
        if let Some(Value::Array(containers)) = handed.get_mut(field) {
            containers.iter_mut().for_each(whole);
        }
    }
    if let Some(memoize) = handed.get_mut("memoize") {
        default(memoize, "maxAge", "".into());
        default(&mut memoize["cache"]["configMap"], "key", "".into());
    }
    for field in ["inputs", "outputs"] {
        let artifacts = handed.get_mut(field).and_then(|all| all.get_mut("artifacts")).and_then(Value::as_array_mut);
        for auth in artifacts.into_iter().flatten().filter_map(|artifact| artifact.get_mut("http")?.get_mut("auth")) {
            for way in ["basicAuth", "clientCert", "oauth2"] {
                default(auth, way, json!({}));
            }
        }
    }
}

fn default(of: &mut Value, field: &str, value: Value) {
    if of[field].is_null() {
        of[field] = value;
    }
}

/// Texts that are kept although they are empty: Go has pointers to them.
const POINTERS: [&str; 3] = ["value", "default", "source"];
/// Maps that vanish where they are empty; other objects are pointers, which stay.
const MAPS: [&str; 8] =
    ["annotations", "labels", "nodeSelector", "matchLabels", "limits", "requests", "data", "arguments"];
/// Booleans that vanish where they are false; others are pointers, which stay.
const PLAIN_BOOLEANS: [&str; 14] = [
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
    "setOwnerReference",
    "clusterScope",
    "recurseMode",
    "deleted",
    "insecureSkipVerify",
    "hostNetwork",
    "failed",
    "error",
    "useSDKCreds",
    "enableEncryption",
];

fn quantity(value: &Value) -> Value {
    any_string(value).map_or(Value::Null, |text| canonical(&text).into())
}

/// Quantities as Go writes them, also those that are written as numbers.
fn quantities(of: &Value) -> Value {
    let all = of.as_object().into_iter().flatten();
    all.map(|(name, of)| (name.clone(), quantity(of))).collect::<Map<_, _>>().into()
}

/// Without what `omitempty` leaves out.
pub(super) fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, value) in map {
                let gone = match value {
                    Value::Null => true,
                    Value::String(text) => text.is_empty() && !POINTERS.contains(&key.as_str()),
                    Value::Array(list) => list.is_empty(),
                    Value::Object(map) => map.is_empty() && MAPS.contains(&key.as_str()),
                    Value::Bool(false) => PLAIN_BOOLEANS.contains(&key.as_str()),
                    _ => false,
                };
                if !gone {
                    let value = match key.as_str() {
                        "limits" | "requests" => quantities(value),
                        "sizeLimit" | "divisor" => quantity(value),
                        _ => pruned(value),
                    };
                    kept.insert(key.clone(), value);
                }
            }
            Value::Object(kept)
        }
        Value::Array(list) => list.iter().map(pruned).collect(),
        other => other.clone(),
    }
}
