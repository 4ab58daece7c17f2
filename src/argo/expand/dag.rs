//! Tasks in the order of their dependencies (`workflow/controller/dag.go`, `workflow/common/ancestry.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::items::LOOPS;
use super::raw::{kept, list, text};
use super::replace::Values;
use super::scope::{Base, Scope};
use super::steps::{self, Fate};
use super::walk::Walk;
use super::{NodeKind, expression, replace, shape};

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Of(Fate),
    /// Whether its `depends` holds only the run knows.
    Open,
    /// `depends` does not hold.
    Omitted,
}

/// Executes the tasks of a `dag` template whose inputs are in their places.
pub(super) fn execute<'a>(walk: &mut Walk<'a>, name: &str, template: &Value, scope: &Scope, base: Base<'a>) {
    let tasks: BTreeMap<&str, &Value> =
        list(&template["dag"], "tasks").iter().map(|task| (text(task, "name"), task)).collect();
    let depends = tasks.iter().map(|(name, task)| (*name, Depends::of(task))).collect();
    let mut graph = Graph { tasks, depends, name, outcomes: BTreeMap::new() };
    let target = replace::in_text(text(&template["dag"], "target"), &walk.execution.globals);
    let targets: Vec<String> =
        if target.is_empty() { graph.leaves() } else { target.split_whitespace().map(str::to_owned).collect() };
    match graph.order(&targets) {
        Ok(order) => order.iter().for_each(|task| graph.run(walk, task, scope, base)),
        Err(why) => walk.problem(name, why),
    }
}

struct Graph<'t> {
    tasks: BTreeMap<&'t str, &'t Value>,
    depends: BTreeMap<&'t str, Depends<'t>>,
    name: &'t str,
    outcomes: BTreeMap<String, Outcome>,
}

impl Graph<'_> {
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
        let (mut order, mut done, mut open) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut todo: Vec<(&str, bool)> = targets.iter().rev().map(|target| (target.as_str(), false)).collect();
        while let Some((task, left)) = todo.pop() {
            if left {
                open.remove(task);
                done.insert(task);
                order.push(task.to_owned());
            } else if !done.contains(task) {
                if !open.insert(task) {
                    return Err(format!("the tasks depend on one another in a circle, {task} among them"));
                }
                todo.push((task, true));
                let needed = self.depends.get(task).map(Depends::needed).unwrap_or_default();
                todo.extend(
                    needed.into_iter().rev().filter(|needed| !done.contains(needed)).map(|needed| (needed, false)),
                );
            }
        }
        Ok(order)
    }

    fn run<'a>(&mut self, walk: &mut Walk<'a>, task: &str, scope: &Scope, base: Base<'a>) {
        let path = format!("{}.{task}", self.name);
        let (Some(found), Some(depends)) = (self.tasks.get(task), self.depends.get(task)) else {
            self.outcomes.insert(task.to_owned(), Outcome::Omitted);
            return walk.problem(&path, format!("task {task} is depended on, and is not there"));
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
                        Fate::MayRun if holds.is_none() => Outcome::Open,
                        fate => Outcome::Of(fate),
                    },
                    Err(why) => {
                        walk.problem(&path, why);
                        Outcome::Omitted
                    }
                }
            }
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
        let open = |outcome: &&Outcome| matches!(outcome, Outcome::Open | Outcome::Of(Fate::MayRun));
        let unsure = outcomes().filter(open).count();
        let runs = outcomes().any(|outcome| matches!(outcome, Outcome::Open | Outcome::Of(Fate::Runs | Fate::MayRun)));
        let failing = mentions(&["Failed", "Errored", "AllFailed"]) && runs;
        Ok(match (surely && skipped && omitted, surely || skipped || omitted) {
            // Several that may run can end each in its own way.
            (true, _) if unsure < 2 || !mentions(&["Succeeded", "Skipped", "Omitted"]) => Some(true),
            (_, false) if !failing && unsure < 2 => Some(false),
            _ => None,
        })
    }

    /// Evaluates it with what runs taken to succeed, and what may run to have ended in one of its ways.
    fn evaluate(&self, depends: &Depends<'_>, end: usize) -> Result<bool, String> {
        let ended = |name: &str| match self.outcomes.get(name) {
            Some(Outcome::Of(Fate::Runs)) => "Succeeded",
            Some(Outcome::Of(Fate::MayRun)) => ["Succeeded", "Skipped", "Skipped"][end],
            Some(Outcome::Open) => ["Succeeded", "Omitted", "Skipped"][end],
            Some(Outcome::Of(Fate::Skipped)) => "Skipped",
            Some(Outcome::Omitted) | None => "Omitted",
        };
        let holds = |name: &str, result: Option<&str>| match (ended(name), result) {
            (ended, None) => matches!(ended, "Succeeded" | "Skipped"),
            (ended, Some("Daemoned" | "AnySucceeded")) => ended == "Succeeded",
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

/// A task; the runs of a loop stand below a node of its own.
fn group<'a>(
    walk: &mut Walk<'a>,
    task: &Value,
    path: &str,
    scope: &Scope,
    base: Base<'a>,
    condition: Option<String>,
) -> Fate {
    let looped = LOOPS.iter().any(|field| kept(task, field).is_some());
    if !looped {
        return steps::runs(walk, task, path, "tasks.name", scope, base, condition);
    }
    let sure = condition.is_none();
    let parent = walk.node(path, NodeKind::TaskGroup, text(task, "template"), scope, condition);
    let inner = Scope { parent, ..scope.clone() };
    match steps::runs(walk, task, path, "tasks.name", &inner, base, None) {
        Fate::Runs if !sure => Fate::MayRun,
        fate => fate,
    }
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
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            let (sign, behind) = rest.split_at(start);
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(behind.len());
            let (name, after) = behind.split_at(end);
            let result = after.strip_prefix('.').map(|result| {
                let end = result.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(result.len());
                &result[..end]
            });
            parts.extend([Part::Sign(sign), Part::Task(name, result)]);
            rest = result.map_or(after, |result| &after[1 + result.len()..]);
        }
        parts.push(Part::Sign(rest));
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
