//! Tasks in the order of their dependencies (`workflow/controller/dag.go`, `workflow/common/ancestry.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::items::{self, LOOPS};
use super::raw::{kept, list, text};
use super::replace::Values;
use super::scope::{Base, Scope, both};
use super::steps::{self, Fate};
use super::walk::Walk;
use super::{NodeKind, expression, order, replace, shape};

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Of(Fate),
    /// A loop with items, which succeeds whatever becomes of them: so their fate is kept.
    Loop(Fate),
    /// Whether its `depends` holds only the run knows.
    Open,
    /// `depends` does not hold.
    Omitted,
}

/// Executes the tasks of a `dag` template whose inputs are in their places.
pub(super) fn execute<'a>(walk: &mut Walk<'a>, name: &str, template: &Value, scope: &Scope, base: Base<'a>) {
    let mut graph = Graph::of(template, name);
    let target = replace::in_text(text(&template["dag"], "target"), &walk.execution.globals);
    let targets: Vec<String> =
        if target.is_empty() { graph.leaves() } else { target.split_whitespace().map(str::to_owned).collect() };
    // Argo looks at all of them, whatever the targets lead to.
    let all = graph.order(&graph.names());
    match (graph.order(&targets), &all) {
        (Ok(order), _) => order.iter().for_each(|task| graph.run(walk, task, scope, base)),
        (Err(why), Ok(_)) => walk.problem(name, why),
        (Err(_), Err(_)) => {}
    }
    match all {
        Ok(all) => {
            for task in all.iter().filter(|task| !graph.outcomes.contains_key(*task) && graph.lacks(task)) {
                walk.problem(&format!("{name}.{task}"), missing(task));
            }
        }
        Err(why) => walk.problem(name, why),
    }
}

/// What Argo refuses of how the tasks of a template depend on one another, where it is not executed.
pub(super) fn mistakes(template: &Value) -> Vec<String> {
    let graph = Graph::of(template, "");
    let target = text(&template["dag"], "target");
    let open = |depends: &Depends<'_>| depends.source.contains("{{");
    if target.contains("{{") || graph.depends.values().any(open) {
        return Vec::new();
    }
    let mut names = graph.names();
    names.extend(target.split_whitespace().map(str::to_owned));
    match graph.order(&names) {
        Ok(all) => all.iter().filter(|task| graph.lacks(task)).map(|task| missing(task)).collect(),
        Err(why) => vec![why],
    }
}

fn missing(task: &str) -> String {
    format!("task {task} is depended on, and is not there")
}

struct Graph<'t> {
    tasks: BTreeMap<&'t str, &'t Value>,
    depends: BTreeMap<&'t str, Depends<'t>>,
    name: &'t str,
    outcomes: BTreeMap<String, Outcome>,
}

impl<'t> Graph<'t> {
    fn of(template: &'t Value, name: &'t str) -> Self {
        let tasks: BTreeMap<&str, &Value> =
            list(&template["dag"], "tasks").iter().map(|task| (text(task, "name"), task)).collect();
        let depends = tasks.iter().map(|(name, task)| (*name, Depends::of(task))).collect();
        Self { tasks, depends, name, outcomes: BTreeMap::new() }
    }

    fn names(&self) -> Vec<String> {
        self.tasks.keys().map(|name| (*name).to_owned()).collect()
    }

    fn lacks(&self, task: &str) -> bool {
        !self.tasks.contains_key(task)
    }

    /// Tasks on which no other depends.
    fn leaves(&self) -> Vec<String> {
        let needed: BTreeSet<&str> = self.depends.values().flat_map(Depends::needed).collect();
        self.tasks.keys().filter(|name| !needed.contains(*name)).map(|name| (*name).to_owned()).collect()
    }

    /// The targets and all they depend on, each after what it depends on.
    fn order(&self, targets: &[String]) -> Result<Vec<String>, String> {
        if targets.is_empty() && !self.tasks.is_empty() {
            return Err("the tasks depend on one another in a circle".to_owned());
        }
        let needed = |task: &str| self.depends.get(task).map(Depends::needed).unwrap_or_default();
        let order = order::of(targets.iter().map(String::as_str), needed);
        let order = order.map_err(|task| format!("the tasks depend on one another in a circle, {task} among them"))?;
        Ok(order.into_iter().map(str::to_owned).collect())
    }

