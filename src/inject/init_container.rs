//! The tracing init container and the volumes.

use super::quantity::nanos;
use crate::argo::{Layout, StepPod};
use crate::context::Injector;
use crate::json::{Json, Object};
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
pub fn volumes(policy: &Effective, injector: &Injector, by_image: bool) -> Vec<Json<'static>> {
    let mut volumes = Vec::with_capacity(3);
    if by_image {
        let (image, policy) = (injector.image.clone(), injector.pull_policy.clone());
        let image = Json::object([("reference", image.into()), ("pullPolicy", policy.into())]);
        volumes.push(Json::object([("name", names::VOLUME.into()), ("image", image)]));
    } else {
        for (name, size) in [(names::VOLUME, VOLUME_SIZE), (names::NO_TOKEN_VOLUME, "1Mi")] {
            let directory = Json::object([("sizeLimit", size.into())]);
            volumes.push(Json::object([("name", name.into()), ("emptyDir", directory)]));
        }
    }
    if policy.ca_bundle.is_some() {
        let field = format!("metadata.annotations['{}']", names::CA_ANNOTATION);
        let field = Json::object([("apiVersion", "v1".into()), ("fieldPath", field.into())]);
        let item = Json::object([("path", "ca.pem".into()), ("fieldRef", field)]);
        let items = Json::object([("items", vec![item].into())]);
        volumes.push(Json::object([("name", names::CA_VOLUME.into()), ("downwardAPI", items)]));
    }
    volumes
}

/// The mounts of a step container.
pub fn step_mounts(policy: &Effective) -> Vec<Json<'static>> {
    let mut mounts = vec![read_only(names::VOLUME, names::MOUNT_PATH)];
    mounts.extend(ca_mount(policy));
    mounts
}

/// The init container: our image, exec form, inside Pod Security "restricted", without the service account's token.
pub fn container(policy: &Effective, injector: &Injector, pod: &StepPod<'_>) -> Json<'static> {
    let mut command: Vec<Json<'_>> = ["/stepspan-shim", "init", "--to", names::MOUNT_PATH].map(Json::from).into();
    if policy.probe_ms > 0 {
        command.extend(["--probe".into(), policy.endpoint.clone().into()]);
        command.extend(["--protocol", policy.protocol.as_str(), "--timeout"].map(Json::from));
        command.push(format!("{}ms", policy.probe_ms).into());
        if policy.ca_bundle.is_some() {
            command.extend(["--ca", names::CA_PATH].map(Json::from));
        }
    }
    let mut mounts = vec![
        Json::object([("name", names::VOLUME.into()), ("mountPath", names::MOUNT_PATH.into())]),
        read_only(names::NO_TOKEN_VOLUME, names::TOKEN_PATH),
    ];
    mounts.extend(ca_mount(policy));
    Json::object([
        ("name", names::INIT_CONTAINER.into()),
        ("image", injector.image.clone().into()),
        ("imagePullPolicy", injector.pull_policy.clone().into()),
        ("command", command.into()),
        ("resources", resources(pod)),
        ("volumeMounts", mounts.into()),
        ("securityContext", security_context(injector, pod.raw["spec"]["securityContext"]["runAsUser"].as_u64())),
    ])
}

fn ca_mount(policy: &Effective) -> Option<Json<'static>> {
    policy.ca_bundle.as_ref().map(|_| read_only(names::CA_VOLUME, names::CA_MOUNT_PATH))
}

fn read_only(volume: &'static str, path: &'static str) -> Json<'static> {
    Json::object([("name", volume.into()), ("mountPath", path.into()), ("readOnly", true.into())])
}

/// Inside Pod Security "restricted"; `own` is the pod's `runAsUser`.
pub fn security_context(injector: &Injector, own: Option<u64>) -> Json<'static> {
    let fields = [
        ("allowPrivilegeEscalation", false.into()),
        ("capabilities", Json::object([("drop", vec!["ALL".into()].into())])),
        ("readOnlyRootFilesystem", true.into()),
        ("runAsNonRoot", true.into()),
        ("seccompProfile", Json::object([("type", "RuntimeDefault".into())])),
    ];
    let mut context: Object<'_> = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    // OpenShift gives a pod without a user one of its range. A pod that says 0 keeps that, and our container would not start.
    if own == Some(0) || (own.is_none() && !injector.openshift) {
        context.insert("runAsUser".into(), Json::Number(USER.into()));
    }
    Json::Object(context)
}

/// The step container's own resources, in a containerSet the largest per resource. Request and limit of a resource come from the
/// same container, so that their relation is one that LimitRange and validation accept already. Where the step has none there is none:
/// a request would change the pod's QoS class and could fall under a quota that the pod alone would not.
fn resources(pod: &StepPod<'_>) -> Json<'static> {
    let mut requests = Object::default();
    let mut limits = Object::default();
    for resource in RESOURCES {
        let of = |container: &Json<'_>, kind: &str| container["resources"][kind].get(resource).map(Json::to_static);
        let weight = |container: &Json<'_>| {
            let counted = of(container, "requests").or_else(|| of(container, "limits"));
            counted.as_ref().and_then(quantity).map(|q| (q, of(container, "limits").as_ref().and_then(quantity)))
        };
        let largest = pod.steps().map(|c| c.raw).filter(|c| weight(c).is_some()).max_by_key(|c| weight(c));
        let Some(largest) = largest else { continue };
        if let Some(request) = of(largest, "requests") {
            requests.insert(resource.into(), request);
        }
        if let Some(limit) = of(largest, "limits") {
            limits.insert(resource.into(), limit);
        }
    }
    let mut resources = Object::default();
    for (kind, values) in [("requests", requests), ("limits", limits)] {
        if !values.is_empty() {
            resources.insert(kind.into(), Json::Object(values));
        }
    }
    Json::Object(resources)
}

fn quantity(value: &Json<'_>) -> Option<i128> {
    match value {
        Json::String(text) => nanos(text),
        Json::Number(number) => nanos(&number.to_string()),
        _ => None,
    }
}
