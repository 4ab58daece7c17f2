//! Which node stands in which: the tree that people read, out of what Argo stores as a graph.
//!
//! `boundaryID` names the node of the template in which a node is (`NodeStatus.BoundaryID`). What stands between the two, a group
//! of steps, a loop of a dag, the attempts of a step, has the same boundary as what is in it, and says by its `children` and by
//! its name what that is (`workflow/controller/steps.go`, `dag.go`, `operator.go`: `parent[0].step`, `task(0:item)`, `step(0)`).

use std::collections::{BTreeMap, HashSet};

use super::node::Node;
use super::phase::Kind;
use super::status::Run;

/// The nodes of a run, each below what it is in.
#[derive(Debug)]
pub struct Tree<'r> {
    run: &'r Run,
    /// From a node to the one that it is in; what is not there is in the Workflow.
    parents: BTreeMap<&'r str, &'r str>,
    /// What is in the Workflow itself.
    outermost: Vec<&'r Node>,
    /// From a node to what is in it.
    inside: BTreeMap<&'r str, Vec<&'r Node>>,
    /// The attempts of a step, by its id and their numbers.
    attempts: BTreeMap<(&'r str, u64), &'r Node>,
}

impl<'r> Tree<'r> {
    /// Puts the nodes below one another.
    pub fn of(run: &'r Run) -> Self {
        let mut parents = BTreeMap::new();
        for node in run.nodes.values() {
            if let Some(boundary) = node.boundary.as_deref().and_then(|id| run.nodes.get(id)) {
                parents.insert(node.id.as_str(), boundary.id.as_str());
            }
        }
        for around in run.nodes.values() {
            let Some(sign) = sign(around.kind) else { continue };
            let children = around.children.iter().filter_map(|id| run.nodes.get(id));
            let inside = children
                .filter(|node| node.name.strip_prefix(around.name.as_str()).is_some_and(|rest| rest.starts_with(sign)));
            for node in inside {
                parents.insert(&node.id, &around.id);
            }
        }
        open_circles(run, &mut parents);
        let (mut outermost, mut inside) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for node in run.nodes.values() {
            match parents.get(node.id.as_str()) {
                Some(parent) => inside.entry(*parent).or_default().push(node),
                None => outermost.push(node),
            }
        }
        for nodes in inside.values_mut().chain([&mut outermost]) {
            nodes.sort_by(|a, b| order(a).cmp(&order(b)));
        }
        let retries = run.nodes.values().filter(|node| node.kind == Kind::Retry);
        let attempts = retries.flat_map(|retry| {
            let inside = inside.get(retry.id.as_str()).into_iter().flatten();
            inside.filter_map(|node| Some(((retry.id.as_str(), number(retry, node)?), *node)))
        });
        let attempts = attempts.collect();
        Self { run, parents, outermost, inside, attempts }
    }

    /// The node that a node is in; `None` for what is in the Workflow itself.
    pub fn parent(&self, node: &Node) -> Option<&'r Node> {
        self.run.nodes.get(*self.parents.get(node.id.as_str())?)
    }

    /// What is in a node, or in the Workflow, in the order in which it began; what has not begun comes last.
    pub fn inside(&self, of: Option<&Node>) -> &[&'r Node] {
        match of {
            None => &self.outermost,
            Some(node) => self.inside.get(node.id.as_str()).map_or(&[], Vec::as_slice),
        }
    }

    /// The number of an attempt, from 0; `None` for what is no attempt.
    pub fn attempt(&self, node: &Node) -> Option<u64> {
        number(self.parent(node).filter(|parent| parent.kind == Kind::Retry)?, node)
    }

    /// The attempt before this one.
    pub fn attempt_before(&self, node: &Node) -> Option<&'r Node> {
        let around = self.parent(node).filter(|parent| parent.kind == Kind::Retry)?;
        let before = number(around, node)?.checked_sub(1)?;
        self.attempts.get(&(around.id.as_str(), before)).copied()
    }
}

/// A status that somebody wrote may lead round: such nodes are in the Workflow.
fn open_circles<'r>(run: &'r Run, parents: &mut BTreeMap<&'r str, &'r str>) {
    let mut sound = HashSet::new();
    for id in run.nodes.keys() {
        let (mut way, mut at) = (HashSet::new(), id.as_str());
        while !sound.contains(at) {
            if !way.insert(at) {
                parents.remove(at);
                break;
            }
            let Some(parent) = parents.get(at) else { break };
            at = parent;
        }
        sound.extend(way);
    }
}

/// What the name of a node goes on with in what it holds, though that has the same boundary.
fn sign(kind: Kind) -> Option<char> {
    match kind {
        Kind::StepGroup => Some('.'),
        Kind::TaskGroup | Kind::Retry => Some('('),
        _ => None,
    }
}

/// The number in `step(1)`.
fn number(retry: &Node, node: &Node) -> Option<u64> {
    node.name.strip_prefix(retry.name.as_str())?.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
}

/// By time, then as people count: `a(2)` before `a(10)`.
fn order(node: &Node) -> (u64, usize, &str) {
    (node.started.unwrap_or(u64::MAX), node.name.len(), &node.name)
}
