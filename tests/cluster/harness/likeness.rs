//! Whether a pod that we predicted is the one that the controller created.
//!
//! The API server itself gives both their defaults: the predicted pod is sent to it as a dry run. What only the run knows is `{{...}}`
//! in the prediction, and stands for any text. Beside that, these differ without a mistake, and are not compared:
//!
//! | field | why it cannot be known |
//! |---|---|
//! | `metadata.uid`, `resourceVersion`, `creationTimestamp`, `generation`, `managedFields`, `status` | the API server makes them |
//! | `kube-api-access-*` | the name of the token's volume is random |
//! | order of `volumes` and of `volumeMounts` | Argo walks a Go map of secrets: each time another order |
//! | `spec.activeDeadlineSeconds`, up to 120 s | what is left of the deadline when the pod is created |
//! | `ARGO_AGENT_PATCH_RATE` | a variable of the controller's own environment |
//! | where an input artifact from an earlier step is kept | only the run knows |

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::namespace::Namespace;

/// Texts that say the same in another order of their keys.
const JSON_VARIABLES: [&str; 1] = ["ARGO_TEMPLATE"];

/// Whether a text can be what a prediction with `{{...}}` says.
pub fn fits(predicted: &str, real: &str) -> bool {
    if !predicted.contains("{{") {
        return predicted == real;
    }
    let mut parts = Vec::new();
    let mut rest = predicted;
    while let Some((before, after)) = rest.split_once("{{") {
        parts.push(before);
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    let (first, last) = (parts[0], rest);
    let Some(mut middle) = real.strip_prefix(first).and_then(|real| real.strip_suffix(last)) else { return false };
    parts[1..].iter().all(|part| match middle.find(part) {
        Some(at) => {
            middle = &middle[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Puts what the run knew in the place of `{{...}}`.
fn fill(predicted: &mut Value, real: &Value) {
    match (predicted, real) {
        (Value::String(text), Value::String(known)) if text.contains("{{") && fits(text, known) => {
            text.clone_from(known);
        }
        (Value::Object(map), Value::Object(known)) => {
            for (key, value) in map {
                fill(value, &known.get(key).cloned().unwrap_or_default());
            }
        }
        (Value::Array(list), Value::Array(known)) => {
            for (at, value) in list.iter_mut().enumerate() {
                let named = known.iter().find(|other| !other["name"].is_null() && other["name"] == value["name"]);
                let mounted = known
                    .iter()
                    .find(|other| !other["mountPath"].is_null() && other["mountPath"] == value["mountPath"]);
                fill(value, mounted.or(named).or(known.get(at)).unwrap_or(&Value::Null));
            }
        }
        _ => {}
    }
}

/// Texts that are JSON become it.
fn read_json(pod: &mut Value) {
    for field in ["initContainers", "containers"] {
        for container in pod["spec"][field].as_array_mut().into_iter().flatten() {
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                if JSON_VARIABLES.iter().any(|name| variable["name"] == *name) {
                    let read = variable["value"].as_str().and_then(|text| serde_json::from_str(text).ok());
                    variable["value"] = read.unwrap_or_else(|| variable["value"].take());
                }
            }
        }
    }
}

/// Without what cannot be known.
fn settle(pod: &mut Value) {
    read_json(pod);
    let meta = pod["metadata"].as_object_mut();
    if let Some(meta) = meta {
        for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"] {
            meta.shift_remove(field);
        }
    }
    pod.as_object_mut().and_then(|pod| pod.shift_remove("status"));
    let spec = &mut pod["spec"];
    let key = |value: &Value| {
        let part = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        (part("mountPath"), part("name"))
    };
    rename(spec);
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.sort_by_key(key);
        for items in volumes.iter_mut().filter_map(|volume| volume["secret"]["items"].as_array_mut()) {
            items.sort_by_key(|item| item["key"].as_str().map(str::to_owned));
        }
    }
    for field in ["initContainers", "containers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.sort_by_key(key);
            }
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                match variable["name"].as_str() {
                    Some("ARGO_AGENT_PATCH_RATE") => variable["value"] = "".into(),
                    Some("ARGO_TEMPLATE") => places(&mut variable["value"]),
                    _ => {}
                }
            }
        }
    }
}

/// The name of a token's volume is random.
fn rename(spec: &mut Value) {
    const RANDOM: &str = "kube-api-access-";
    match spec {
        Value::String(text) if text.starts_with(RANDOM) => RANDOM.clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(rename),
        Value::Object(map) => map.values_mut().for_each(rename),
        _ => {}
    }
}

/// Where input artifacts of earlier steps are kept.
fn places(template: &mut Value) {
    let inputs = template["inputs"]["artifacts"].as_array_mut().into_iter().flatten();
    for input in inputs.filter(|input| !input["from"].is_null()) {
        let (name, path) = (input["name"].take(), input["path"].take());
        *input = json!({"name": name, "path": path});
    }
}

/// The predicted pod as the API server would store it, and the real one, both without what cannot be known.
pub fn settled(namespace: &Namespace<'_>, predicted: &Value, real: &Value) -> Result<(Value, Value)> {
    let mut pod = predicted.clone();
    read_json(&mut pod);
    let mut known = real.clone();
    read_json(&mut known);
    fill(&mut pod, &known);
    // Admission has made the token's volume of the real one; of a second one it makes another.
    for container in ["initContainers", "containers"] {
        for container in pod["spec"][container].as_array_mut().into_iter().flatten() {
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                if variable["value"].is_object() {
                    variable["value"] = variable["value"].to_string().into();
                }
            }
        }
    }
    let deadline = |pod: &Value| pod["spec"]["activeDeadlineSeconds"].as_i64();
    if let (Some(ours), Some(theirs)) = (deadline(&pod), deadline(&known))
        && (ours - theirs).abs() <= 120
    {
        pod["spec"]["activeDeadlineSeconds"] = theirs.into();
    }
    let name = pod["metadata"]["name"].take();
    pod["metadata"]["name"] = json!("predicted");
    let mut made = namespace.create_object("pods?dryRun=All", &pod)?.accepted().with_context(|| format!("{pod:#}"))?;
    made["metadata"]["name"] = name;
    let mut real = real.clone();
    settle(&mut made);
    settle(&mut real);
    Ok((made, real))
}

/// Lines that differ.
pub fn differences(predicted: &Value, real: &Value) -> Vec<String> {
    let mut all = Vec::new();
    differ("", predicted, real, &mut all);
    all
}

fn differ(path: &str, predicted: &Value, real: &Value, all: &mut Vec<String>) {
    match (predicted, real) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differ(&format!("{path}/{key}"), &of(left), &of(right), all);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                differ(&format!("{path}/{at}"), left, right, all);
            }
        }
        _ if predicted == real => {}
        _ => all.push(format!("{path}: predicted {predicted}, is {real}")),
    }
}
