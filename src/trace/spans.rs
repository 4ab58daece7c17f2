//! A run -> its spans: one for the Workflow, one for each node that has begun.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use stepspan_contract::attributes::{clean, named};

use super::node::Node;
use super::outcome::{error_type, result};
use super::phase::{Kind, Phase};
use super::pod::{Pod, Told};
use super::span::{Key, Link, Span, Value};
use super::status::{Run, Time, rfc3339};
use super::tree::Tree;
use super::values::Values;
use crate::identity::{SpanId, TraceId, TraceParent};

/// What is known of a run besides what its Workflow says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The pods of its steps, by node id.
    pub pods: BTreeMap<String, Pod>,
    /// When a node that `argo retry` has run again began for the first time, by node id; of the Workflow itself under the empty id.
    pub firsts: BTreeMap<String, Time>,
}

impl Known {
    /// A node's pod; of a member of a containerSet, its set's.
    pub fn pod_of(&self, node: &Node) -> Option<&Pod> {
        self.pods.get(&node.id).or_else(|| self.pods.get(node.boundary.as_deref()?))
    }
}

/// Makes the spans of a run.
#[derive(Debug)]
pub struct Spans<'a> {
    run: &'a Run,
    tree: &'a Tree<'a>,
    known: &'a Known,
    /// Trace, flags, and the span that the trace was joined at.
    context: TraceParent,
    joined: Option<SpanId>,
    /// What admission said of all pods alike.
    shared: Values,
    names: String,
    /// Where the trace was not taken: what is sent nevertheless.
    kept: OnceCell<HashSet<&'a str>>,
}

impl<'a> Spans<'a> {
    /// For a run, its tree, and what else is known of it.
    pub fn of(run: &'a Run, tree: &'a Tree<'a>, known: &'a Known) -> Self {
        let told: Vec<&Told> = known.pods.values().filter_map(|pod| pod.told.as_deref()).collect();
        let own =
            TraceParent { trace: TraceId::of_workflow(&run.uid), span: SpanId::of_workflow(&run.uid), sampled: true };
        // A pod that nobody admitted may say anything: a foreign trace is the one that came with the Workflow, or none.
        let is_ours = |told: &&TraceParent| {
            told.trace == own.trace || run.incoming.as_ref().is_some_and(|foreign| foreign.trace == told.trace)
        };
        // Where policies differ, the trace is taken if one of them takes it: the spans of its steps have parents then.
        let decided = told.iter().filter_map(|told| told.context.as_ref()).filter(is_ours);
        let decided = decided.reduce(|one, other| if other.sampled && !one.sampled { other } else { one }).cloned();
        let joined = run.incoming.clone().filter(|foreign| decided.as_ref().is_some_and(|d| d.trace == foreign.trace));
        let context = decided.map_or_else(|| own.clone(), |decided| TraceParent { span: own.span.clone(), ..decided });
        let names = told.first().map_or("both", |told| told.names.as_str()).to_owned();
        let (joined, shared) = (joined.map(|foreign| foreign.span), shared(&told));
        Self { run, tree, known, context, joined, shared, names, kept: OnceCell::new() }
    }

    /// All of them that have begun: the Workflow's, then what is in it, each before what is in it.
    pub fn all(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = self.workflow().into_iter().collect();
        let mut left: Vec<&Node> = self.tree.inside(None).iter().rev().copied().collect();
        while let Some(node) = left.pop() {
            spans.extend(self.node(node));
            left.extend(self.tree.inside(Some(node)).iter().rev());
        }
        spans
    }

    /// The Workflow's, from its creation: that the controller let it wait is seen in it. `None` before the controller has begun.
    pub fn workflow(&self) -> Option<Span> {
        let run = self.run;
        let started = run.started?;
        let again = self.began_again("", run.started).is_some();
        let mut links = Vec::new();
        if again {
            links.push(self.link(SpanId::of_workflow(&run.uid), "first run"));
        }
        let told = self.known.pods.values().find_map(|pod| pod.told.as_ref()?.incoming.as_deref());
        let incoming = told.or(run.incoming.as_ref()).filter(|_| self.joined.is_none());
        links.extend(incoming.map(|to| Link { to: to.clone(), role: "incoming" }));
        let mut attributes = self.attributes(None, &[]);
        let mut put = |key: &'static str, value: &str| put(&mut attributes, key, value);
        put("cicd.pipeline.result", result(run.phase, &run.message).unwrap_or_default());
        put("argo.workflow.name", &run.name);
        put("argo.workflow.phase", run.phase.as_str());
        put("argo.workflow.message", &run.message);
        if run.phase.is_bad() {
            put("error.type", &error_type(run.phase, &run.message, None));
        }
        // A run that is done again began anew; created it was long before.
        let start = if again { started } else { run.created.map_or(started, |created| created.min(started)) };
        Some(Span {
            trace: self.context.trace.clone(),
            id: self.workflow_id(),
            parent: self.joined.clone(),
            name: clean(&run.stem),
            start,
            end: end(run.phase, started, run.finished),
            attributes,
            events: Vec::new(),
            links,
            error: failure(run.phase, &run.message),
        })
    }

