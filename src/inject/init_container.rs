//! The tracing init container and the volumes.

use serde_json::{Map, Value, json};

use super::quantity::nanos;
use crate::argo::{Layout, StepPod};
use crate::context::Injector;
use crate::policy::effective::Effective;
use crate::policy::spec::Install;
use stepspan_contract::names;

/// `nobody` of distroless images: a user id that is not root and owns nothing.
const USER: u32 = 65_532;
/// The shim is under 3 MB; the rest is room for the next versions.
const VOLUME_SIZE: &str = "16Mi";
/// Resources that are copied: what schedulers, limits and quotas count for every container.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Whether the shim comes by an image volume: without an init container of Argo's, an init container of ours would be the one
/// thing that brings its start-up cost back.
pub fn by_image(policy: &Effective, pod: &StepPod<'_>) -> bool {
    match policy.install {
        Install::Image => true,
        Install::InitContainer => false,
        Install::Auto => pod.layout == Layout::InitLess,
    }
}

/// The volumes of a pod that gets a shim.
pub fn volumes(policy: &Effective, injector: &Injector, by_image: bool) -> Vec<Value> {
    let mut volumes = Vec::with_capacity(3);
    if by_image {
        let image = json!({"reference": injector.image, "pullPolicy": injector.pull_policy});
        volumes.push(json!({"name": names::VOLUME, "image": image}));
    } else {
        volumes.push(json!({"name": names::VOLUME, "emptyDir": {"sizeLimit": VOLUME_SIZE}}));
        volumes.push(json!({"name": names::NO_TOKEN_VOLUME, "emptyDir": {"sizeLimit": "1Mi"}}));
    }
    if policy.ca_bundle.is_some() {
        let field = format!("metadata.annotations['{}']", names::CA_ANNOTATION);
        let items = json!([{"path": "ca.pem", "fieldRef": {"apiVersion": "v1", "fieldPath": field}}]);
        volumes.push(json!({"name": names::CA_VOLUME, "downwardAPI": {"items": items}}));
    }
    volumes
}

/// The mounts of a step container.
pub fn step_mounts(policy: &Effective) -> Vec<Value> {
    let mut mounts = vec![json!({"name": names::VOLUME, "mountPath": names::MOUNT_PATH, "readOnly": true})];
    mounts.extend(ca_mount(policy));
    mounts
}

/// The init container: our image, exec form, inside Pod Security "restricted", without the service account's token.
pub fn container(policy: &Effective, injector: &Injector, pod: &StepPod<'_>) -> Value {
    let mut command = vec!["/stepspan-shim".to_owned(), "init".into(), "--to".into(), names::MOUNT_PATH.into()];
    if policy.probe_ms > 0 {
        let probe = ["--probe", &policy.endpoint, "--protocol", policy.protocol.as_str(), "--timeout"];
        command.extend(probe.map(str::to_owned));
        command.push(format!("{}ms", policy.probe_ms));
    }
    let mut mounts = vec![
        json!({"name": names::VOLUME, "mountPath": names::MOUNT_PATH}),
        json!({"name": names::NO_TOKEN_VOLUME, "mountPath": names::TOKEN_PATH, "readOnly": true}),
    ];
    mounts.extend(ca_mount(policy));
    json!({
        "name": names::INIT_CONTAINER,
        "image": injector.image,
        "imagePullPolicy": injector.pull_policy,
        "command": command,
        "resources": resources(pod),
        "volumeMounts": mounts,
        "securityContext": security_context(injector, pod),
    })
}

fn ca_mount(policy: &Effective) -> Option<Value> {
    let mount = || json!({"name": names::CA_VOLUME, "mountPath": names::CA_MOUNT_PATH, "readOnly": true});
    policy.ca_bundle.as_ref().map(|_| mount())
}

fn security_context(injector: &Injector, pod: &StepPod<'_>) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    // OpenShift gives a pod without a user one of its range. A pod that says 0 keeps that, and our container would not start.
    let own = pod.raw["spec"]["securityContext"]["runAsUser"].as_u64();
    if own == Some(0) || (own.is_none() && !injector.openshift) {
        context["runAsUser"] = json!(USER);
    }
    context
}

/// The step container's own resources, in a containerSet the largest per resource. Request and limit of a resource come from the
/// same container, so that their relation is one that LimitRange and validation accept already. Where the step has none there is none:
/// a request would change the pod's QoS class and could fall under a quota that the pod alone would not.
fn resources(pod: &StepPod<'_>) -> Value {
    let mut requests = Map::new();
    let mut limits = Map::new();
    for resource in RESOURCES {
        let of = |container: &Value, kind: &str| container["resources"][kind].get(resource).cloned();
        let weight = |container: &Value| {
            let counted = of(container, "requests").or_else(|| of(container, "limits"));
            counted.as_ref().and_then(quantity).map(|q| (q, of(container, "limits").as_ref().and_then(quantity)))
        };
        let largest = pod.steps().map(|c| c.raw).filter(|c| weight(c).is_some()).max_by_key(|c| weight(c));
        let Some(largest) = largest else { continue };
        if let Some(request) = of(largest, "requests") {
            requests.insert(resource.to_owned(), request);
        }
        if let Some(limit) = of(largest, "limits") {
            limits.insert(resource.to_owned(), limit);
        }
    }
    let mut resources = Map::new();
    for (kind, values) in [("requests", requests), ("limits", limits)] {
        if !values.is_empty() {
            resources.insert(kind.to_owned(), Value::Object(values));
        }
    }
    Value::Object(resources)
}

fn quantity(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => nanos(text),
        Value::Number(number) => nanos(&number.to_string()),
        _ => None,
    }
}
