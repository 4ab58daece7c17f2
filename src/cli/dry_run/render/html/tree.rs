//! A picture of a Workflow: its nodes as a tree, with what is injected into which container, and what each is that has no pod.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::super::super::step::{Step, is_failure};
use super::text;
use crate::argo::expand::{Node, NodeKind};
use crate::argo::{PodKind, StepPod, node_name};
use crate::identity::h;
use crate::json::Json;
use crate::offline::Nodes;

/// Where the agent's pod stands, which is no node's: no step can have this name.
const AGENT: &str = "the agent's pod";
/// Behind what only the run knows of.
const CONDITIONAL: &str = " <span class=\"quiet\">conditional</span>";

/// A pod, as the tree shows it.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Where it stands below its Workflow, such as `[0]`, `build(0:a)`.
    path: Vec<String>,
    id: String,
    word: &'static str,
    /// Containers, each with a class of the style and what became of it.
    containers: Vec<(String, &'static str, String)>,
    conditional: bool,
}

impl Leaf {
    /// The leaf of a reviewed pod.
    pub(super) fn of(step: &Step<'_>, word: &'static str) -> Self {
        let before = Json::from(&step.before);
        let pod = StepPod::read(&before, &step.reviewed.namespace);
        let path = pod.as_ref().and_then(|pod| {
            let agents = (pod.kind == PodKind::Agent).then(|| vec![AGENT.to_owned()]);
            agents.or_else(|| Some(below(pod.node_name?, pod.workflow_name)))
        });
        let containers = step.reviewed.decision.containers.iter().map(|container| {
            let (class, what) = match &container.skipped {
                None => ("injected", "injected".to_owned()),
                Some(reason) if is_failure(reason) => ("failed", format!("failed: {reason}")),
                Some(reason) => ("skipped", reason.to_string()),
            };
            (container.name.clone(), class, what)
        });
        let path: Vec<String> = path.unwrap_or_default();
        let place = format!("{}:{}:{}:{path:?}", step.file, step.line, step.name());
        Self {
            path,
            id: format!("pod-{}", h(&place, 16)),
            word,
            containers: containers.collect(),
            conditional: !step.conditions.is_empty(),
        }
    }

    /// Its place on the page.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands below its Workflow, for people.
    pub(super) fn place(&self) -> String {
        self.path.join(" › ")
    }
}

/// Where a node stands below its Workflow.
fn below(node: &str, workflow: &str) -> Vec<String> {
    node_name::parts(node.strip_prefix(workflow).unwrap_or(node))
}

/// What a node is that no pod shows; `None` of one that only holds others, and of the agent's, whose place is not in its name.
fn what(node: &Node) -> Option<String> {
    Some(match node.kind {
        NodeKind::Steps
        | NodeKind::StepGroup
        | NodeKind::Dag
        | NodeKind::TaskGroup
        | NodeKind::Retry
        | NodeKind::Agent => return None,
        NodeKind::Pod => "not reviewed".to_owned(),
        NodeKind::Suspend => "suspend".to_owned(),
        NodeKind::Request => format!("done by {AGENT}"),
        NodeKind::Skipped => {
            let why = node.condition.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("skipped{why}")
        }
        NodeKind::Recursion => "within itself: not looked at again".to_owned(),
    })
}

/// Whether only the run knows that a node is come to.
fn is_conditional(nodes: &[Node], at: usize) -> bool {
    let mut above = std::iter::successors(nodes.get(at), |node| nodes.get(node.parent?));
    above.any(|node| node.condition.is_some() && node.kind != NodeKind::Skipped)
}

/// A place in the tree: what it is called, what is there, and what is below.
#[derive(Default)]
struct Place<'l> {
    name: String,
    leaf: Option<&'l Leaf>,
    /// What is there if it is no pod, and whether only the run knows of it.
    note: Option<(String, bool)>,
    below: Vec<Self>,
    /// By name, where in `below`.
    known: HashMap<String, usize>,
}

impl Place<'_> {
    /// The place at the end of a path from here.
    fn at(&mut self, path: &[String]) -> &mut Self {
        let mut at = self;
        for part in path {
            let next = at.below.len();
            let index = *at.known.entry(part.clone()).or_insert(next);
            if index == next {
                at.below.push(Self { name: part.clone(), ..Self::default() });
            }
            at = &mut at.below[index];
        }
        at
    }
}

/// The tree of a Workflow's nodes and of their pods, in their order.
pub(crate) fn tree(kind: &str, name: &str, place: &str, nodes: &Nodes, leaves: &[&Leaf]) -> String {
    let mut root = Place { name: name.to_owned(), ..Place::default() };
    for (at, node) in nodes.all.iter().enumerate() {
        if let Some(what) = what(node) {
            root.at(&below(&node.name, &nodes.workflow)).note = Some((what, is_conditional(&nodes.all, at)));
        }
    }
    for leaf in leaves {
        root.at(&leaf.path).leaf = Some(leaf);
    }
    let mut out = format!(
        "<section class=\"workflow\" aria-label=\"{0} {1}\"><h2>{0} {1} <span class=\"quiet\">{2}</span></h2>\n<ul class=\"tree\">",
        text(kind),
        text(name),
        text(place)
    );
    write(&root, &mut out);
    out.push_str("</ul>\n</section>\n");
    out
}

fn write(place: &Place<'_>, out: &mut String) {
    out.push_str("<li>");
    let name = if place.name.starts_with('[') { format!("step group {}", place.name) } else { place.name.clone() };
    match (place.leaf, &place.note) {
        (Some(leaf), _) => pod(leaf, &name, out),
        (None, None) => drop(write!(out, "<span class=\"node\">{}</span>", text(&name))),
        (None, Some((what, conditional))) => {
            let _ = write!(out, "<span class=\"node\">{}</span>", text(&name));
            if *conditional {
                out.push_str(CONDITIONAL);
            }
            let _ = write!(out, " <span class=\"quiet\">{}</span>", text(what));
        }
    }
    if !place.below.is_empty() {
        out.push_str("<ul>");
        for below in &place.below {
            write(below, out);
        }
        out.push_str("</ul>");
    }
    out.push_str("</li>");
}

fn pod(leaf: &Leaf, name: &str, out: &mut String) {
    let _ = write!(out, "<a class=\"node {}\" href=\"#{}\">{}</a>", leaf.word, leaf.id, text(name));
    if leaf.conditional {
        out.push_str(CONDITIONAL);
    }
    for (container, class, what) in &leaf.containers {
        let _ = write!(out, " <span class=\"container {class}\">{} <i>{}</i></span>", text(container), text(what));
    }
}
