//! A pod and its policy -> what is put into the pod, container by container, and why not.

use stepspan_contract::names;

use super::carrier::Carried;
use super::entrypoint::{self, Injection};
use super::init_container;
use super::labels::Metadata;
use super::placement;
use super::reason::SkipReason;
use super::trace::{PodTrace, container_node_id};
use crate::argo::{PodKind, Role, StepPod};
use crate::context::Context;
use crate::json::Json;
use crate::patch::Op;
use crate::policy::effective::Effective;
use crate::policy::spec::Position;
use crate::policy::value::Value as Correlated;

/// What was decided for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDecision {
    /// The container's name.
    pub name: String,
    /// `None`: it gets the shim.
    pub skipped: Option<SkipReason>,
}

/// What is done with a pod.
#[derive(Debug, Default)]
pub struct InjectionPlan {
    /// The operations, in order.
    pub ops: Vec<Op>,
    /// For whoever made the pod.
    pub warnings: Vec<String>,
    /// Every container that is not Argo's own.
    pub containers: Vec<ContainerDecision>,
    /// Why the pod gets no shim at all; `None` where at least one container has one.
    pub skipped: Option<SkipReason>,
}

/// Whether any step container carries the shim already.
pub fn is_injected(pod: &StepPod<'_>) -> bool {
    let volume = list(pod.raw, "volumes").iter().any(|v| v["name"] == names::VOLUME);
    volume && pod.steps().any(entrypoint::is_injected)
}

/// Plans the patch of a matched pod.
pub fn plan(
    pod: &StepPod<'_>,
    policy: &Effective,
    values: &[Correlated],
    carried: &Carried,
    context: &Context,
) -> InjectionPlan {
    let mut plan = InjectionPlan::default();
    let missing =
        policy.correlation.iter().zip(values).find(|(key, v)| key.required && v.value.is_none() && v.awaits.is_none());
    if let Some((key, _)) = missing {
        return refused(pod, policy, SkipReason::Missing(key.name.clone()), plan);
    }
    let mut metadata = Metadata::of(pod, policy, values, context);
    let trace = PodTrace::of(pod, carried, policy);
    if let Some(trace) = &trace {
        metadata.own(names::TRACE_CONTEXT_ANNOTATION, trace.context.to_string());
    }
    let whole = whole_pod_refusal(pod, context, trace.is_some());
    plan.containers = decide(pod, policy, whole.as_ref());
    let first = plan.containers.iter().find(|c| c.skipped.is_none());
    plan.skipped = match (first, whole) {
        (Some(_), _) => None,
        (None, Some(reason)) => Some(reason),
        (None, None) => {
            // A step container's reason: a sidecar that another webhook puts first must not change the status.
            let reasons = || plan.containers.iter().filter_map(|c| c.skipped.as_ref());
            let of_step = reasons().find(|r| **r != SkipReason::Sidecar).or_else(|| reasons().next());
            Some(of_step.cloned().unwrap_or(SkipReason::PrefixNotProven))
        }
    };
    metadata.own(names::STATUS_ANNOTATION, status(plan.skipped.as_ref()));
    let with_shim = plan.skipped.is_none();
    if let (true, Some(bundle)) = (with_shim, &policy.ca_bundle) {
        metadata.own(names::CA_ANNOTATION, bundle.clone());
    }
    if with_shim {
        metadata.own(names::SPAN_NODES_ANNOTATION, span_nodes(pod, &plan.containers));
    }
    plan.ops = metadata.ops(pod, &policy.opt_out, with_shim, &mut plan.warnings);
    if let (true, Some(trace)) = (with_shim, &trace) {
        let injection = Injection { pod, policy, values, trace, injector: &context.injector };
        inject(&injection, &mut plan);
    }
    plan
}