    fn run<'a>(&mut self, walk: &mut Walk<'a>, task: &str, scope: &Scope, base: Base<'a>) {
        let path = format!("{}.{task}", self.name);
        let (Some(found), Some(depends)) = (self.tasks.get(task), self.depends.get(task)) else {
            self.outcomes.insert(task.to_owned(), Outcome::Omitted);
            return walk.problem(&path, missing(task));
        };
        let outcome = match self.holds(depends) {
            Ok(Some(false)) => {
                let why = format!("depends: {}", depends.source);
                walk.node(&path, NodeKind::Skipped, text(found, "template"), scope, Some(why));
                Outcome::Omitted
            }
            Ok(holds) => {
                let condition = holds.is_none().then(|| format!("`{}` holds", depends.source));
                let task = replace::in_value(found, &walk.execution.globals);
                // Keys are texts too.
                match shape::check(&task) {
                    Ok(()) => match group(walk, &task, &path, scope, base, condition) {
                        Outcome::Of(Fate::MayRun) | Outcome::Loop(_) if holds.is_none() => Outcome::Open,
                        outcome => outcome,
                    },
                    Err(why) => {
                        walk.problem(&path, why);
                        Outcome::Omitted
                    }
                }
            }
            // That has been told.
            Err(_) if depends.needed().iter().any(|needed| self.lacks(needed)) => Outcome::Omitted,
            Err(why) => {
                walk.problem(&path, format!("depends: {why}"));
                Outcome::Omitted
            }
        };
        self.outcomes.insert(task.to_owned(), outcome);
    }

    /// Whether a task's condition holds where everything succeeds; `None` where that depends on the run.
    fn holds(&self, depends: &Depends<'_>) -> Result<Option<bool>, String> {
        if depends.parts.is_empty() {
            return Ok(Some(true));
        }
        let [surely, skipped, omitted] = [0, 1, 2].map(|end| self.evaluate(depends, end));
        let (surely, skipped, omitted) = (surely?, skipped?, omitted?);
        let mentions = |results: &[&str]| {
            let of = |part: &Part<'_>| matches!(part, Part::Task(_, Some(result)) if results.contains(result));
            depends.parts.iter().any(of)
        };
        let outcomes = || depends.needed().into_iter().filter_map(|name| self.outcomes.get(name));
        let of_items = mentions(&["AnySucceeded"]);
        let open = |outcome: &&Outcome| match outcome {
            Outcome::Open | Outcome::Of(Fate::MayRun) => true,
            Outcome::Loop(fate) => of_items && *fate == Fate::MayRun,
            _ => false,
        };
        let unsure = outcomes().filter(open).count();
        let may_fail = |outcome: &Outcome| match outcome {
            Outcome::Of(fate) | Outcome::Loop(fate) => *fate != Fate::Skipped,
            Outcome::Open => true,
            Outcome::Omitted => false,
        };
        let failing = mentions(&["Failed", "Errored", "AllFailed"]) && outcomes().any(may_fail);
        Ok(match (surely && skipped && omitted, surely || skipped || omitted) {
            // Several that may run can end each in its own way.
            (true, _) if unsure < 2 || !mentions(&["Succeeded", "Skipped", "Omitted", "AnySucceeded"]) => Some(true),
            (_, false) if !failing && unsure < 2 => Some(false),
            _ => None,
        })
    }

    /// Evaluates it with what runs taken to succeed, and what may run to have ended in one of its ways.
    fn evaluate(&self, depends: &Depends<'_>, end: usize) -> Result<bool, String> {
        let ended = |name: &str| match self.outcomes.get(name) {
            Some(Outcome::Of(Fate::Runs) | Outcome::Loop(_)) => "Succeeded",
            Some(Outcome::Of(Fate::MayRun)) => ["Succeeded", "Skipped", "Skipped"][end],
            Some(Outcome::Open) => ["Succeeded", "Omitted", "Skipped"][end],
            Some(Outcome::Of(Fate::Skipped)) => "Skipped",
            Some(Outcome::Omitted) | None => "Omitted",
        };
        let any = |name: &str| match self.outcomes.get(name) {
            Some(Outcome::Loop(fate)) => *fate == Fate::Runs || (*fate == Fate::MayRun && end == 0),
            _ => ended(name) == "Succeeded",
        };
        let holds = |name: &str, result: Option<&str>| match (ended(name), result) {
            (ended, None) => matches!(ended, "Succeeded" | "Skipped"),
            (_, Some("AnySucceeded")) => any(name),
            (ended, Some("Daemoned")) => ended == "Succeeded",
            (_, Some("AllFailed")) => false,
            (ended, Some(result)) => ended == result,
        };
        if depends.all {
            return Ok(depends.needed().iter().all(|name| holds(name, None)));
        }
        let mut source = String::new();
        for part in &depends.parts {
            match part {
                Part::Sign(sign) => source.push_str(sign),
                Part::Task(name, result) => source.push_str(if holds(name, *result) { "true" } else { "false" }),
            }
        }
        match expression::evaluate(&source, &Values::new()) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(format!("{} is neither true nor false", depends.source)),
            Err(error) => Err(format!("{}: {error}", depends.source)),
        }
    }
}

