//! The shim in front of one step container's command, and its configuration.

use stepspan_contract::{Config, names};

use super::env::{self, EnvPlan};
use super::init_container::step_mounts;
use super::reason::SkipReason;
use super::trace::{PodTrace, container_node_id, is_member};
use crate::argo::{Container, StepPod};
use crate::context::Injector;
use crate::json::Json;
use crate::patch::Op;
use crate::policy::effective::Effective;
use crate::policy::selector::globs_take;
use crate::policy::value::{Value as Correlated, workflow_stem};
use crate::text::{self, clean};

/// What is known of the pod when its containers are looked at.
pub struct Injection<'a> {
    /// The pod.
    pub pod: &'a StepPod<'a>,
    /// The merged policy.
    pub policy: &'a Effective,
    /// The pod's correlation values.
    pub values: &'a [Correlated],
    /// The pod's place in its trace.
    pub trace: &'a PodTrace,
    /// How our container comes into pods.
    pub injector: &'a Injector,
}

/// Why a container gets no shim; `None` where it can have one.
pub fn refusal(policy: &Effective, container: &Container<'_>) -> Option<SkipReason> {
    if !globs_take(&policy.containers, container.name) {
        return Some(SkipReason::ContainerExcluded);
    }
    if container.user_argv.is_none() {
        return Some(SkipReason::PrefixNotProven);
    }
    let devices = container.raw["volumeDevices"].as_array().into_iter().flatten().map(|d| &d["devicePath"]);
    let paths = container.mounts().iter().map(|m| &m["mountPath"]).chain(devices);
    if paths.filter_map(Json::as_str).any(in_our_way) {
        return Some(SkipReason::MountConflict);
    }
    let private = format!("$({}", names::PRIVATE_PREFIX);
    let reserved = env::references(container).iter().any(|text| text.contains(&private));
    reserved.then_some(SkipReason::ReservedReference)
}

/// Whether a mount is the shim's.
pub fn is_our_mount(mount: &Json<'_>) -> bool {
    mount["name"] == names::VOLUME && mount["mountPath"] == names::MOUNT_PATH
}

/// Whether a container carries our shim: our words after emissary's `--`, and our mount.
pub fn is_injected(container: &Container<'_>) -> bool {
    let Some(start) = container.user_argv else { return false };
    container.command().skip(start).take(names::SHIM_ARGV.len()).eq(names::SHIM_ARGV)
        && container.mounts().iter().any(is_our_mount)
}

/// The operations on one container: argv, environment, mounts.
pub fn ops(injection: &Injection<'_>, container: &Container<'_>, warnings: &mut Vec<String>) -> Vec<Op> {
    let at = format!("/spec/containers/{}", container.index);
    let mut ops = Vec::with_capacity(20);
    for (i, word) in names::SHIM_ARGV.iter().enumerate() {
        let index = container.user_argv.unwrap_or_default() + i;
        ops.push(Op::add(format!("{at}/command/{index}"), *word));
    }
    let plan = env::plan(injection.policy, injection.pod, container);
    env_ops(injection, container, plan, &format!("{at}/env"), &mut ops, warnings);
    append(container.raw.get("volumeMounts"), step_mounts(injection.policy), &format!("{at}/volumeMounts"), &mut ops);
    ops
}

/// Appends to a list that may be absent.
pub fn append(list: Option<&Json<'_>>, items: Vec<Json<'static>>, at: &str, ops: &mut Vec<Op>) {
    match list {
        Some(Json::Array(_)) => ops.extend(items.into_iter().map(|item| Op::add(format!("{at}/-"), item))),
        _ => ops.push(Op::add(at, items)),
    }
}

fn env_ops(
    injection: &Injection<'_>,
    container: &Container<'_>,
    plan: EnvPlan,
    at: &str,
    ops: &mut Vec<Op>,
    warnings: &mut Vec<String>,
) {
    for (index, entry) in plan.replace {
        ops.push(Op::replace(format!("{at}/{index}"), entry));
    }
    // From the end, so that the indices before stay true.
    for (index, entry) in container.env().iter().enumerate().rev() {
        let name = entry["name"].as_str().unwrap_or_default();
        if name.starts_with(names::PRIVATE_PREFIX) {
            warnings.push(format!("container {}: the variable {name} is reserved and was removed", container.name));
            ops.push(Op::remove(format!("{at}/{index}")));
        }
    }
    let mut entries = private_entries(injection);
    let config = config(injection, container, plan.rules).encode();
    entries.push(Json::object([
        ("name", names::CONFIG_ENV.into()),
        ("value", env::literal(injection.pod, &config).into()),
    ]));
    entries.extend(plan.append);
    append(container.raw.get("env"), entries, at, ops);
}

