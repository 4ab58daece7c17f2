//! Volumes and mounts: the executor's, those that containers name, artifacts and their secrets.

use serde_json::{Map, Value, json};

use super::Placed;
use super::executor::{TOKEN_VOLUME, account};
use crate::argo::expand::raw::{kept, list, named, push, text};
use crate::argo::expand::settings::{Settings, Version};
use crate::argo::expand::template::{Kind, is_located};

/// Where init and wait see the file system of `main`.
const MAIN_ROOT: &str = "/mainctrfs";
const ARTIFACTS: &str = "/argo/inputs/artifacts";
const STAGING: &str = "/argo/staging";
/// `DefaultArchivePattern` of Argo's `artifact_repository_types.go`.
const DEFAULT_KEY: &str = "{{workflow.name}}/{{pod.name}}";

/// The template with the place of the configured repository, where an artifact needs one (`addArchiveLocation`).
pub(super) fn with_archive_location(template: &Value, settings: &Settings, workflow: &Value) -> Value {
    let mut made = template.clone();
    let own = &template["archiveLocation"];
    // One that says only a part of it is no location.
    if has_place(own) {
        return made;
    }
    let repository = &settings.artifact_repository;
    let archive = [&repository["archiveLogs"], &own["archiveLogs"], &workflow["archiveLogs"]];
    let archive = archive[0] == true || archive[1..].iter().find_map(|value| value.as_bool()).unwrap_or(false);
    let artifacts = || list(&template["inputs"], "artifacts").iter().chain(list(&template["outputs"], "artifacts"));
    if !archive && artifacts().all(has_place) {
        return made;
    }
    let mut location = json!({"archiveLogs": archive});
    for kind in ["s3", "gcs", "oss"] {
        if let Some(Value::Object(bucket)) = kept(repository, kind) {
            let mut bucket: Map<_, _> = bucket.clone();
            let format = bucket.shift_remove("keyFormat").filter(|format| *format != "");
            bucket.shift_remove("keyPrefix");
            bucket.insert("key".to_owned(), format.unwrap_or_else(|| DEFAULT_KEY.into()));
            location[kind] = Value::Object(bucket);
        }
    }
    made["archiveLocation"] = location;
    made
}

/// Whether an artifact says wholly where it is kept (`HasLocation`): a raw one its data, one of a bucket the bucket too.
fn has_place(artifact: &Value) -> bool {
    let full = |kind: &str, fields: &[&str]| fields.iter().all(|field| kept(&artifact[kind], field).is_some());
    full("s3", &["endpoint", "bucket", "key"])
        || full("gcs", &["bucket", "key"])
        || full("oss", &["bucket", "endpoint", "key"])
        || full("git", &["repo"])
        || full("http", &["url"])
        || full("artifactory", &["url"])
        || full("hdfs", &["path"])
        || full("azure", &["container", "blob"])
        || kept(artifact, "raw").is_some()
}

/// All volumes, and the mounts of init, wait and main that go with them.
pub(super) fn add(spec: &mut Value, placed: &Placed<'_>) -> Result<(), String> {
    let Placed { execution, template, .. } = placed;
    let empty = |name: &str| json!({"name": name, "emptyDir": {}});
    push(spec, "volumes", [empty("var-run-argo"), empty("tmp-dir-argo")]);
    push(spec, "volumes", list(template, "volumes").iter().cloned());
    if let Some(account) = account(template, &execution.spec) {
        let secret = placed.library.token(&execution.namespace, account);
        push(spec, "volumes", [json!({"name": TOKEN_VOLUME, "secret": {"secretName": secret}})]);
    }
    refer(spec, placed)?;
    secrets(spec, placed);
    inputs(spec, placed);
    if placed.kind == Kind::Script {
        push(spec, "volumes", [empty("argo-staging")]);
        let mount = json!({"name": "argo-staging", "mountPath": STAGING});
        mount_in(spec, "initContainers", "init", &mount);
        mount_in(spec, "containers", "main", &mount);
    }
    Ok(())
}

/// Mounts of the template's own containers (`GetVolumeMounts`).
fn main_mounts(template: &Value) -> &[Value] {
    let of = ["container", "script", "containerSet"].into_iter().find(|field| kept(template, field).is_some());
    of.map_or(&[], |field| list(&template[field], "volumeMounts"))
}

fn mount_in(spec: &mut Value, field: &str, name: &str, mount: &Value) {
    for container in
        spec[field].as_array_mut().into_iter().flatten().filter(|container| text(container, "name") == name)
    {
        push(container, "volumeMounts", [mount.clone()]);
    }
}

/// Volumes of the Workflow that are mounted somewhere (`addVolumeReferences`).
fn refer(spec: &mut Value, placed: &Placed<'_>) -> Result<(), String> {
    let Placed { execution, template, .. } = placed;
    let others = list(template, "initContainers").iter().chain(list(template, "sidecars"));
    let mounts = main_mounts(template).iter().chain(others.flat_map(|container| list(container, "volumeMounts")));
    for mount in mounts {
        let name = text(mount, "name");
        if named(list(spec, "volumes"), name).is_some() {
            continue;
        }
        let volume = named(list(template, "volumes"), name).or_else(|| named(&execution.volumes, name));
        let volume = volume.ok_or_else(|| format!("volume '{name}' not found in workflow spec"))?;
        push(spec, "volumes", [volume.clone()]);
    }
    Ok(())
}

