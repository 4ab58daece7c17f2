//! The template's own containers: what runs, its init containers and sidecars, and emissary around each.

use serde_json::{Value, json};

use super::{Placed, executor};
use crate::argo::expand::merge::{Into, merge};
use crate::argo::expand::raw::{go_json, kept, list, push, text};
use crate::argo::expand::template::Kind;

/// Where the executor's init container writes a script's source.
const SCRIPT_PATH: &str = "/argo/staging/script";

/// The containers that do the template's work.
pub(super) fn main(placed: &Placed<'_>) -> Vec<Value> {
    let Placed { template, settings, .. } = placed;
    let mut all = match placed.kind {
        Kind::Script => vec![script(&template["script"])],
        Kind::ContainerSet => members(&template["containerSet"]),
        Kind::Resource => {
            let action = text(&template["resource"], "action");
            vec![executor::command(executor::container("main", placed), &["argoexec", "resource", action])]
        }
        Kind::Data => {
            let data = go_json(&in_order(&template["data"]));
            vec![executor::command(executor::container("main", placed), &["argoexec", "data", &data])]
        }
        _ => vec![template["container"].clone()],
    };
    for container in &mut all {
        if text(container, "name").is_empty() || placed.kind != Kind::ContainerSet {
            container["name"] = "main".into();
        }
        if settings.main_container.is_object() {
            *container = merge(&settings.main_container, container, Into::PodSpec);
        }
        if container["resources"].is_null() {
            container["resources"] = json!({});
        }
    }
    all
}

/// Fields of `data` in the order of Go's structs (`DataSource`, `Artifact`, `S3Artifact`, `SecretKeySelector`).
const ORDER: [&str; 24] = [
    "source",
    "transformation",
    "artifactPaths",
    "name",
    "path",
    "mode",
    "from",
    "archiveLogs",
    "endpoint",
    "bucket",
    "region",
    "insecure",
    "accessKeySecret",
    "secretKeySecret",
    "sessionTokenSecret",
    "roleARN",
    "useSDKCreds",
    "createBucketIfNotPresent",
    "encryptionOptions",
    "caSecret",
    "key",
    "s3",
    "globalName",
    "optional",
];

fn in_order(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), in_order(value))).collect())
        }
        Value::Array(list) => list.iter().map(in_order).collect(),
        other => other.clone(),
    }
}

fn script(script: &Value) -> Value {
    let mut container = script.clone();
    let source = container.as_object_mut().and_then(|fields| fields.shift_remove("source"));
    if source.is_some_and(|source| source != "") {
        push(&mut container, "args", [SCRIPT_PATH.into()]);
    }
    container
}

fn members(set: &Value) -> Vec<Value> {
    let member = |member: &Value| {
        let mut container = member.clone();
        container.as_object_mut().and_then(|fields| fields.shift_remove("dependencies"));
        push(&mut container, "volumeMounts", list(set, "volumeMounts").iter().cloned());
        container
    };
    list(set, "containers").iter().map(member).collect()
}

/// The template's init containers and sidecars, with the mounts of `main` where they ask for them.
pub(super) fn add_others(spec: &mut Value, template: &Value) {
    let main = list(spec, "containers").iter().find(|container| text(container, "name") == "main");
    let mounts = main.map(|main| list(main, "volumeMounts").to_vec()).unwrap_or_default();
    for (from, to) in [("initContainers", "initContainers"), ("sidecars", "containers")] {
        let others = list(template, from).iter().map(|other| {
            let mut container = other.clone();
            let mirrored = container.as_object_mut().and_then(|fields| fields.shift_remove("mirrorVolumeMounts"));
            if mirrored == Some(true.into()) {
                push(&mut container, "volumeMounts", mounts.iter().cloned());
            }
            if container["resources"].is_null() {
                container["resources"] = json!({});
            }
            container
        });
        let others: Vec<_> = others.collect();
        push(spec, to, others);
    }
}

/// Puts emissary before each command, and mounts what it needs.
pub(super) fn wrap(spec: &mut Value, placed: &Placed<'_>) {
    let grace = spec["terminationGracePeriodSeconds"].as_i64();
    let prefix = ["/var/run/argo/argoexec", "emissary"].into_iter().chain(executor::log_options()).chain(["--"]);
    let prefix: Vec<Value> = prefix.map(Value::from).collect();
    for (index, container) in spec["containers"].as_array_mut().into_iter().flatten().enumerate() {
        if text(container, "name") != "wait" {
            if kept(container, "command").is_none() {
                take_from_image(container, placed);
            }
            container["command"] = prefix.iter().chain(list(container, "command")).cloned().collect();
        }
        let mut mounts = Vec::new();
        if container["image"] == placed.settings.executor_image.as_str() {
            mounts.push(json!({"name": "tmp-dir-argo", "mountPath": "/tmp", "subPath": index.to_string()}));
        }
        mounts.push(json!({"name": "var-run-argo", "mountPath": "/var/run/argo"}));
        push(container, "volumeMounts", mounts);
        if let Some(seconds) = grace {
            let variable = json!({"name": "ARGO_TERMINATION_GRACE_PERIOD_SECONDS", "value": seconds.to_string()});
            push(container, "env", [variable]);
        }
    }
}

/// The controller asks the registry for an image's command; here it is known only where the controller's ConfigMap lists the image.
fn take_from_image(container: &mut Value, placed: &Placed<'_>) {
    let image = text(container, "image").to_owned();
    let (entrypoint, cmd) = match placed.settings.entrypoint(&image) {
        Some((entrypoint, cmd)) => (entrypoint.to_vec(), cmd.to_vec()),
        None => (vec![format!("{{{{entrypoint of {image}}}}}").into()], Vec::new()),
    };
    container["command"] = entrypoint.into();
    if container["args"].is_null() && !cmd.is_empty() {
        container["args"] = cmd.into();
    }
}
