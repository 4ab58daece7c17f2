//! Expectations that would hold whatever is found: they are mistakes, not passes.

use serde_json::Value;

/// Whether a field of `expect` says nothing of what is found.
pub(super) fn says_nothing(field: &str, value: &Value) -> bool {
    match field {
        _ if value.is_null() => true,
        "containers" | "values" | "absent" => is_empty(value),
        "env" => value.as_object().is_some_and(|containers| containers.values().all(is_empty)),
        "operations" | "growth" => value.as_object().is_some_and(|ends| ends.values().all(Value::is_null)),
        "contains" => !has_leaf(value),
        _ => false,
    }
}

/// What of an `expect` says nothing: its path below `expect`, and what is wrong.
pub(super) fn empty(expect: &Value) -> Vec<(String, String)> {
    const ALWAYS: &str = "it holds whatever is found: say what has to be, or leave it out";
    let mut all = Vec::new();
    for (field, value) in expect.as_object().into_iter().flatten() {
        if says_nothing(field, value) {
            all.push((field.clone(), ALWAYS.to_owned()));
        } else if matches!(field.as_str(), "env" | "values") {
            let parts = value.as_object().into_iter().flatten();
            let empty = parts.filter(|(_, part)| part.is_object() && is_empty(part));
            all.extend(empty.map(|(key, _)| (below(field, key), ALWAYS.to_owned())));
        }
    }
    all
}

/// What of an `expect` can never be found: pointers that are none, at which nothing stands in any pod.
pub(super) fn pointers(expect: &Value) -> Vec<(String, String)> {
    let pointers = expect["absent"].as_array().into_iter().flatten().enumerate();
    let wrong = pointers.filter_map(|(at, pointer)| {
        let pointer = pointer.as_str().filter(|pointer| !is_pointer(pointer))?;
        let steps: Vec<&str> = pointer.split(['.', '/']).filter(|step| !step.is_empty()).collect();
        let meant = if steps.is_empty() { "metadata/labels/repo".to_owned() } else { steps.join("/") };
        let message = format!(
            "{pointer:?} is no JSON pointer: it is written as /{meant}, and in a key ~1 stands for /, ~0 for ~"
        );
        Some((format!("absent[{at}]"), message))
    });
    wrong.collect()
}

/// RFC 6901, section 3; that of the whole document left out, which is always there.
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
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