/// Secrets that artifacts are kept with, mounted for the executor alone.
fn secrets(spec: &mut Value, placed: &Placed<'_>) {
    let template = placed.template;
    let artifacts = list(&template["outputs"], "artifacts").iter().chain(list(&template["inputs"], "artifacts"));
    let data = &template["data"]["source"]["artifactPaths"];
    let mut volumes: Vec<Value> = Vec::new();
    for location in [&template["archiveLocation"]].into_iter().chain(artifacts).chain([data]) {
        for (_, place) in location.as_object().into_iter().flatten() {
            selectors(place, &mut |name, key| keep(&mut volumes, name, key));
        }
    }
    let mount = |volume: &Value| {
        let path = format!("/argo/secret/{}", text(volume, "name"));
        json!({"name": volume["name"], "mountPath": path, "readOnly": true})
    };
    for mount in volumes.iter().map(mount).collect::<Vec<_>>() {
        mount_in(spec, "containers", "wait", &mount);
        mount_in(spec, "initContainers", "init", &mount);
        if placed.kind == Kind::Data {
            mount_in(spec, "containers", "main", &mount);
        }
    }
    push(spec, "volumes", volumes);
}

/// References to a Secret's key, at any depth: Argo names them `...Secret`.
fn selectors<'v>(value: &'v Value, each: &mut impl FnMut(&'v str, &'v str)) {
    for (field, value) in value.as_object().into_iter().flatten() {
        if field.ends_with("Secret") && kept(value, "name").is_some() && kept(value, "key").is_some() {
            each(text(value, "name"), text(value, "key"));
        } else {
            selectors(value, each);
        }
    }
}

fn keep(volumes: &mut Vec<Value>, name: &str, key: &str) {
    let item = json!({"key": key, "path": key});
    let Some(known) = volumes.iter_mut().find(|volume| text(volume, "name") == name) else {
        volumes.push(json!({"name": name, "secret": {"secretName": name, "items": [item]}}));
        return;
    };
    if !list(&known["secret"], "items").contains(&item) {
        push(&mut known["secret"], "items", [item]);
    }
}

/// Where init puts input artifacts for `main` (`addInputArtifactsVolumes`).
fn inputs(spec: &mut Value, placed: &Placed<'_>) {
    let template = placed.template;
    let artifacts = list(&template["inputs"], "artifacts");
    if artifacts.is_empty() {
        return;
    }
    push(spec, "volumes", [json!({"name": "input-artifacts", "emptyDir": {}})]);
    let whole = json!({"name": "input-artifacts", "mountPath": ARTIFACTS});
    mount_in(spec, "initContainers", "init", &whole);
    for mount in main_mounts(template) {
        mount_in(spec, "initContainers", "init", &below_root(mount));
    }
    if placed.settings.version == Version::V4_1InitLess {
        return mount_in(spec, "containers", "main", &whole);
    }
    for artifact in artifacts {
        let path = text(artifact, "path");
        let inside = |mount: &Value| {
            let mount = text(mount, "mountPath").trim_end_matches('/');
            path == mount || path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))
        };
        if is_given(artifact) && !main_mounts(template).iter().any(inside) {
            let mount = json!({"name": "input-artifacts", "mountPath": path, "subPath": text(artifact, "name")});
            mount_in(spec, "containers", "main", &mount);
        }
    }
}

/// The template after Argo has looked for mounts that overlap with input artifacts: it sorts them, longest path first
/// (`FindOverlappingVolume`), and what it hands on to its executor is sorted too.
pub(super) fn looked_at(template: &Value) -> Value {
    let mut made = template.clone();
    if list(&template["inputs"], "artifacts").iter().any(is_given) {
        for field in ["container", "script", "containerSet"] {
            if let Some(mounts) = made[field].get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.sort_by_key(|mount| std::cmp::Reverse(text(mount, "mountPath").len()));
            }
        }
    }
    made
}

/// Whether an input artifact is there, or has to be.
fn is_given(artifact: &Value) -> bool {
    is_located(artifact) || kept(artifact, "from").is_some() || artifact["optional"] != true
}

/// A mount of `main` as init and wait have it.
fn below_root(mount: &Value) -> Value {
    let mut made = mount.clone();
    let path = text(mount, "mountPath").trim_matches('/');
    made["mountPath"] = format!("{MAIN_ROOT}/{path}").trim_end_matches('/').into();
    made
}

/// What `main` has mounted, `wait` has too, to collect outputs from (`addOutputArtifactsVolumes`).
pub(super) fn mirror_outputs(spec: &mut Value, placed: &Placed<'_>) {
    if matches!(placed.kind, Kind::Resource | Kind::Data) {
        return;
    }
    let mains = list(spec, "containers").iter().filter(|container| text(container, "name") == "main");
    let mounts: Vec<Value> = mains.flat_map(|main| list(main, "volumeMounts")).map(below_root).collect();
    for mut mount in mounts {
        mount.as_object_mut().and_then(|fields| fields.shift_remove("readOnly"));
        mount_in(spec, "containers", "wait", &mount);
    }
}

/// Every init container has the executor's volume.
pub(super) fn share_executor(inits: &mut Value) {
    for container in inits.as_array_mut().into_iter().flatten() {
        push(container, "volumeMounts", [json!({"name": "var-run-argo", "mountPath": "/var/run/argo"})]);
    }
}
