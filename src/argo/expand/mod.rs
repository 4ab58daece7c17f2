//! From a Workflow to the pods that Argo's controller would create, each step taken to succeed.
//!
//! ```text
//! manifest -> execution (joined with its template and the defaults) -> walk (steps, dag, hooks) -> template -> pod
//! ```
//!
//! [`source`] makes a Workflow of what only starts one, [`execution`] joins it and finds the values of `{{workflow...}}`, [`walk`] goes
//! from the entrypoint down ([`steps`], [`dag`]), [`template`] puts arguments in their places ([`scope`]: what stands around it), [`pod`] and [`agent`] build pods, [`typed`] writes
//! templates as Go does. Below
//! them: [`node`] names nodes and pods, [`replace`] puts values in the place of `{{...}}`, [`expression`] decides `{{=...}}`, [`items`]
//! unrolls loops, [`condition`] judges `when`, [`merge`] merges as Kubernetes does, [`library`] holds what can be referred to.
//!
//! Invariants:
//! - **Well-formed.** [`shape`] has looked at everything that comes in; what is of another type than Argo's is refused with its place.
//! - **Never a guess.** What only the run knows stays as `{{...}}`; a node that may not run says on what it depends.
//! - **Bounded.** At most [`MAX_DEPTH`] templates in one another and [`MAX_NODES`] nodes; a template that stands in itself on a
//!   condition of the run is not looked at again.
//! - **Held to the controller.** `tests/cluster/cases/fidelity.rs` compares with what the real one creates.

mod agent;
mod bounds;
pub mod condition;
mod dag;
pub mod execution;
pub mod expression;
pub mod items;
pub mod library;
mod merge;
pub mod node;
mod order;
mod parameter;
mod pod;
mod quantity;
mod raw;
pub mod replace;
mod scope;
pub mod settings;
mod shape;
pub mod source;
mod steps;
mod template;
#[cfg(test)]
mod tests;
mod typed;
mod unresolved;
mod validate;
mod walk;

use serde_json::Value;

pub use execution::Execution;
pub use library::Library;
pub use settings::{Settings, Version};
use template::Kind;

/// Most templates in one another; the controller stops there too (`maxStackDepth`, which it reaches with the next).
pub const MAX_DEPTH: usize = 99;
/// Most nodes of one Workflow that are looked at.
pub const MAX_NODES: usize = 10_000;

/// What a Workflow comes to.
#[derive(Debug, Default)]
pub struct Expansion {
    /// The pods.
    pub pods: Vec<Predicted>,
    /// All nodes, each after the one it is a part of.
    pub nodes: Vec<Node>,
    /// What Argo would refuse.
    pub problems: Vec<Problem>,
    /// There were too many nodes.
    pub cut: bool,
}

/// A pod that the controller would create.
#[derive(Debug)]
pub struct Predicted {
    /// The pod, without what the API server adds.
    pub object: Value,
    /// Its node, by its place in [`Expansion::nodes`].
    pub node: usize,
    /// Sources of values that only the run knows, as [`Context::unresolved`](crate::context::Context::unresolved) names them.
    pub unresolved: Vec<String>,
}

/// A node, as it would stand in the Workflow's status.
#[derive(Debug)]
pub struct Node {
    /// Its name, such as `ci[0].build(0)`.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The template it executes.
    pub template: String,
    /// The node it is a part of.
    pub parent: Option<usize>,
    /// What has to be for it to run, where that is not sure; for [`NodeKind::Skipped`] what is not so.
    pub condition: Option<String>,
    /// Its pod, by its place in [`Expansion::pods`].
    pub pod: Option<usize>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Has a pod.
    Pod,
    /// A `steps` template.
    Steps,
    /// A group of steps that run at once.
    StepGroup,
    /// A `dag` template.
    Dag,
    /// The runs of a task's loop.
    TaskGroup,
    /// The attempts of a retried template; the first is looked at.
    Retry,
    /// Waits for somebody.
    Suspend,
    /// Done by the agent's pod.
    Request,
    /// The agent's pod.
    Agent,
    /// Does not run.
    Skipped,
    /// A template within itself, on a condition that only the run knows: not looked at again.
    Recursion,
}

impl NodeKind {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Steps => Self::Steps,
            Kind::Dag => Self::Dag,
            Kind::Suspend => Self::Suspend,
            Kind::Http | Kind::Plugin => Self::Request,
            Kind::Container | Kind::ContainerSet | Kind::Script | Kind::Resource | Kind::Data => Self::Pod,
        }
    }
}

/// What Argo would refuse, or what is missing to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The node's name.
    pub node: String,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// Why a Workflow cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// A place in a manifest, as far as it is known: a field; or a template, in it a step or task, in that a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The path of a field of the Workflow, such as `spec.templates[0].container`.
    pub field: Option<String>,
    /// The template's name.
    pub template: Option<String>,
    /// The name of the step or task.
    pub step: Option<String>,
    /// A tag, without its braces.
    pub tag: Option<String>,
}

impl Expansion {
    /// What has to be for a node to run: its own conditions and those of all it is a part of.
    pub fn conditions(&self, node: usize) -> Vec<&str> {
        let mut all = Vec::new();
        let mut at = self.nodes.get(node);
        while let Some(node) = at {
            all.extend(node.condition.as_deref());
            at = node.parent.and_then(|parent| self.nodes.get(parent));
        }
        all.reverse();
        all
    }
}

/// Expands a Workflow; `namespace` is that of one that names none.
///
/// # Errors
/// It cannot be started: what it refers to is not there, or a parameter has no value.
pub fn expand(workflow: &Value, namespace: &str, library: &Library, settings: &Settings) -> Result<Expansion, Refused> {
    shape::check(workflow).map_err(|misfit| Refused {
        message: misfit.to_string(),
        place: Place { field: Some(misfit.path), ..Place::default() },
    })?;
    let execution = Execution::of(workflow, namespace, library, settings)
        .map_err(|message| Refused { message, place: Place::default() })?;
    Ok(walk::walk(&execution, library, settings))
}
