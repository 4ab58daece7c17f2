//! Parameters as Go has them, and their values from ConfigMaps.

use serde_json::{Map, Value};

use super::library::Library;
use super::raw::{any_string, kept, text};
use super::replace::{self, Values};

/// The value of a parameter that a ConfigMap gives; `None` where the ConfigMap is not among what was given.
///
/// # Errors
/// The ConfigMap has no such key, and there is no default.
pub(super) fn configured(
    parameter: &Value,
    namespace: &str,
    library: &Library,
    values: &Values,
) -> Result<Option<String>, String> {
    let Some(reference) = kept(&parameter["valueFrom"], "configMapKeyRef") else { return Ok(None) };
    let (name, key) =
        (replace::in_text(text(reference, "name"), values), replace::in_text(text(reference, "key"), values));
    match library.config(namespace, &name, &key) {
        Some(Some(value)) => Ok(Some(value.to_owned())),
        Some(None) => any_string(&parameter["valueFrom"]["default"]).map(Some).ok_or_else(|| {
            format!("parameter {}: ConfigMap {name} has no key {key}, and there is no default", text(parameter, "name"))
        }),
        None => Ok(None),
    }
}

/// A parameter in the order of Go's struct, its values as texts.
pub(super) fn as_go_has_it(parameter: &Value) -> Value {
    let mut ordered = Map::new();
    for key in ["name", "default", "value", "valueFrom", "globalName", "enum", "description"] {
        let Some(value) = parameter.get(key).filter(|value| !value.is_null()) else { continue };
        let value = match (key, value) {
            ("default" | "value" | "description", scalar) => any_string(scalar).map_or(Value::Null, Value::from),
            ("enum", Value::Array(all)) => {
                all.iter().map(|one| any_string(one).map_or(Value::Null, Value::from)).collect()
            }
            (_, other) => other.clone(),
        };
        ordered.insert(key.to_owned(), value);
    }
    Value::Object(ordered)
}