/// Variables that other variables refer to; the kubelet expands only what stands before.
fn private_entries(injection: &Injection<'_>) -> Vec<Json<'static>> {
    let entry = |name: Json<'static>, kind: &'static str, source: Json<'static>| {
        Json::object([("name", name), ("valueFrom", Json::object([(kind, source)]))])
    };
    let field = |name: &'static str, path: &'static str| {
        entry(name.into(), "fieldRef", Json::object([("apiVersion", "v1".into()), ("fieldPath", path.into())]))
    };
    let mut entries = vec![field(names::POD_UID_ENV, "metadata.uid")];
    if injection.pod.name.is_none() {
        entries.push(field(names::POD_NAME_ENV, "metadata.name"));
    }
    for (i, header) in injection.policy.headers.iter().enumerate() {
        let secret = &header.secret_key_ref;
        let (name, key) = (secret.name.clone().into(), secret.key.clone().into());
        let optional = header.optional.unwrap_or(true).into();
        let reference = Json::object([("name", name), ("key", key), ("optional", optional)]);
        entries.push(entry(header_env(i).into(), "secretKeyRef", reference));
    }
    entries
}

fn header_env(index: usize) -> String {
    format!("{}{index}", names::HEADER_ENV_PREFIX)
}

fn config(injection: &Injection<'_>, container: &Container<'_>, env: Vec<stepspan_contract::EnvRule>) -> Config {
    let Injection { pod, policy, values, trace, injector } = *injection;
    let uid = pod.workflow_uid.unwrap_or_default();
    let node_id = container_node_id(pod, container);
    Config {
        trace_id: trace.context.trace.as_str().to_owned(),
        parent: trace.parent(policy, injector, (uid, &node_id)),
        sampled: trace.context.sampled,
        keep_failed: policy.keep_failed,
        links: trace.links(pod, policy, injector).iter().map(ToString::to_string).collect(),
        pod_name: pod.name.map(ToOwned::to_owned),
        workflow_uid: uid.to_owned(),
        node_id,
        container: container.name.to_owned(),
        span_name: policy.span_name.clone(),
        attribute_names: policy.attributes.as_str().to_owned(),
        attributes: attributes(pod, policy, values, container),
        attributes_from_env: from_env(values),
        endpoint: policy.endpoint.clone(),
        protocol: policy.protocol.as_str().to_owned(),
        ca_file: policy.ca_bundle.as_ref().map(|_| names::CA_PATH.to_owned()),
        headers: policy.headers.iter().enumerate().map(|(i, h)| (h.name.clone(), header_env(i))).collect(),
        budget_ms: policy.budget_ms,
        grace_ms: pod.raw["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or_default().saturating_mul(1000),
        daemon: pod.daemon,
        identity_line: policy.identity_line,
        metrics: injector.shim_metrics.then(|| clean(workflow_stem(pod.workflow_name), text::MAX_ENV)),
        env,
    }
}

fn attributes(
    pod: &StepPod<'_>,
    policy: &Effective,
    values: &[Correlated],
    container: &Container<'_>,
) -> Vec<(String, String)> {
    let known = values.iter().filter_map(|v| Some((v.key.clone(), v.value.as_deref()?)));
    let mut attributes: Vec<(String, String)> = known.map(|(key, value)| (key, clean(value, text::MAX_ENV))).collect();
    if is_member(pod, container)
        && let Some((_, step)) = attributes.iter_mut().find(|(key, _)| key == "stepName")
    {
        // Members of a containerSet are spans of their own and would all have one name.
        let room = text::MAX_ENV.saturating_sub(container.name.len() + 1);
        *step = format!("{}.{}", text::cut(step, room), container.name);
    }
    let own = [("workflowName", pod.workflow_name), ("namespace", pod.namespace), ("environment", &policy.environment)];
    for (key, value) in own {
        if !attributes.iter().any(|(k, _)| k == key) {
            attributes.push((key.to_owned(), clean(value, text::MAX_ENV)));
        }
    }
    attributes
}

fn from_env(values: &[Correlated]) -> Vec<(String, String)> {
    values.iter().flat_map(|v| v.variables.iter().map(|variable| (v.key.clone(), variable.clone()))).collect()
}

/// Whether something stands where our mounts would, or below. The kubelet makes paths absolute and clean.
pub fn in_our_way(path: &str) -> bool {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    let ours = [names::MOUNT_PATH, names::CA_MOUNT_PATH];
    parts.first().is_some_and(|first| ours.iter().any(|path| path.strip_prefix('/') == Some(first)))
}
