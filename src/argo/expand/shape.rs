//! Whether fields are maps and lists where Argo's types say so. The controller refuses what is not, and what follows relies on it.

use serde_json::Value;

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
/// The path of the first field that is something else than it has to be, and what it has to be.
pub(super) fn check(value: &Value) -> Result<(), String> {
    if !value.is_object() {
        return Err("a map is expected".to_owned());
    }
    at(value, &mut String::new())
}

fn at(value: &Value, path: &mut String) -> Result<(), String> {
    let length = path.len();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                is_fit(key, value)
                    .map_err(|expected| format!("{}: {expected} is expected", path.trim_start_matches('.')))?;
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
        };
    }
    match (key, value) {
        ("annotations" | "labels", value) if !fits(value) => Err("a map"),
        ("steps", Value::Array(groups)) if groups.iter().flat_map(steps).all(Value::is_object) => Ok(()),
        ("steps", Value::Null) => Ok(()),
        ("steps", _) => Err("a list of lists of maps"),
        _ => Ok(()),
    }
}

fn steps(group: &Value) -> &[Value] {
    group.as_array().map_or(std::slice::from_ref(group), Vec::as_slice)
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
        ] {
            assert_eq!(check(&manifest), Err(said.to_owned()));
        }
        let fine = json!({"metadata": {"annotations": {"env": "x"}}, "spec": {"templates": [{"inputs": null, "container": {}}], "hooks": {"exit": {}}}});
        assert_eq!(check(&fine), Ok(()));
    }
}
