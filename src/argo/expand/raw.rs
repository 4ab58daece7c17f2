//! Reading and changing raw JSON of Argo's objects; what is absent or of another type counts as empty.

use serde_json::{Map, Number, Value};

/// A text; empty where there is none.
pub fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of[key].as_str().unwrap_or_default()
}

/// A list.
pub fn list<'v>(of: &'v Value, key: &str) -> &'v [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map.
pub fn entries<'v>(of: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    of[key].as_object().into_iter().flatten()
}

/// The steps of a group: `steps` is a list of lists, and Argo takes a single step for a list, too. Whatever else stands there counts as
/// a step as well, so that `shape` refuses it.
pub fn steps_of(group: &Value) -> &[Value] {
    group.as_array().map_or(std::slice::from_ref(group), Vec::as_slice)
}

/// The element of a list with that name.
pub fn named<'v>(list: &'v [Value], name: &str) -> Option<&'v Value> {
    list.iter().find(|item| text(item, "name") == name)
}

/// What the first text of a value gives that gives something.
pub fn find_text<'v, T>(value: &'v Value, look: &mut dyn FnMut(&'v str) -> Option<T>) -> Option<T> {
    match value {
        Value::String(text) => look(text),
        Value::Array(all) => all.iter().find_map(|one| find_text(one, look)),
        Value::Object(fields) => fields.values().find_map(|one| find_text(one, look)),
        _ => None,
    }
}

/// Whether it is so of a text of a value.
pub fn any_text(value: &Value, is_so: impl Fn(&str) -> bool) -> bool {
    find_text(value, &mut |text| is_so(text).then_some(())).is_some()
}

/// What Go keeps of a field with `omitempty`: nothing that is empty.
pub fn kept<'v>(of: &'v Value, key: &str) -> Option<&'v Value> {
    of.get(key).filter(|value| !is_empty(value))
}

/// Null, or an empty text, list or map.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Sets entries of a map that may not be there yet.
pub fn set<'e>(of: &mut Value, key: &str, entries: impl IntoIterator<Item = (&'e String, &'e Value)>) {
    for (name, value) in entries {
        if !of[key].is_object() {
            of[key] = Value::Object(Map::new());
        }
        of[key][name] = value.clone();
    }
}

/// Appends to a list that may not be there yet.
pub fn push(of: &mut Value, key: &str, items: impl IntoIterator<Item = Value>) {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return;
    }
    match of.get_mut(key) {
        Some(Value::Array(list)) => list.extend(items),
        _ => of[key] = items.collect(),
    }
}

/// JSON as Go writes it, for what comes in Go's own order.
pub fn go_json(value: &Value) -> String {
    escaped(&value.to_string())
}

/// What Go writes for signs of HTML in JSON.
pub fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A scalar as the text that Argo's `AnyString` holds.
pub fn any_string(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(as_go_writes(number)),
        other => Some(other.to_string()),
    }
}

/// A number that came through Go's `float64`: `1.0` is `1`, and there is no exponent (`strconv.FormatFloat` with `'f'`).
pub fn as_go_writes(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}
