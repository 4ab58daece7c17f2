//! What stands around a template when it is executed.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::raw::kept;

/// Where names of templates are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base<'a> {
    /// The Workflow itself.
    Own,
    /// A WorkflowTemplate or a ClusterWorkflowTemplate.
    Template(&'a Value),
}

/// A template about to be executed.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The node's name.
    pub name: String,
    /// Who refers to the template: a step, a task, a hook.
    pub holder: &'a Value,
    /// `steps.name` or `tasks.name`.
    pub own_name: (&'static str, String),
    /// Its arguments.
    pub arguments: &'a Value,
    /// What stands around it.
    pub scope: Scope,
    /// Why it may not run.
    pub condition: Option<String>,
}

/// A template that others are a part of.
#[derive(Debug)]
pub(super) struct Boundary {
    /// As it is stored.
    pub template: Value,
    /// Steps and tasks whose `outputs.result` it speaks of.
    results: BTreeSet<String>,
}

impl Boundary {
    pub fn of(template: &Value) -> Self {
        let of = if kept(template, "dag").is_some() { "tasks" } else { "steps" };
        Self { template: template.clone(), results: results(&template.to_string(), of) }
    }

    /// Whether it speaks of the `outputs.result` of a step or task (`includeScriptOutput`).
    pub fn asks_for_result_of(&self, name: &str) -> bool {
        self.results.contains(name)
    }
}

/// What stands for NAME in `steps.NAME.outputs.result` and `steps['NAME'].outputs.result` where `of` is `steps`. Looked for once: a
/// template may have thousands.
fn results(json: &str, of: &str) -> BTreeSet<String> {
    let named = |(end, _): (usize, &str)| {
        let before = &json[..end];
        let (holder, name) = match before.strip_suffix("']") {
            Some(before) => before.rsplit_once("['")?,
            None => before.rsplit_once('.')?,
        };
        holder.ends_with(of).then(|| name.to_owned())
    };
    json.match_indices(".outputs.result").filter_map(named).collect()
}

/// Hooks, and what they hang on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hooked<'h> {
    /// `hooks`.
    pub hooks: &'h Value,
    /// `onExit`, a template's name; empty where there is none.
    pub on_exit: &'h str,
    /// What exit hooks without arguments of their own are given.
    pub arguments: &'h Value,
    /// The node.
    pub of: &'h str,
    /// Why that may not run.
    pub condition: Option<&'h str>,
}

/// What stands around a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// The template it is a part of, as it is stored, no value in its place yet.
    pub boundary: Option<Rc<Boundary>>,
    /// The node it is a part of.
    pub parent: Option<usize>,
    /// In an exit handler.
    pub on_exit: bool,
    /// The input artifacts of that template, which its steps may hand on.
    pub artifacts: Rc<Vec<Value>>,
    /// Levels of templates above.
    pub depth: usize,
    /// Templates above, and whether what led to each is sure.
    pub above: Rc<Vec<(String, bool)>>,
}

impl<'a> Call<'a> {
    /// What is no step and no task by name.
    pub fn plain(
        name: String,
        holder: &'a Value,
        arguments: &'a Value,
        scope: Scope,
        condition: Option<String>,
    ) -> Self {
        Self { name, holder, own_name: ("steps.name", String::new()), arguments, scope, condition }
    }
}

/// Two conditions as one.
pub(super) fn both(one: Option<&str>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}, and {other}")),
        (Some(one), None) => Some(one.to_owned()),
        (None, other) => other,
    }
}
