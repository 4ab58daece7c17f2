//! Groups of steps, one after the other (`workflow/controller/steps.go`).

use serde_json::{Value, json};

use super::raw::{kept, list, named, steps_of, text};
use super::scope::{Base, Call, Hooked, Scope, both};
use super::walk::Walk;
use super::{NodeKind, condition, items, replace, shape, validate};

/// Executes the groups of a `steps` template whose inputs are in their places.
pub(super) fn execute<'a>(walk: &mut Walk<'a>, name: &str, template: &Value, scope: &Scope, base: Base<'a>) {
    for (number, group) in list(template, "steps").iter().enumerate() {
        let group_name = format!("{name}[{number}]");
        let Some(at) = walk.node(&group_name, NodeKind::StepGroup, "", scope, None) else { return };
        let inner = Scope { parent: Some(at), ..scope.clone() };
        for step in steps_of(group) {
            let step = replace::in_value(step, &walk.execution.globals);
            let child = format!("{group_name}.{}", text(&step, "name"));
            // Keys are texts too.
            if let Err(why) = shape::check(&step) {
                walk.problem(&child, why);
                continue;
            }
            runs(walk, &step, &child, STEP, &inner, base, None);
        }
    }
}

/// How a step and a task speak of their own name.
pub(super) const STEP: &str = "steps.name";
pub(super) const TASK: &str = "tasks.name";

/// What becomes of a step or task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It runs, and is taken to succeed.
    Runs,
    /// Only the run knows.
    MayRun,
    /// Its `when` does not hold, or its loop has no items.
    Skipped,
}

/// Executes a step or task once, or once for each item of its loop. `condition` is why it may not run at all.
pub(super) fn runs<'a>(
    walk: &mut Walk<'a>,
    step: &Value,
    name: &str,
    kind: &'static str,
    scope: &Scope,
    base: Base<'a>,
    condition: Option<String>,
) -> Fate {
    let all = match step.as_object().map(items::of) {
        Some(Ok(Some(all))) => all,
        Some(Err(items::Unknown::Later(of))) => return once(walk, step, name, &of, kind, scope, base),
        Some(Err(items::Unknown::Wrong(why))) => {
            // Argo looks at the condition first, too.
            if condition::holds(text(step, "when")) != Ok(false) {
                walk.problem(name, why);
            }
            return Fate::Skipped;
        }
        _ => return one(walk, step, name, kind, scope, base, condition),
    };
    let plain = text(step, "name");
    let prefix = name.strip_suffix(plain).unwrap_or(name).to_owned();
    let mut fate = Fate::Skipped;
    let mut unrolled = step.clone();
    for field in items::LOOPS {
        unrolled.as_object_mut().and_then(|fields| fields.shift_remove(field));
    }
    // Argo lets tags stay in what will not run.
    let unrun = condition::holds(text(step, "when")) == Ok(false);
    for run in items::runs(plain, &all) {
        if walk.out.cut {
            break;
        }
        let mut item = replace::in_value(&unrolled, &run.values);
        if let Err(why) = shape::check(&item) {
            walk.problem(name, why);
            break;
        }
        if let Some(tag) = validate::open_in_loop(&item).filter(|_| !unrun) {
            let why = "Argo puts a value in the place of each tag when it unrolls the loop, and this one has none then";
            walk.problem(name, format!("{{{{{tag}}}}}: {why}"));
            break;
        }
        item["name"] = run.name.clone().into();
        if kind == TASK {
            leave_exit_hook(&mut item, step);
        }
        let of = one(walk, &item, &format!("{prefix}{}", run.name), kind, scope, base, condition.clone());
        fate = match (fate, of) {
            (Fate::Runs, _) | (_, Fate::Runs) => Fate::Runs,
            (Fate::MayRun, _) | (_, Fate::MayRun) => Fate::MayRun,
            _ => Fate::Skipped,
        };
    }
    fate
}

/// What stands for the number of a run and its item in the run's name.
const EACH: &str = "({{index}}:{{item}})";

/// A loop whose items only the run knows: looked at as if there were one, of which nothing is known.
fn once<'a>(
    walk: &mut Walk<'a>,
    step: &Value,
    name: &str,
    of: &str,
    kind: &'static str,
    scope: &Scope,
    base: Base<'a>,
) -> Fate {
    let mut item = step.clone();
    item["name"] = format!("{}{EACH}", text(step, "name")).into();
    if kind == TASK {
        leave_exit_hook(&mut item, step);
    }
    let why = format!("once for each item of {of}");
    match one(walk, &item, &format!("{name}{EACH}"), kind, scope, base, Some(why)) {
        Fate::Skipped => Fate::Skipped,
        _ => Fate::MayRun,
    }
}

