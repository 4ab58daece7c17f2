//! Where in a case or suite a mistake stands, and what it is in words of the file.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, from_value};

use super::check::below;
use super::spec::{Expect, Input};

/// What serde says, without the names of our types.
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string().replace("expected a sequence", "expected a list");
    let text = text.replace("invalid type: sequence", "invalid type: list");
    match text.split_once("expected struct ") {
        Some((before, after)) => {
            format!("{before}expected a map{}", after.trim_start_matches(char::is_alphanumeric))
        }
        None => text,
    }
}

/// The path of the part of a case that cannot be read.
pub(super) fn in_case(case: &Value, path: &str) -> String {
    for (field, part) in case.as_object().into_iter().flatten() {
        let at = below(path, field);
        let narrower = match field.as_str() {
            // No field of a case is one, and a struct would take it.
            _ if part.is_array() => Some(at),
            "expect" => in_expect(part, &at),
            "input" => narrowed::<Input>(part, &at, 1),
            _ => None,
        };
        if let Some(found) = narrower {
            return found;
        }
    }
    path.to_owned()
}

fn in_expect(expect: &Value, path: &str) -> Option<String> {
    from_value::<Option<Expect>>(expect.clone()).err()?;
    for (field, part) in expect.as_object().into_iter().flatten() {
        // As deep as the keys are names that the suite's author chose.
        let depth = match field.as_str() {
            "env" => 3,
            "values" | "containers" => 2,
            _ => 1,
        };
        let alone = Value::from(Map::from_iter([(field.clone(), part.clone())]));
        if let Some(found) = narrowed::<Expect>(&alone, path, depth) {
            return Some(found);
        }
    }
    Some(path.to_owned())
}

/// The path of the part, at most so deep, that is no part of a `T`; `None` where all is well.
pub(super) fn narrowed<T: DeserializeOwned>(whole: &Value, path: &str, depth: usize) -> Option<String> {
    from_value::<T>(whole.clone()).err()?;
    Some(descend::<T>(whole, &|part| part, path, depth))
}

/// Tries each part alone, with what is `around` it.
fn descend<T: DeserializeOwned>(value: &Value, around: &dyn Fn(Value) -> Value, path: &str, depth: usize) -> String {
    let Some(fields) = value.as_object().filter(|_| depth > 0) else { return path.to_owned() };
    for (key, part) in fields {
        let alone = |part: Value| around(Map::from_iter([(key.clone(), part)]).into());
        if from_value::<T>(alone(part.clone())).is_err() {
            return descend::<T>(part, &alone, &below(path, key), depth - 1);
        }
    }
    path.to_owned()
}
