//! What `{{workflow...}}` can stand for (`newTemplateValidationCtx` and `ValidateWorkflow`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Known, has};
use crate::argo::expand::raw::kept;
use crate::argo::expand::scope::Base;

/// What every Workflow has, or may have by the time.
const ALWAYS: [&str; 12] = [
    "name",
    "namespace",
    "mainEntrypoint",
    "serviceAccountName",
    "uid",
    "status",
    "parameters",
    "parameters.json",
    "annotations",
    "annotations.json",
    "labels",
    "labels.json",
];
/// What these begin is looked at by the run only.
const LATER: [&str; 3] = ["creationTimestamp", "scheduledTime", "duration"];

impl Known<'_> {
    /// Why `workflow.NAME` stands for nothing; `None` where it may stand for something.
    pub(super) fn no_global(&self, name: &str) -> Option<&'static str> {
        let execution = self.execution;
        if ALWAYS.contains(&name) || LATER.iter().any(|first| name.starts_with(first)) {
            return None;
        }
        let given = |what: &'static str| {
            let is_known = execution.is_template || execution.globals.contains_key(&format!("workflow.{name}"));
            (!is_known).then_some(what)
        };
        let (kind, rest) = name.split_once('.').unwrap_or((name, ""));
        match kind {
            "parameters" => given("the Workflow has no such parameter"),
            // Whoever deploys a Workflow may add labels, under a prefix of its own.
            "labels" | "annotations" if rest.contains('/') => None,
            "labels" if has(&execution.spec["workflowMetadata"]["labelsFrom"], rest) => None,
            "labels" => given("the Workflow has no such label"),
            "annotations" => given("the Workflow has no such annotation"),
            // What the templates of others give is not looked for.
            "outputs" if !matches!(self.base, Base::Own) => None,
            "outputs" => {
                let output = rest.strip_prefix("parameters.").or_else(|| rest.strip_prefix("artifacts."));
                let outputs = self.own.outputs.as_ref();
                let is_known = outputs.is_none_or(|outputs| output.is_some_and(|name| outputs.contains(name)));
                (!is_known).then_some("no template gives the Workflow such an output")
            }
            "priority" if has(&execution.spec, "priority") => None,
            "failures" if ["onExit", "hooks"].iter().any(|field| kept(&execution.spec, field).is_some()) => None,
            _ => Some("there is no such value of a Workflow"),
        }
    }
}

/// The outputs that templates give the Workflow; `None` where there are templates that are not here.
pub(super) fn outputs(templates: &Value) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    collect(templates, &mut names).then_some(names)
}

fn collect(value: &Value, names: &mut BTreeSet<String>) -> bool {
    match value {
        Value::Array(all) => all.iter().all(|one| collect(one, names)),
        Value::Object(fields) => fields.iter().all(|(field, value)| match (field.as_str(), value) {
            ("templateRef", value) => value.is_null(),
            ("globalName", Value::String(name)) => {
                names.insert(name.clone());
                !name.contains("{{")
            }
            (_, value) => collect(value, names),
        }),
        _ => true,
    }
}