    /// A node's; `None` before it has begun.
    pub fn node(&self, node: &Node) -> Option<Span> {
        let start = node.started?;
        let pod = self.known.pod_of(node);
        let mut links = Vec::new();
        if self.began_again(&node.id, node.started).is_some() {
            links.push(self.link(SpanId::of_node(&self.run.uid, &node.id), "first run"));
        }
        if let Some(before) = self.tree.attempt_before(node) {
            links.push(self.link(self.id(before), "previous attempt"));
        }
        let parent = self.tree.parent(node).map_or_else(|| self.workflow_id(), |parent| self.id(parent));
        Some(Span {
            trace: self.context.trace.clone(),
            id: self.id(node),
            parent: Some(parent),
            name: clean(&self.name(node)),
            start,
            end: self.end(node, start),
            attributes: self.of_node(node, pod),
            events: pod.map(Pod::events).unwrap_or_default(),
            links,
            error: failure(node.phase, &node.message),
        })
    }

    /// The controller ends some Workflows without ending what is in them: that has ended with the Workflow.
    fn end(&self, node: &Node, start: Time) -> Option<Time> {
        let left = self.run.phase.is_final() && !node.phase.is_final();
        let (phase, finished) = if left { (self.run.phase, self.run.finished) } else { (node.phase, node.finished) };
        end(phase, start, finished)
    }

    /// A correlation value that all pods were told alike.
    pub fn common(&self, key: &str) -> &str {
        self.shared.get(key)
    }

    /// The trace that they are of.
    pub fn trace(&self) -> &TraceId {
        &self.context.trace
    }

    /// Whether the span of a node, or of the Workflow, is sent: where admission did not take the trace, only what leads to a failed step whose
    /// policy keeps it.
    pub fn is_exported(&self, node: Option<&Node>) -> bool {
        if self.context.sampled {
            return true;
        }
        let kept = self.kept.get_or_init(|| self.kept());
        node.map_or(!kept.is_empty(), |node| kept.contains(node.id.as_str()))
    }

