//! What `{{...}}` of a template can stand for (`resolveAllVariables`), as far as it shows before anything runs. Expressions are not looked at, as Argo
//! does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::{Known, has, holders, is_leaf};
use crate::argo::expand::dag::words;
use crate::argo::expand::items::LOOPS;
use crate::argo::expand::raw::{any_text, entries, kept, list, named, text};
use crate::argo::expand::template::Kind;

/// Fields of a template without steps that are looked at; Go knows no others. Of inputs it is only what no argument can replace.
const OF_LEAF: [&str; 35] = [
    "activeDeadlineSeconds",
    "affinity",
    "annotations",
    "archiveLocation",
    "automountServiceAccountToken",
    "container",
    "containerSet",
    "daemon",
    "data",
    "executor",
    "hostAliases",
    "http",
    "initContainers",
    "memoize",
    "metadata",
    "metrics",
    "name",
    "nodeSelector",
    "outputs",
    "parallelism",
    "plugin",
    "podSpecPatch",
    "priorityClassName",
    "resource",
    "retryStrategy",
    "schedulerName",
    "script",
    "securityContext",
    "serviceAccountName",
    "sidecars",
    "suspend",
    "synchronization",
    "timeout",
    "tolerations",
    "volumes",
];
/// Fields of a step or task.
const OF_HOLDER: [&str; 14] = [
    "name",
    "template",
    "arguments",
    "templateRef",
    "withItems",
    "withParam",
    "withSequence",
    "when",
    "continueOn",
    "onExit",
    "hooks",
    "inline",
    "dependencies",
    "depends",
];
/// Most dependencies that are followed for one template.
const MAX_LOOKS: usize = 1_000_000;

/// The tags that nothing can stand for, and why.
pub(super) fn unknown(template: &Value, kind: Kind, known: &Known<'_>) -> BTreeMap<String, String> {
    // Argo looks at JSON as a whole: a tag that nothing ends swallows what stands behind it.
    if is_open(template) {
        return BTreeMap::new();
    }
    let tasks = list(&template["dag"], "tasks").iter().map(|task| (text(task, "name"), task)).collect();
    let mut look =
        Look { template, kind, known, tasks, before: BTreeMap::new(), unknown: BTreeMap::new(), left: MAX_LOOKS };
    match kind {
        Kind::Steps => look.at_steps(),
        Kind::Dag => look.at_tasks(),
        _ => look.at_leaf(),
    }
    look.unknown
}

/// The tags of a text, as Argo finds them; without expressions, and those that have a tag in them.
pub(super) fn of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (tag, after) = rest.split_once("{{")?.1.split_once("}}")?;
            rest = after;
            if !tag.contains("{{") && !tag.starts_with('=') {
                return Some(tag.trim());
            }
        }
    })
}

fn is_open(value: &Value) -> bool {
    any_text(value, |text| {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("{{") {
            let Some((_, after)) = after.split_once("}}") else { return true };
            rest = after;
        }
        false
    })
}

