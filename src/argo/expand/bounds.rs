//! What is kept of a walk, within bounds: nodes, and problems with their places; the weight of pods, and of templates in one another.

use serde_json::Value;

use super::pod;
use super::raw::text;
use super::scope::{Base, Scope};
use super::walk::Walk;
use super::{MAX_NODES, Node, NodeKind, Place, Problem};

/// Most problems that are told of one Workflow.
const MAX_PROBLEMS: usize = 100;
/// Most bytes of pods that are kept of one Workflow, about.
const MAX_BYTES: usize = 256 << 20;
/// Most bytes of templates in one another, about; a Workflow is stored in less than two.
const MAX_OPEN: usize = 64 << 20;

impl<'a> Walk<'a> {
    /// Tells what is wrong with a node, where it is written.
    pub fn problem(&mut self, node: &str, message: impl Into<String>) {
        let place = self.place_of(node);
        self.problem_at(node, message.into(), place);
    }

    /// The step or task of a node, in the template that is being executed.
    pub fn place_of(&self, node: &str) -> Place {
        let Place { template, step, .. } = &self.place;
        let step = step.clone().or_else(|| template.as_ref().map(|_| pod::step_of(node).to_owned()));
        Place { template: template.clone(), step, ..Place::default() }
    }

    /// Tells what is wrong with a node; `place` is where.
    pub fn problem_at(&mut self, node: &str, message: String, place: Place) {
        if self.out.problems.len() < MAX_PROBLEMS {
            self.out.problems.push(Problem { node: node.to_owned(), message, place });
        } else {
            self.out.cut = true;
        }
    }

    /// Pays for what is kept; the rest is not looked at once it is too much.
    pub fn charge(&mut self, name: &str, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES && !self.out.cut {
            self.problem(
                name,
                format!("its pods come to more than {} MiB: the rest is not looked at", MAX_BYTES >> 20),
            );
            self.out.cut = true;
        }
        !self.out.cut
    }

    /// A node; `None` where there are too many.
    pub fn node(
        &mut self,
        name: &str,
        kind: NodeKind,
        template: &str,
        scope: &Scope,
        condition: Option<String>,
    ) -> Option<usize> {
        if self.out.nodes.len() >= MAX_NODES {
            if !self.out.cut {
                self.problem(name, format!("more than {MAX_NODES} nodes: the rest is not looked at"));
                self.out.cut = true;
            }
            return None;
        }
        if !self.charge(name, name.len() + 200) {
            return None;
        }
        self.out.nodes.push(Node {
            name: name.to_owned(),
            kind,
            template: template.to_owned(),
            parent: scope.parent,
            condition,
            pod: None,
        });
        Some(self.out.nodes.len() - 1)
    }

    /// Executes what a template is made of; not where the templates around it, which are kept meanwhile, come to too much.
    pub fn inside(&mut self, (name, base): (&str, Base<'a>), template: &Value, execute: impl FnOnce(&mut Self)) {
        let weight = weight(template);
        let place = match (base, text(template, "name")) {
            (Base::Own, own) if !own.is_empty() => Place { template: Some(own.to_owned()), ..Place::default() },
            _ => self.place_of(name),
        };
        let outer = std::mem::replace(&mut self.place, place);
        self.open += weight;
        if self.open > MAX_OPEN {
            self.problem(
                name,
                format!("it and the templates it is a part of come to more than {} MiB", MAX_OPEN >> 20),
            );
        } else {
            execute(self);
        }
        self.open -= weight;
        self.place = outer;
    }
}

/// About what a value takes.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(list) => 32 + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 64 + map.iter().map(|(key, value)| 48 + key.len() + weight(value)).sum::<usize>(),
        _ => 32,
    }
}
