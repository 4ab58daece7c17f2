//! Steps and tasks (`validateSteps`, `validateDAG`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::{self, Form};
use super::{Mistake, has, holders, lacks};
use crate::argo::expand::dag::words;
use crate::argo::expand::items::LOOPS;
use crate::argo::expand::raw::{entries, kept, list, text};
use crate::argo::expand::template::is_located;

/// The mistakes of a template's steps.
pub(super) fn steps(template: &Value, found: &mut Vec<Mistake>) {
    of_names(template, "step", found);
    for step in holders(template) {
        one(step, "step", found);
    }
}

/// The mistakes of a template's tasks, but for what depends on what is not there, and on itself.
pub(super) fn tasks(template: &Value, found: &mut Vec<Mistake>) {
    of_names(template, "task", found);
    let tasks: BTreeMap<&str, &Value> = holders(template).map(|task| (text(task, "name"), task)).collect();
    if lacks(&template["dag"], "tasks") {
        found.push("it has no tasks".to_owned().into());
    }
    let depends = holders(template).any(|task| kept(task, "depends").is_some());
    for field in ["dependencies", "continueOn"] {
        if depends && holders(template).any(|task| kept(task, field).is_some()) {
            found.push(format!("its tasks have depends and {field}: Argo takes one of them").into());
        }
    }
    for task in holders(template) {
        let name = text(task, "name");
        one(task, "task", found);
        if (depends || kept(task, "dependencies").is_some()) && name.starts_with(|c: char| c.is_ascii_digit()) {
            let why = "a name with a digit first cannot stand beside depends or dependencies";
            found.push(of(task, "task", why));
        }
        results(task, &tasks, found);
    }
}

fn of_names(template: &Value, what: &str, found: &mut Vec<Mistake>) {
    let mistakes = names::mistakes(holders(template), what, Form::Field).into_iter();
    found.extend(mistakes.map(|(name, message)| Mistake { message, step: Some(name.to_owned()), tag: None }));
}

fn of(holder: &Value, what: &str, why: &str) -> Mistake {
    let name = text(holder, "name");
    Mistake { message: format!("{what} {name}: {why}"), step: Some(name.to_owned()), tag: None }
}

fn one(holder: &Value, what: &str, found: &mut Vec<Mistake>) {
    let name = text(holder, "name");
    let loops: Vec<&str> = LOOPS.into_iter().filter(|field| kept(holder, field).is_some()).collect();
    if loops.len() > 1 {
        let message = format!("{what} {name} has {}: one of them is allowed", loops.join(" and "));
        found.push(Mistake { message, step: Some(name.to_owned()), tag: None });
    }
    let mut tell = |why: &str| found.push(of(holder, what, why));
    let sequence = &holder["withSequence"];
    if has(sequence, "count") && has(sequence, "end") {
        tell("withSequence has count and end: one of them is allowed");
    }
    let reference = &holder["templateRef"];
    if reference.is_object() {
        if kept(holder, "template").is_some() {
            tell("it has template and templateRef: one of them is allowed");
        }
        for field in ["name", "template"] {
            if lacks(reference, field) {
                tell(&format!("its templateRef has no {field}"));
            }
        }
    }
    let arguments = &holder["arguments"];
    for (field, kind) in [("parameters", "argument"), ("artifacts", "artifact")] {
        for (_, why) in names::mistakes(list(arguments, field), kind, Form::Parameter) {
            tell(&why);
        }
    }
    for artifact in list(arguments, "artifacts") {
        if let Some(why) = source_of(artifact) {
            tell(&why);
        }
    }
}

/// Fields of an artifact that say nothing of where it is.
const PLAIN: [&str; 14] = [
    "name",
    "path",
    "mode",
    "from",
    "fromExpression",
    "subPath",
    "optional",
    "globalName",
    "recurseMode",
    "archive",
    "archiveLogs",
    "artifactGC",
    "deleted",
    "description",
];

/// What is wrong with where an artifact comes from, as an argument (`validateArgumentsValues`).
pub(super) fn source_of(artifact: &Value) -> Option<String> {
    let name = text(artifact, "name");
    let from = !lacks(artifact, "from");
    let mut fields = artifact.as_object().into_iter().flatten();
    if !from && !is_located(artifact) && fields.all(|(field, _)| PLAIN.contains(&field.as_str())) {
        return Some(format!("artifact {name} comes from nowhere"));
    }
    (from && !lacks(artifact, "fromExpression")).then(|| format!("artifact {name} has from and fromExpression"))
}

/// What can have become of a task (`ValidateTaskResults`).
const RESULTS: [&str; 8] =
    ["Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"];

fn results(task: &Value, tasks: &BTreeMap<&str, &Value>, found: &mut Vec<Mistake>) {
    let depends = text(task, "depends");
    if depends.contains("{{") {
        return;
    }
    for word in words(depends).0 {
        let Some(result) = word.result else { continue };
        let looped = |task: &&Value| LOOPS.iter().any(|field| kept(task, field).is_some() || has(task, field));
        if !RESULTS.contains(&result) {
            let why = format!("depends: nothing ends {result}; there are {}", RESULTS.join(", "));
            found.push(of(task, "task", &why));
        } else if matches!(result, "AnySucceeded" | "AllFailed") && tasks.get(word.task).is_some_and(|on| !looped(on)) {
            let why = format!("depends: {result} is of loops, and {} is none", word.task);
            found.push(of(task, "task", &why));
        }
    }
}

/// What is wrong with a step's hooks (`validateHooks`), where nothing executes them.
pub(super) fn hooks(step: &Value) -> impl Iterator<Item = Mistake> {
    let waiting = entries(step, "hooks").filter(|(name, hook)| *name != "exit" && lacks(hook, "expression"));
    waiting.map(move |(name, _)| of(step, "step", &format!("hook {name} has no expression")))
}