/// The runs of a task's loop have its exit hook alone, as it is written: it knows nothing of their items (`executeDAGTask`).
fn leave_exit_hook(item: &mut Value, task: &Value) {
    let exit = task["hooks"].get("exit").map(|exit| ("hooks".to_owned(), json!({"exit": exit})));
    let on_exit = task.get("onExit").map(|on_exit| ("onExit".to_owned(), on_exit.clone()));
    if let Value::Object(fields) = item {
        fields.shift_remove("hooks");
        fields.extend(exit.into_iter().chain(on_exit));
    }
}

fn one<'a>(
    walk: &mut Walk<'a>,
    step: &Value,
    name: &str,
    kind: &'static str,
    scope: &Scope,
    base: Base<'a>,
    mut condition: Option<String>,
) -> Fate {
    match condition::holds(text(step, "when")) {
        Ok(true) => {}
        Ok(false) => {
            walk.node(
                name,
                NodeKind::Skipped,
                text(step, "template"),
                scope,
                Some(format!("when: {}", text(step, "when"))),
            );
            return Fate::Skipped;
        }
        Err(condition::Undecided::Later(_) | condition::Undecided::Beyond(_)) => {
            condition = both(condition.as_deref(), Some(format!("`{}` holds", text(step, "when"))));
        }
        Err(error @ condition::Undecided::Unclear(..)) => {
            walk.problem(name, format!("when: {error}"));
            return Fate::Skipped;
        }
    }
    let fate = if condition.is_some() { Fate::MayRun } else { Fate::Runs };
    let arguments = handed_on(&step["arguments"], &scope.artifacts);
    let own_name = (kind, text(step, "name").to_owned());
    let call = Call {
        name: name.to_owned(),
        holder: step,
        own_name,
        arguments: &arguments,
        scope: scope.clone(),
        condition: condition.clone(),
    };
    walk.template(call, base);
    hooks(walk, step, name, condition.as_deref(), scope, base);
    fate
}

/// Executes the hooks of a step or task for the node `of`.
pub(super) fn hooks<'a>(
    walk: &mut Walk<'a>,
    step: &Value,
    of: &str,
    condition: Option<&str>,
    scope: &Scope,
    base: Base<'a>,
) {
    if kept(step, "hooks").is_some() || kept(step, "onExit").is_some() {
        // The hooks of the Workflow's own arguments, as Argo has it.
        let arguments = walk.execution.spec["arguments"].clone();
        let (hooks, on_exit) = (&step["hooks"], text(step, "onExit"));
        walk.hooks(&Hooked { hooks, on_exit, arguments: &arguments, of, condition }, scope, base);
    }
}

/// Arguments with the artifacts that are the inputs of the template around them (`resolveArtifact` of Argo's `scope.go`).
pub(super) fn handed_on(arguments: &Value, inputs: &[Value]) -> Value {
    let mut made = arguments.clone();
    let Some(artifacts) = made["artifacts"].as_array_mut() else { return made };
    artifacts.retain_mut(|artifact| {
        let from = text(artifact, "from").trim_start_matches("{{").trim_end_matches("}}").trim();
        let Some(name) = from.strip_prefix("inputs.artifacts.") else { return true };
        match named(inputs, name) {
            Some(known) => {
                let (own, below) = (artifact["name"].take(), text(artifact, "subPath").to_owned());
                *artifact = known.clone();
                artifact["name"] = own;
                go_below(artifact, &below);
                true
            }
            // One that is missing and may be missing.
            None => artifact["optional"] != true,
        }
    });
    made
}

/// Of an artifact that is a folder, what stands below it (`AppendToKey`).
fn go_below(artifact: &mut Value, path: &str) {
    let path = path.trim_matches('/');
    for kind in ["s3", "gcs", "oss"] {
        let key = artifact.get_mut(kind).and_then(|bucket| bucket.get_mut("key"));
        if let Some(Value::String(key)) = key.filter(|_| !path.is_empty()) {
            *key = format!("{}/{path}", key.trim_end_matches('/'));
        }
    }
}