/// Where in a template a text stands.
#[derive(Clone, Copy)]
enum Site<'t> {
    /// Where there are no steps.
    Leaf,
    /// In a step, or in what is made of all of them; whether it, or one before it, is a loop.
    Step(Option<&'t Value>, bool),
    /// In a task, or in what is made of all of them.
    Task(Option<&'t Value>),
}

struct Look<'t, 'k> {
    template: &'t Value,
    kind: Kind,
    known: &'t Known<'k>,
    tasks: BTreeMap<&'t str, &'t Value>,
    /// The steps that have been looked at: only their values are known to those behind them.
    before: BTreeMap<&'t str, &'t Value>,
    unknown: BTreeMap<String, String>,
    /// Dependencies that may still be followed.
    left: usize,
}

impl<'t> Look<'t, '_> {
    fn at_leaf(&mut self) {
        let template = self.template;
        for (field, value) in template.as_object().into_iter().flatten() {
            if OF_LEAF.contains(&field.as_str()) {
                self.at(value, None, Site::Leaf);
            }
        }
        for input in list(&template["inputs"], "parameters") {
            self.at(&input["default"], None, Site::Leaf);
        }
        for artifact in list(&template["inputs"], "artifacts") {
            self.at(&artifact["path"], None, Site::Leaf);
        }
        for kind in ["labels", "annotations"] {
            for (_, value) in entries(self.known.pod_metadata(), kind) {
                self.at(value, None, Site::Leaf);
            }
        }
    }

    fn at_steps(&mut self) {
        let (template, mut looped) = (self.template, false);
        for step in holders(template) {
            looped |= is_loop(step);
            self.at_holder(step, Site::Step(Some(step), looped));
            self.before.insert(text(step, "name"), step);
        }
        self.at(&template["outputs"], None, Site::Step(None, looped));
    }

    fn at_tasks(&mut self) {
        let template = self.template;
        for task in holders(template) {
            self.at_holder(task, Site::Task(Some(task)));
            for (kind, field) in [("parameters", "value"), ("artifacts", "from")] {
                for argument in list(&task["arguments"], kind) {
                    self.at_argument(task, text(argument, field));
                }
            }
        }
        self.at(&template["dag"]["target"], None, Site::Task(None));
        self.at(&template["outputs"], None, Site::Task(None));
    }

    /// What is of another task has to wait for it (`validateDAGTaskArgumentDependency`).
    fn at_argument(&mut self, task: &'t Value, value: &str) {
        let Some(other) = value.strip_prefix("{{tasks.").and_then(|rest| rest.split('.').next()) else { return };
        let name = text(task, "name");
        if let Some(tag) = of(value).next()
            && self.tasks.contains_key(other)
            && !self.waits_for(name, other)
        {
            self.unknown.entry(tag.to_owned()).or_insert_with(|| format!("task {name} does not depend on {other}"));
        }
    }

    fn at_holder(&mut self, holder: &'t Value, site: Site<'t>) {
        for (field, value) in holder.as_object().into_iter().flatten() {
            if OF_HOLDER.contains(&field.as_str()) {
                let inline = (field == "inline").then_some(value);
                self.at(value, inline, site);
            }
        }
    }

    /// Looks at every text; `inline` is the template in a step that it stands in.
    fn at(&mut self, value: &Value, inline: Option<&Value>, site: Site<'t>) {
        match value {
            Value::String(text) => {
                for tag in of(text) {
                    if let Some(why) = self.wrong(tag, inline, site) {
                        self.unknown.entry(tag.to_owned()).or_insert(why);
                    }
                }
            }
            Value::Array(all) => all.iter().for_each(|one| self.at(one, inline, site)),
            Value::Object(fields) => fields.values().for_each(|one| self.at(one, inline, site)),
            _ => {}
        }
    }

    fn wrong(&mut self, tag: &str, inline: Option<&Value>, site: Site<'t>) -> Option<String> {
        let (first, rest) = tag.split_once('.')?;
        match first {
            "inputs" => self.no_input(rest, inline).map(str::to_owned),
            "workflow" => self.known.no_global(rest).map(str::to_owned),
            "pod" => {
                let has_pod = inline.is_some() || (self.kind.has_pod() && rest == "name");
                (!has_pod).then(|| "of a pod there is {{pod.name}}, in templates that have one".to_owned())
            }
            "item" => {
                let looped = match site {
                    Site::Leaf | Site::Task(None) => false,
                    Site::Step(_, looped) => looped,
                    Site::Task(Some(task)) => is_loop(task),
                };
                (!looped).then(|| "it stands in no loop".to_owned())
            }
            "steps" | "tasks" if !rest.starts_with("name") => {
                let (name, value) = rest.split_once('.').unwrap_or((rest, ""));
                self.no_result(first, name, value, site)
            }
            _ => None,
        }
    }

    fn no_input(&self, rest: &str, inline: Option<&Value>) -> Option<&'static str> {
        if rest == "parameters" {
            return None;
        }
        let stands = |kind: &str, name: &str| {
            let mut holders = [Some(self.template), inline].into_iter().flatten();
            holders.any(|holder| named(list(&holder["inputs"], kind), name).is_some())
        };
        if let Some(name) = rest.strip_prefix("artifacts.") {
            // Where it is put only what has no steps can know.
            let path = name.strip_suffix(".path").filter(|_| is_leaf(self.kind) || inline.is_some());
            let there = stands("artifacts", name) || path.is_some_and(|name| stands("artifacts", name));
            return (!there).then_some("it has no such input artifact");
        }
        let there = rest.strip_prefix("parameters.").is_some_and(|name| stands("parameters", name));
        (!there).then_some("it has no such input")
    }

    /// Why nothing of that name, or no such value of it, is known at a place.
    fn no_result(&mut self, kind: &str, name: &str, value: &str, site: Site<'t>) -> Option<String> {
        let none = |what: &str| Some(format!("{what} {name} has no such value"));
        match (kind, site) {
            ("steps", Site::Step(step, _)) => {
                let is_own = step.is_some_and(|step| text(step, "name") == name);
                if let Some(before) = self.before.get(name).copied() {
                    let known = value == "status" || self.gives(before, value, aggregates(before));
                    return if known { None } else { none("step") };
                }
                if is_own {
                    let ends = step.filter(|step| has(&step["hooks"], "exit") || kept(step, "onExit").is_some());
                    let known = value == "status" || ends.is_some_and(|step| self.gives(step, value, false));
                    return if known { None } else { Some("it is what becomes of the step itself".to_owned()) };
                }
                let later = holders(self.template).any(|step| text(step, "name") == name);
                Some(if later { format!("step {name} comes later") } else { "there is no such step".to_owned() })
            }
            ("tasks", Site::Task(task)) => {
                let Some(other) = self.tasks.get(name).copied() else {
                    return Some("there is no such task".to_owned());
                };
                if value == "status" && !has(other, "hooks") {
                    let waits = task.is_some_and(|task| self.waits_for(text(task, "name"), name));
                    return (!waits).then(|| format!("only what depends on {name} knows its status"));
                }
                if value == "status" || self.gives(other, value, aggregates(other)) { None } else { none("task") }
            }
            ("steps", _) => Some("there is no such step".to_owned()),
            _ => Some("there is no such task".to_owned()),
        }
    }

    /// Whether a step or task has such a value (`addOutputsToScope`); of what is not here nothing is known.
    fn gives(&self, holder: &Value, value: &str, aggregate: bool) -> bool {
        if matches!(value, "id" | "startedAt" | "finishedAt" | "hostNodeName") {
            return true;
        }
        let Some(template) = self.known.referred(holder) else { return true };
        let set = &template["containerSet"];
        match value {
            "ip" => template["daemon"] == true,
            "outputs.result" | "exitCode" => {
                let whole = ["container", "script", "data", "http", "plugin"];
                whole.iter().any(|kind| has(template, kind))
                    || (set.is_object() && (aggregate || named(list(set, "containers"), "main").is_some()))
            }
            "outputs.parameters" => aggregate,
            _ => ["parameters", "artifacts"].into_iter().any(|kind| {
                let name = value.strip_prefix("outputs.").and_then(|rest| rest.strip_prefix(kind)?.strip_prefix('.'));
                name.is_some_and(|name| named(list(&template["outputs"], kind), name).is_some())
            }),
        }
    }

    /// Whether a task depends on another, at whatever remove (`GetTaskAncestry`).
    fn waits_for(&mut self, task: &str, other: &str) -> bool {
        let (mut seen, mut todo) = (BTreeSet::new(), VecDeque::from([task]));
        while let Some(found) = todo.pop_front().and_then(|one| self.tasks.get(one).copied()) {
            for needed in needed(found) {
                if needed == other || self.left == 0 {
                    return true;
                }
                self.left -= 1;
                if seen.insert(needed) && self.tasks.contains_key(needed) {
                    todo.push_back(needed);
                }
            }
        }
        false
    }
}

fn is_loop(holder: &Value) -> bool {
    LOOPS.iter().any(|field| kept(holder, field).is_some() || (*field == "withSequence" && has(holder, field)))
}

/// Whether what its runs give is given as a list; what a sequence gives is not.
fn aggregates(holder: &Value) -> bool {
    ["withItems", "withParam"].iter().any(|field| kept(holder, field).is_some())
}

/// The tasks that a task names.
fn needed(task: &Value) -> Vec<&str> {
    match text(task, "depends") {
        "" => list(task, "dependencies").iter().filter_map(Value::as_str).collect(),
        depends => words(depends).0.into_iter().map(|word| word.task).collect(),
    }
}
