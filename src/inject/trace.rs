//! Where a pod's spans belong: trace, parent, link, and the sampling decision, which is made here once.

use stepspan_contract::Parent;

use super::carrier::{self, Carried, Kind};
use crate::argo::{Container, StepPod, expand};
use crate::context::Injector;
use crate::identity::{SpanId, TraceId, TraceParent};
use crate::policy::effective::Effective;
use crate::policy::spec::{Incoming, ParentKind, TraceMode};

/// The trace facts of one pod.
#[derive(Debug, Clone)]
pub struct PodTrace {
    /// The trace, the pod's node span, the sampling decision: annotation `trace.context`.
    pub context: TraceParent,
    /// A foreign trace to link to.
    pub link: Option<TraceParent>,
    joined: Option<SpanId>,
    environment: bool,
}

impl PodTrace {
    /// `None` where the pod does not say which Workflow and node it belongs to.
    pub fn of(pod: &StepPod<'_>, carried: &Carried, policy: &Effective) -> Option<Self> {
        let (uid, node_id) = (pod.workflow_uid?, pod.node_id?);
        let node_span = SpanId::of_node(uid, node_id);
        if policy.mode == TraceMode::Argo
            && let Some(argo) = argo_parent(pod)
        {
            return Some(Self { context: argo, link: None, joined: None, environment: true });
        }
        let text =
            pod.annotation(carrier::TRACEPARENT).or_else(|| carried.value(Kind::Annotation, carrier::TRACEPARENT));
        let incoming = text.and_then(TraceParent::read);
        let own = || TraceId::of_workflow(uid);
        let (trace, allowed, link, joined) = match (policy.incoming, incoming) {
            (Incoming::Parent, Some(foreign)) => (foreign.trace, foreign.sampled, None, Some(foreign.span)),
            (Incoming::Link, link) => (own(), true, link, None),
            _ => (own(), true, None, None),
        };
        let sampled = allowed && trace.sampled_at(policy.ratio);
        Some(Self { context: TraceParent { trace, span: node_span, sampled }, link, joined, environment: false })
    }

    /// What a step's span is linked to: a foreign trace, and the attempt before (whose node span only `watch` emits).
    pub fn links(&self, pod: &StepPod<'_>, policy: &Effective, injector: &Injector) -> Vec<TraceParent> {
        let before = || {
            let name = attempt_before(pod.node_name?)?;
            let span = SpanId::of_node(pod.workflow_uid?, &expand::node::id(pod.workflow_name, &name));
            Some(TraceParent { span, ..self.context.clone() })
        };
        let in_node = parent_kind(policy, injector) == ParentKind::Node && !self.environment;
        let retried = in_node.then(before).flatten();
        self.link.iter().cloned().chain(retried).collect()
    }

    /// The parent of a step container's span.
    pub fn parent(&self, policy: &Effective, injector: &Injector, (uid, node_id): (&str, &str)) -> Parent {
        match (parent_kind(policy, injector), &self.joined) {
            _ if self.environment => Parent::Environment,
            (ParentKind::Node, _) => Parent::Span(SpanId::of_node(uid, node_id).as_str().to_owned()),
            (ParentKind::None, Some(foreign)) => Parent::Span(foreign.as_str().to_owned()),
            (ParentKind::None, None) => Parent::None,
        }
    }
}

/// A step's span must not hang on a span that nobody sends: where the policy does not say, it is the node's only where somebody sends that.
fn parent_kind(policy: &Effective, injector: &Injector) -> ParentKind {
    policy.parent.unwrap_or(if injector.node_spans { ParentKind::Node } else { ParentKind::None })
}

/// The traceparent that Argo 4.1 sets on the step container.
fn argo_parent(pod: &StepPod<'_>) -> Option<TraceParent> {
    let (_, entry) = pod.steps().next()?.env_entry("TRACEPARENT")?;
    TraceParent::read(entry.get("value")?.as_str()?)
}

/// The node name of the attempt before `name(2)`; `None` for a first one, and for what is no attempt (`name(2:item)`).
fn attempt_before(node_name: &str) -> Option<String> {
    let (name, attempt) = node_name.strip_suffix(')')?.rsplit_once('(')?;
    let attempt: u32 = attempt.parse().ok().filter(|_| attempt.bytes().all(|b| b.is_ascii_digit()))?;
    Some(format!("{name}({})", attempt.checked_sub(1)?))
}

/// The node id of a step container: the pod's, or in a containerSet the member's own.
pub fn container_node_id(pod: &StepPod<'_>, container: &Container<'_>) -> String {
    let pod_node = pod.node_id.unwrap_or_default();
    match pod.node_name {
        Some(node_name) if is_member(pod, container) => {
            expand::node::id(pod.workflow_name, &format!("{node_name}.{}", container.name))
        }
        _ => pod_node.to_owned(),
    }
}

/// Whether a step container is one of a containerSet's.
pub fn is_member(pod: &StepPod<'_>, container: &Container<'_>) -> bool {
    // A set's only member may be called `main`; that shows in the template alone.
    pod.container_set || container.name != crate::argo::names::MAIN_CONTAINER || pod.steps().count() > 1
}
