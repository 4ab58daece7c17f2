//! A picture of a Workflow: its steps as a tree, with what is injected into which container.

use std::fmt::Write as _;

use super::super::super::step::Step;
use super::text;
use crate::argo::StepPod;
use crate::argo::node_name;
use crate::identity::h;
use crate::json::Json;

/// A pod, as the tree shows it.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Where it stands below its Workflow, such as `[0]`, `build(0:a)`.
    path: Vec<String>,
    id: String,
    word: &'static str,
    /// Containers, and why one gets nothing.
    containers: Vec<(String, Option<String>)>,
    conditional: bool,
}

impl Leaf {
    /// The leaf of a reviewed pod.
    pub(super) fn of(step: &Step<'_>, word: &'static str) -> Self {
        let before = Json::from(&step.before);
        let pod = StepPod::read(&before, &step.reviewed.namespace);
        let path = pod.as_ref().and_then(|pod| {
            let name = pod.node_name?;
            Some(node_name::parts(name.strip_prefix(pod.workflow_name).unwrap_or(name)))
        });
        let containers = step.reviewed.decision.containers.iter();
        let path: Vec<String> = path.unwrap_or_default();
        let place = format!("{}:{}:{}:{path:?}", step.file, step.line, step.name());
        Self {
            path,
            id: format!("pod-{}", h(&place, 16)),
            word,
            containers: containers.map(|c| (c.name.clone(), c.skipped.as_ref().map(ToString::to_string))).collect(),
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

/// A place in the tree: what it is called, the pod there, and what is below.
#[derive(Default)]
struct Place<'l> {
    name: String,
    leaf: Option<&'l Leaf>,
    below: Vec<Place<'l>>,
}

/// The tree of a Workflow's pods, in their order.
pub(crate) fn tree(kind: &str, name: &str, place: &str, leaves: &[&Leaf]) -> String {
    let mut root = Place { name: name.to_owned(), ..Place::default() };
    for leaf in leaves {
        let mut at = &mut root;
        for part in &leaf.path {
            let known = at.below.iter().position(|below| below.name == *part);
            let index = known.unwrap_or_else(|| {
                at.below.push(Place { name: part.clone(), ..Place::default() });
                at.below.len() - 1
            });
            at = &mut at.below[index];
        }
        at.leaf = Some(leaf);
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
    match place.leaf {
        None => drop(write!(out, "<span class=\"node\">{}</span>", text(&name))),
        Some(leaf) => {
            let _ = write!(out, "<a class=\"node {}\" href=\"#{}\">{}</a>", leaf.word, leaf.id, text(&name));
            if leaf.conditional {
                out.push_str(" <span class=\"quiet\">conditional</span>");
            }
            for (container, reason) in &leaf.containers {
                let (class, what) = match reason {
                    None => ("injected", "injected"),
                    Some(reason) => ("skipped", reason.as_str()),
                };
                let _ =
                    write!(out, " <span class=\"container {class}\">{} <i>{}</i></span>", text(container), text(what));
            }
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