fn inject(injection: &Injection<'_>, plan: &mut InjectionPlan) {
    let Injection { pod, policy, injector, .. } = *injection;
    let by_image = init_container::by_image(policy, pod);
    let volumes = init_container::volumes(policy, injector, by_image);
    entrypoint::append(pod.raw["spec"].get("volumes"), volumes, "/spec/volumes", &mut plan.ops);
    if !by_image {
        let container = init_container::container(policy, injector, pod);
        match pod.raw["spec"].get("initContainers") {
            Some(Json::Array(all)) if policy.position == Position::First && !all.is_empty() => {
                plan.ops.push(Op::add("/spec/initContainers/0", container));
            }
            list => entrypoint::append(list, vec![container], "/spec/initContainers", &mut plan.ops),
        }
    }
    for container in pod.steps() {
        if plan.containers.iter().any(|c| c.name == container.name && c.skipped.is_none()) {
            plan.ops.extend(entrypoint::ops(injection, container, &mut plan.warnings));
        }
    }
}

/// The containers that get the shim, and the node of each.
fn span_nodes(pod: &StepPod<'_>, decided: &[ContainerDecision]) -> String {
    let uid = pod.workflow_uid.unwrap_or_default();
    let traced = pod.steps().filter(|step| decided.iter().any(|c| c.name == step.name && c.skipped.is_none()));
    let told = traced.map(|step| format!("{}={uid}/{}", step.name, container_node_id(pod, step)));
    told.collect::<Vec<_>>().join(" ")
}

/// The pod is left as it is but for the outcome.
fn refused(pod: &StepPod<'_>, policy: &Effective, reason: SkipReason, mut plan: InjectionPlan) -> InjectionPlan {
    let mut metadata = Metadata::default();
    metadata.own(names::STATUS_ANNOTATION, status(Some(&reason)));
    plan.ops = metadata.ops(pod, &policy.opt_out, false, &mut plan.warnings);
    plan.skipped = Some(reason);
    plan
}

fn status(skipped: Option<&SkipReason>) -> String {
    skipped.map_or_else(|| "injected".to_owned(), |reason| format!("skipped: {reason}"))
}

/// Reasons that hold for every container of a pod.
fn whole_pod_refusal(pod: &StepPod<'_>, context: &Context, has_trace: bool) -> Option<SkipReason> {
    match pod.kind {
        PodKind::Resource => return Some(SkipReason::Resource),
        PodKind::Data => return Some(SkipReason::Data),
        PodKind::Agent => return Some(SkipReason::Agent),
        PodKind::ArtifactGc => return Some(SkipReason::ArtifactGc),
        PodKind::Step => {}
    }
    if let Some(reason) = placement::refuses(pod.raw, &context.injector.architectures) {
        return Some(reason);
    }
    if !has_trace {
        return Some(SkipReason::NoIdentity);
    }
    let taken = |field: &str, ours: &[&str]| {
        list(pod.raw, field).iter().any(|x| x["name"].as_str().is_some_and(|n| ours.contains(&n)))
    };
    let containers = [names::INIT_CONTAINER];
    let conflict =
        taken("volumes", &names::VOLUMES) || taken("initContainers", &containers) || taken("containers", &containers);
    conflict.then_some(SkipReason::MountConflict)
}

fn decide(pod: &StepPod<'_>, policy: &Effective, whole: Option<&SkipReason>) -> Vec<ContainerDecision> {
    let foreign = pod.containers.iter().filter(|c| c.role != Role::Argo);
    let decision = |container| {
        let container: &crate::argo::Container<'_> = container;
        let skipped = match (container.role, whole) {
            (Role::Sidecar, _) => Some(SkipReason::Sidecar),
            (_, Some(reason)) => Some(reason.clone()),
            _ => entrypoint::refusal(policy, container),
        };
        ContainerDecision { name: container.name.to_owned(), skipped }
    };
    foreign.map(decision).collect()
}

fn list<'a>(pod: &'a Json<'a>, field: &str) -> &'a [Json<'a>] {
    pod["spec"][field].as_array().unwrap_or(&[])
}
