//! Whether fields are maps and lists where Argo's types say so. The controller refuses what is not, and what follows relies on it.

use std::fmt;

use serde_json::Value;

use super::raw::steps_of;

/// Fields that are maps, wherever they stand.
const MAPS: [&str; 37] = [
    "archiveLocation",
    "arguments",
    "auth",
    "cache",
    "configMap",
    "configMapKeyRef",
    "container",
    "containerSet",
    "continueOn",
    "dag",
    "executor",
    "gcs",
    "git",
    "hooks",
    "http",
    "inline",
    "inputs",
    "memoize",
    "metadata",
    "nodeSelector",
    "oss",
    "outputs",
    "podGC",
    "podMetadata",
    "raw",
    "resources",
    "retryStrategy",
    "s3",
    "script",
    "secret",
    "securityContext",
    "spec",
    "templateDefaults",
    "templateRef",
    "valueFrom",
    "workflowMetadata",
    "workflowTemplateRef",
];
/// Fields that are lists of maps.
const LISTS: [&str; 16] = [
    "artifacts",
    "containers",
    "env",
    "envFrom",
    "hostAliases",
    "imagePullSecrets",
    "initContainers",
    "ownerReferences",
    "parameters",
    "sidecars",
    "tasks",
    "templates",
    "tolerations",
    "volumeClaimTemplates",
    "volumeMounts",
    "volumes",
];
/// Fields that are texts.
const TEXTS: [&str; 15] = [
    "depends",
    "entrypoint",
    "expression",
    "generateName",
    "image",
    "name",
    "namespace",
    "onExit",
    "priorityClassName",
    "serviceAccountName",
    "subPath",
    "target",
    "template",
    "when",
    "workingDir",
];
/// Fields that are lists of texts.
const TEXT_LISTS: [&str; 3] = ["args", "command", "dependencies"];
/// What YAML 1.1 makes of a bare word.
const A_TEXT: &str = "a text (in quotes, if it is a number, or a bare y, n, yes, no, on or off)";
/// What is below these is anybody's.
const FREE: [&str; 12] = [
    "affinity",
    "annotations",
    "body",
    "default",
    "items",
    "labels",
    "labelsFrom",
    "managedFields",
    "plugin",
    "status",
    "value",
    "withItems",
];

/// Looks at a manifest, or a part of one.
///
/// # Errors
/// The first field that is something else than it has to be.
pub(super) fn check(value: &Value) -> Result<(), Misfit> {
    if !value.is_object() {
        return Err(Misfit { path: String::new(), expected: "a map" });
    }
    at(value, &mut String::new())
}

/// A field that is something else than it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Such as `spec.templates[0].container`; empty where it is the whole.
    pub path: String,
    expected: &'static str,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{}{sign}{} is expected", self.path, self.expected)
    }
}

impl From<Misfit> for String {
    fn from(misfit: Misfit) -> Self {
        misfit.to_string()
    }
}

fn at(value: &Value, path: &mut String) -> Result<(), Misfit> {
    let length = path.len();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                is_fit(key, value)
                    .map_err(|expected| Misfit { path: path.trim_start_matches('.').to_owned(), expected })?;
                if !FREE.contains(&key.as_str()) {
                    at(value, path)?;
                }
                path.truncate(length);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                path.extend(["[", &index.to_string(), "]"]);
                at(value, path)?;
                path.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_fit(key: &str, value: &Value) -> Result<(), &'static str> {
    let fits = |value: &Value| value.is_object() || value.is_null();
    if MAPS.contains(&key) {
        return if fits(value) { Ok(()) } else { Err("a map") };
    }
    if LISTS.contains(&key) {
        return match value {
            Value::Null => Ok(()),
            Value::Array(list) if list.iter().all(Value::is_object) => Ok(()),
            _ => Err("a list of maps"),
        }
        .and_then(|()| of_variables(key, value));
    }
    let is_text = |value: &Value| value.is_string() || value.is_null();
    match (key, value) {
        // A volume's image is a map.
        (key, Value::Bool(_) | Value::Number(_) | Value::Array(_)) if TEXTS.contains(&key) => Err(A_TEXT),
        (key, Value::Array(all)) if TEXT_LISTS.contains(&key) && !all.iter().all(is_text) => {
            Err("a list of texts (in quotes, if they are numbers, or a bare y, n, yes, no, on or off)")
        }
        (key, Value::String(_) | Value::Object(_)) if TEXT_LISTS.contains(&key) => Err("a list of texts"),
        ("withItems", value) if !value.is_array() && !value.is_null() => Err("a list"),
        ("annotations" | "labels", value) if !fits(value) => Err("a map"),
        ("annotations" | "labels", Value::Object(all)) if !all.values().all(is_text) => Err("a map of texts"),
        ("steps", Value::Array(groups)) if groups.iter().flat_map(steps_of).all(Value::is_object) => Ok(()),
        ("steps", Value::Null) => Ok(()),
        ("steps", _) => Err("a list of lists of maps"),
        _ => Ok(()),
    }
}

/// The values of variables are texts.
fn of_variables(key: &str, value: &Value) -> Result<(), &'static str> {
    let all = value.as_array().into_iter().flatten();
    let wrong = key == "env" && all.into_iter().any(|one| !one["value"].is_string() && !one["value"].is_null());
    if wrong { Err("a list of variables with texts for values (numbers and booleans in quotes)") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_place_of_a_mistake_is_told() {
        for (manifest, said) in [
            (json!([]), "a map is expected"),
            (json!({"spec": {"templates": [{"inputs": "x"}]}}), "spec.templates[0].inputs: a map is expected"),
            (json!({"metadata": {"labels": ["x"]}}), "metadata.labels: a map is expected"),
            (json!({"spec": {"templates": [1]}}), "spec.templates: a list of maps is expected"),
            (
                json!({"spec": {"templates": [{"steps": [[1]]}]}}),
                "spec.templates[0].steps: a list of lists of maps is expected",
            ),
            (
                json!({"spec": {"templates": [{"container": {"env": {"A": "b"}}}]}}),
                "spec.templates[0].container.env: a list of maps is expected",
            ),
            (
                json!({"spec": {"templates": [{"name": false}]}}),
                &*format!("spec.templates[0].name: {A_TEXT} is expected"),
            ),
            (json!({"container": {"command": "sh"}}), "container.command: a list of texts is expected"),
            (json!({"steps": [[{"withItems": 5}]]}), "steps[0][0].withItems: a list is expected"),
            (json!({"metadata": {"labels": {"dd": true}}}), "metadata.labels: a map of texts is expected"),
            (
                json!({"container": {"env": [{"name": "A", "value": 1}]}}),
                "container.env: a list of variables with texts for values (numbers and booleans in quotes) is expected",
            ),
        ] {
            assert_eq!(check(&manifest).map_err(|misfit| misfit.to_string()), Err(said.to_owned()));
        }
        let fine = json!({"metadata": {"annotations": {"env": "x"}}, "spec": {"templates": [{"inputs": null, "container": {}}], "hooks": {"exit": {}}}});
        assert_eq!(check(&fine), Ok(()));
    }
}
