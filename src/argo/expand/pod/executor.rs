//! The executor's own containers, and the variables of every container.

use serde_json::{Value, json};

use super::{Placed, template_text, wants_output};
use crate::argo::expand::node;
use crate::argo::expand::raw::{kept, list, push, text};
use crate::argo::expand::settings::Version;
use crate::argo::expand::template::Kind;

/// What is mounted where the executor runs as a service account of its own.
pub(super) const TOKEN_VOLUME: &str = "exec-sa-token";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What every `argoexec` is told.
pub(in crate::argo::expand) fn log_options() -> [&'static str; 6] {
    ["--loglevel", "info", "--log-format", "text", "--gloglevel", "0"]
}

/// `MinimalCtrSC` of Argo's `workflow/common/security_context.go`.
pub(in crate::argo::expand) fn minimal_security() -> Value {
    json!({
        "capabilities": {"drop": ["ALL"]},
        "privileged": false,
        "runAsUser": 8737,
        "runAsNonRoot": true,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

pub(super) fn init(placed: &Placed<'_>) -> Value {
    command(container("init", placed), &["argoexec", "init"])
}

pub(super) fn wait(placed: &Placed<'_>) -> Value {
    command(container("wait", placed), &["argoexec", "wait"])
}

/// The command of an executor's container.
pub(super) fn command(mut container: Value, words: &[&str]) -> Value {
    container["command"] = words.iter().copied().chain(log_options()).map(Value::from).collect();
    container
}

/// `newExecContainer`.
pub(super) fn container(name: &str, placed: &Placed<'_>) -> Value {
    let Placed { execution, settings, template, .. } = placed;
    let from_field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let mut made = json!({
        "name": name,
        "image": settings.executor_image,
        "env": [
            from_field("ARGO_POD_NAME", "metadata.name"),
            from_field("ARGO_POD_UID", "metadata.uid"),
            {"name": "ARGO_WORKFLOW_NAME", "value": execution.name},
            {"name": "ARGO_WORKFLOW_UID", "value": execution.uid},
        ],
        "resources": {},
    });
    if !settings.instance_id.is_empty() {
        push(&mut made, "env", [json!({"name": "ARGO_INSTANCE_ID", "value": settings.instance_id})]);
    }
    push(&mut made, "env", list(&settings.executor, "env").iter().cloned());
    match settings.version {
        Version::V4_1 if name == "wait" => push(&mut made, "env", [json!({"name": "ARGO_ARTIFACT_PLUGIN_NAMES"})]),
        Version::V4_1InitLess if name == "wait" => {
            push(&mut made, "env", [json!({"name": "ARGO_INITLESS_POD", "value": "true"})]);
        }
        _ => {}
    }
    for field in ["imagePullPolicy", "resources", "securityContext", "args"] {
        if let Some(value) = kept(&settings.executor, field) {
            made[field] = value.clone();
        }
    }
    if placed.kind == Kind::Resource && made["securityContext"].is_null() {
        let mut security = minimal_security();
        if matches!(name, "init" | "wait") {
            security.as_object_mut().and_then(|fields| fields.shift_remove("readOnlyRootFilesystem"));
        }
        made["securityContext"] = security;
    }
    if account(template, &execution.spec).is_some() {
        push(&mut made, "volumeMounts", [json!({"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": true})]);
    }
    made
}

/// The executor's service account, where it has one of its own.
pub(super) fn account<'v>(template: &'v Value, workflow: &'v Value) -> Option<&'v str> {
    [template, workflow].into_iter().find_map(|source| kept(&source["executor"], "serviceAccountName")?.as_str())
}

/// The variables that every container is given, after its own.
pub(super) fn add_variables(spec: &mut Value, placed: &Placed<'_>) {
    let Placed { execution, settings, .. } = placed;
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let workflow_deadline = kept(&execution.spec, "activeDeadlineSeconds").is_some() && !placed.on_exit;
    let deadline = if workflow_deadline { "{{deadline}}" } else { "0001-01-01T00:00:00Z" };
    let mut common = vec![
        variable("ARGO_NODE_ID", &node::known_id(&execution.name, placed.node)),
        variable("ARGO_INCLUDE_SCRIPT_OUTPUT", if wants_output(placed) { "true" } else { "false" }),
        variable("ARGO_DEADLINE", deadline),
    ];
    if settings.version.is_4_1() {
        common.extend([
            variable("ARGO_WORKFLOW_NAME", &execution.name),
            variable("TRACESTATE", &format!("workflow={}/{}", execution.namespace, execution.name)),
            variable("TRACEPARENT", "00-{{trace}}-{{span}}-01"),
        ]);
    }
    common.extend([
        variable("ARGO_PROGRESS_FILE", "/var/run/argo/progress"),
        variable("ARGO_PROGRESS_PATCH_TICK_DURATION", "1m0s"),
        variable("ARGO_PROGRESS_FILE_TICK_DURATION", "3s"),
    ]);
    let template = template_text(placed.template);
    for field in ["initContainers", "containers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            let mut added = vec![variable("ARGO_CONTAINER_NAME", text(container, "name"))];
            if field == "initContainers" {
                added.push(variable("ARGO_TEMPLATE", &template));
            }
            push(container, "env", added.into_iter().chain(common.iter().cloned()));
        }
    }
}

/// 4.1 with the executor from an image volume: `supervisor` does the work of `init` and `wait`.
pub(super) fn without_init(spec: &mut Value, placed: &Placed<'_>) {
    let template = json!({"name": "ARGO_TEMPLATE", "value": template_text(placed.template)});
    let mut inits =
        spec.get_mut("initContainers").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let init = if inits.is_empty() { Value::Null } else { inits.remove(0) };
    spec.as_object_mut().and_then(|fields| fields.shift_remove("initContainers"));
    push(spec, "initContainers", inits);
    let has_wait = list(spec, "containers").iter().any(|container| text(container, "name") == "wait");
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        if text(container, "name") == "wait" {
            supervise(container, &init);
            push(container, "env", [template.clone()]);
            continue;
        }
        if let Some(first) = container["command"].get_mut(0) {
            *first = "/argo-bin/bin/argoexec".into();
        }
        let last = if has_wait { json!({"name": "ARGO_WAIT_FOR_READY", "value": "true"}) } else { template.clone() };
        push(container, "env", [last]);
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            let own = |mount: &Value| matches!(text(mount, "name"), "tmp-dir-argo" | "var-run-argo");
            let at = mounts.iter().position(own).unwrap_or(mounts.len());
            mounts.insert(at, json!({"name": BINARY_VOLUME, "mountPath": "/argo-bin", "readOnly": true}));
        }
    }
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        let mut image = json!({"reference": placed.settings.executor_image});
        if let Some(policy) = kept(&placed.settings.executor, "imagePullPolicy") {
            image["pullPolicy"] = policy.clone();
        }
        volumes.insert(2.min(volumes.len()), json!({"name": BINARY_VOLUME, "image": image}));
    }
}

/// The volume that holds the executor, of its own image.
const BINARY_VOLUME: &str = "argoexec-bin";

/// `wait` becomes `supervisor`, with what `init` has mounted.
fn supervise(wait: &mut Value, init: &Value) {
    wait["name"] = "supervisor".into();
    if let Some(word) = wait["command"].get_mut(1) {
        *word = "supervisor".into();
    }
    for variable in wait["env"].as_array_mut().into_iter().flatten() {
        if variable["name"] == "ARGO_CONTAINER_NAME" {
            variable["value"] = "supervisor".into();
        }
    }
    let Some(mounts) = wait["volumeMounts"].as_array_mut() else { return };
    let new = |mount: &&Value| mounts.iter().all(|known| known["mountPath"] != mount["mountPath"]);
    let added: Vec<Value> = list(init, "volumeMounts").iter().filter(new).cloned().collect();
    let at =
        mounts.iter().position(|mount| !text(mount, "mountPath").starts_with("/argo/secret/")).unwrap_or(mounts.len());
    mounts.splice(at..at, added);
}
