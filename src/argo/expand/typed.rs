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
            handed.insert(key.clone(), field(key, value));
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
/// Lists whose items have a plain text `value`, which vanishes where it is empty.
const PLAIN_VALUES: [&str; 3] = ["env", "tolerations", "headers"];
/// Maps of texts: an entry stays, empty or not.
const TEXTS: [&str; 4] = ["annotations", "labels", "nodeSelector", "matchLabels"];
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

/// The value of a field, without what `omitempty` leaves out of it.
fn field(key: &str, value: &Value) -> Value {
    match key {
        "limits" | "requests" => quantities(value),
        "sizeLimit" | "divisor" => quantity(value),
        key if TEXTS.contains(&key) => texts(value),
        key if PLAIN_VALUES.contains(&key) => without_empty_values(value),
        _ => pruned(value),
    }
}

/// A map of Go's `map[string]string`.
fn texts(of: &Value) -> Value {
    let all = of.as_object().into_iter().flatten();
    let entry = |(name, text): (&String, &Value)| (name.clone(), if text.is_null() { "".into() } else { text.clone() });
    all.map(entry).collect::<Map<_, _>>().into()
}

fn without_empty_values(list: &Value) -> Value {
    let mut list = pruned(list);
    for item in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if item.get("value").is_some_and(|value| *value == "") {
            item.shift_remove("value");
        }
    }
    list
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
                    kept.insert(key.clone(), field(key, value));
                }
            }
            Value::Object(kept)
        }
        Value::Array(list) => list.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `map[string]string` keeps its entries; the `value` of a variable and of a toleration is a text, that of a parameter a pointer.
    #[test]
    fn what_is_empty_stays_where_go_has_a_map_or_a_pointer() {
        let template = json!({
            "name": "",
            "nodeSelector": {"node-role.kubernetes.io/build": ""},
            "metadata": {"annotations": {"a": ""}, "labels": {}},
            "tolerations": [{"key": "k", "value": ""}],
            "outputs": {"parameters": [{"name": "o", "value": ""}]},
            "container": {"env": [{"name": "A", "value": ""}], "workingDir": "", "image": "i"},
        });
        let expected = json!({
            "nodeSelector": {"node-role.kubernetes.io/build": ""},
            "tolerations": [{"key": "k"}],
            "container": {"env": [{"name": "A"}], "image": "i", "resources": {}, "name": ""},
            "inputs": {},
            "outputs": {"parameters": [{"name": "o", "value": ""}]},
            "metadata": {"annotations": {"a": ""}},
        });
        assert_eq!(handed_on(&template), expected);
    }
}