/// A task; the runs of a loop stand below a node of its own, which has hooks as they have: the exit hook again, the others alone.
fn group<'a>(
    walk: &mut Walk<'a>,
    task: &Value,
    path: &str,
    scope: &Scope,
    base: Base<'a>,
    condition: Option<String>,
) -> Outcome {
    if !LOOPS.iter().any(|field| kept(task, field).is_some()) {
        return Outcome::Of(steps::runs(walk, task, path, steps::TASK, scope, base, condition));
    }
    let parent = walk.node(path, NodeKind::TaskGroup, text(task, "template"), scope, condition.clone());
    let inner = Scope { parent, ..scope.clone() };
    let fate = steps::runs(walk, task, path, steps::TASK, &inner, base, None);
    let (outcome, unsure) = match task.as_object().map(items::of) {
        Some(Ok(Some(all))) if !all.is_empty() => (Outcome::Loop(fate), None),
        Some(Err(items::Unknown::Later(of))) => (Outcome::Of(Fate::MayRun), Some(format!("{of} has an item"))),
        // One without items is skipped.
        _ => return Outcome::Of(Fate::Skipped),
    };
    steps::hooks(walk, task, path, both(condition.as_deref(), unsure).as_deref(), scope, base);
    outcome
}

/// What a task waits for (`GetTaskDependencies`).
#[derive(Debug)]
struct Depends<'t> {
    parts: Vec<Part<'t>>,
    /// Of `dependencies`: all of them.
    all: bool,
    source: String,
}

#[derive(Debug)]
enum Part<'t> {
    /// A task, and what has to have become of it; a bare name stands for having succeeded or been skipped. Steps are taken to succeed, so
    /// that `continueOn` changes nothing.
    Task(&'t str, Option<&'t str>),
    /// What stands between names.
    Sign(&'t str),
}

impl<'t> Depends<'t> {
    fn of(task: &'t Value) -> Self {
        let Some(source) = kept(task, "depends").and_then(Value::as_str) else {
            let all: Vec<&str> = list(task, "dependencies").iter().filter_map(Value::as_str).collect();
            let parts = all.iter().map(|name| Part::Task(name, None)).collect();
            return Self { parts, all: true, source: all.join(" && ") };
        };
        let (words, last) = words(source);
        let parts = words.into_iter().flat_map(|word| [Part::Sign(word.before), Part::Task(word.task, word.result)]);
        let parts = parts.chain([Part::Sign(last)]).collect();
        Self { parts, all: false, source: source.to_owned() }
    }

    /// The tasks that are named, once each.
    fn needed(&self) -> Vec<&'t str> {
        let names = self.parts.iter().filter_map(|part| match part {
            Part::Task(name, _) => Some(*name),
            Part::Sign(_) => None,
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A task that a `depends` names, what has to have become of it, and what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub before: &'t str,
    pub task: &'t str,
    pub result: Option<&'t str>,
}

/// What a `depends` names (`taskNameRegex` of Argo's `ancestry.go`), and what stands behind the last.
pub(super) fn words(source: &str) -> (Vec<Word<'_>>, &str) {
    let (mut all, mut rest) = (Vec::new(), source);
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (before, behind) = rest.split_at(start);
        let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(behind.len());
        let (task, after) = behind.split_at(end);
        let result = after.strip_prefix('.').and_then(|result| {
            let end = result.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(result.len());
            (end > 1 && result.starts_with(|c: char| c.is_ascii_uppercase())).then(|| &result[..end])
        });
        rest = result.map_or(after, |result| &after[1 + result.len()..]);
        all.push(Word { before, task, result });
    }
    (all, rest)
}
