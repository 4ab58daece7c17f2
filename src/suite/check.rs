//! Expectations that would hold whatever is found: they are mistakes, not passes. For those of `absent`, see [`super::pointer`].

use serde_json::Value;

/// Whether a field of `expect` says nothing of what is found.
pub(super) fn says_nothing(field: &str, value: &Value) -> bool {
    match field {
        _ if value.is_null() => true,
        "containers" | "values" | "absent" => is_empty(value),
        "env" => value.as_object().is_some_and(|containers| containers.values().all(is_empty)),
        "operations" | "growth" => value.as_object().is_some_and(|ends| {
            let least = ends.get("min").and_then(Value::as_u64).unwrap_or(0);
            least == 0 && ends.get("max").is_none_or(Value::is_null)
        }),
        "contains" => !has_leaf(value),
        _ => false,
    }
}

/// What of an `expect` says nothing: its path below `expect`, and what is wrong.
pub(super) fn empty(expect: &Value) -> Vec<(String, String)> {
    const ALWAYS: &str = "it holds whatever is found: say what has to be, or leave it out";
    let mut all = Vec::new();
    for (field, value) in expect.as_object().into_iter().flatten() {
        let mut empty = Vec::new();
        match field.as_str() {
            "contains" if !value.is_null() => empties(field, value, &mut empty),
            _ if says_nothing(field, value) => empty.push(field.clone()),
            "env" | "values" => {
                let parts = value.as_object().into_iter().flatten();
                empty.extend(parts.filter(|(_, part)| is_empty(part)).map(|(key, _)| below(field, key)));
            }
            _ => {}
        }
        all.extend(empty.into_iter().map(|path| (path, ALWAYS.to_owned())));
    }
    all
}

/// The empty lists and maps in a value: as a part, each is in every list and map. `emptyDir: {}` says of what kind a volume is.
fn empties(path: &str, value: &Value, all: &mut Vec<String>) {
    match value {
        _ if is_empty(value) => all.push(path.to_owned()),
        Value::Object(fields) => {
            let meant = |(key, part): &(&String, &Value)| *key == "emptyDir" && part.is_object() && is_empty(part);
            let parts = fields.iter().filter(|entry| !meant(entry));
            parts.for_each(|(key, part)| empties(&below(path, key), part, all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, part)| empties(&format!("{path}[{at}]"), part, all));
        }
        _ => {}
    }
}

/// Whether there is one in it.
pub(super) fn has_empty(value: &Value) -> bool {
    let mut all = Vec::new();
    empties("", value, &mut all);
    !all.is_empty()
}

/// The path of a key below another.
pub(super) fn below(path: &str, key: &str) -> String {
    if key.is_empty() || key.contains(['.', '[', ']', '"']) {
        format!("{path}[{}]", Value::from(key))
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn has_leaf(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(has_leaf),
        Value::Array(items) => items.iter().any(has_leaf),
        _ => true,
    }
}