    /// Failed steps whose policies keep them, and all that they are in.
    fn kept(&self) -> HashSet<&'a str> {
        let is_kept = |node: &&Node| {
            let told = self.known.pod_of(node).and_then(|pod| pod.told.as_ref());
            node.phase.is_bad() && told.is_some_and(|told| told.keep_failed)
        };
        let mut kept = HashSet::new();
        for step in self.run.nodes.values().filter(is_kept) {
            let mut at = Some(step);
            while let Some(node) = at.filter(|node| kept.insert(node.id.as_str())) {
                at = self.tree.parent(node);
            }
        }
        kept
    }

    /// The id of a node's span: that of its last run.
    fn id(&self, node: &Node) -> SpanId {
        match self.began_again(&node.id, node.started) {
            Some(started) => SpanId::of_node_again(&self.run.uid, &node.id, &rfc3339(started)),
            None => SpanId::of_node(&self.run.uid, &node.id),
        }
    }

    fn workflow_id(&self) -> SpanId {
        match self.began_again("", self.run.started) {
            Some(started) => SpanId::of_workflow_again(&self.run.uid, &rfc3339(started)),
            None => SpanId::of_workflow(&self.run.uid),
        }
    }

    /// When it began, where that was not for the first time.
    fn began_again(&self, id: &str, started: Option<Time>) -> Option<Time> {
        let first = self.known.firsts.get(id)?;
        started.filter(|started| started != first)
    }

    fn link(&self, span: SpanId, role: &'static str) -> Link {
        Link { to: TraceParent { span, ..self.context.clone() }, role }
    }

    /// The step's own name, without loop item, so that there are few; an attempt's with its number. What has no name of its own
    /// in Argo either is called by its template.
    fn name(&self, node: &Node) -> String {
        if node.name == self.run.name {
            return if node.template.is_empty() { node.display_name.clone() } else { node.template.clone() };
        }
        let own = match (node.kind, self.run.step_name(node)) {
            (Kind::StepGroup, _) | (_, None) => node.display_name.as_str(),
            (_, Some(own)) => own,
        };
        match self.tree.attempt(node) {
            // That of a whole Workflow is `name(0)`.
            Some(attempt) if self.run.step_name(node).is_none() => format!("{}({attempt})", node.template),
            Some(attempt) => format!("{own}({attempt})"),
            None => own.to_owned(),
        }
    }

    fn of_node(&self, node: &Node, pod: Option<&Pod>) -> Vec<(Key, Value)> {
        let told = pod.and_then(|pod| pod.told.as_ref());
        let values = told.map(|told| &told.values);
        let step = self.run.step_name(node).unwrap_or_default();
        let mut attributes =
            self.attributes(values, &[("stepName", step), ("nodeId", &node.id), ("workflow.job_id", &node.id)]);
        let mut put = |key: &'static str, value: &str| put(&mut attributes, key, value);
        put("cicd.pipeline.task.run.result", result(node.phase, &node.message).unwrap_or_default());
        put("argo.node.name", &node.name);
        put("argo.node.type", node.kind.as_str());
        put("argo.node.phase", node.phase.as_str());
        put("argo.node.message", &node.message);
        put("argo.node.template", &node.template);
        put("k8s.node.name", &node.host);
        put("k8s.pod.name", pod.map(|pod| pod.name.as_str()).unwrap_or_default());
        if node.phase.is_bad() {
            put("error.type", &error_type(node.phase, &node.message, node.exit_code));
        }
        let mut add = |key: &'static str, value: Value| attributes.push((key.into(), value));
        if let Some(code) = node.exit_code {
            add("process.exit.code", Value::Int(code));
        }
        if let Some(attempt) = self.tree.attempt(node) {
            add("argo.node.attempt", Value::Int(i64::try_from(attempt).unwrap_or(i64::MAX)));
        }
        for (key, yes) in [
            ("argo.node.hooked", node.hooked),
            ("argo.node.daemoned", node.daemoned),
            ("argo.node.memoized", node.cached),
        ] {
            if yes {
                add(key, Value::Bool(true));
            }
        }
        attributes
    }

    /// By the names that the policies want: `told` of this pod, else what all pods were told alike; then `own`.
    fn attributes(&self, told: Option<&Values>, own: &[(&str, &str)]) -> Vec<(Key, Value)> {
        let told = told.filter(|told| !told.is_empty()).unwrap_or(&self.shared);
        let mut values = vec![("workflowName", self.run.stem.as_str()), ("namespace", self.run.namespace.as_str())];
        values.extend(told.iter());
        values.extend_from_slice(own);
        values.push(("workflow.run_id", &self.run.uid));
        named(&self.names, &values).into_iter().map(|(key, value)| (key.into(), Value::Text(value))).collect()
    }
}

fn put(attributes: &mut Vec<(Key, Value)>, key: &'static str, value: &str) {
    if !value.is_empty() {
        attributes.push((key.into(), Value::Text(clean(value))));
    }
}

/// What all pods were told alike, but for what is a step's own.
fn shared(told: &[&Told]) -> Values {
    let Some((first, others)) = told.split_first() else { return Values::default() };
    let own = ["agent", "stepName", "nodeId", "templateName", "container"];
    let all = |pair: &(&str, &str)| others.iter().all(|other| other.values.iter().any(|theirs| theirs == *pair));
    Values::of(first.values.iter().filter(|(key, _)| !own.contains(key)).filter(all))
}

/// Nothing ends before it begins: of what was not run, and of clocks that differ, the end is the beginning.
fn end(phase: Phase, start: Time, finished: Option<Time>) -> Option<Time> {
    phase.is_final().then(|| finished.unwrap_or(start).max(start))
}

fn failure(phase: Phase, message: &str) -> Option<String> {
    phase.is_bad().then(|| clean(if message.is_empty() { phase.as_str() } else { message }))
}
