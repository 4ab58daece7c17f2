//! Each template once: those that are executed then, the others at the end; and what the Workflow itself says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::names::{self, Form};
use super::{Known, Mistake, globals, has, holders, lacks, mistakes, parts};
use crate::argo::expand::raw::{kept, list, named, text};
use crate::argo::expand::scope::{Base, Call};
use crate::argo::expand::template::{Kind, is_located};
use crate::argo::expand::walk::Walk;
use crate::argo::expand::{Place, dag};

/// Longest name of a Workflow: it becomes a label.
const MAX_NAME: usize = 63;

/// What a Workflow's own templates are and give, looked for once.
#[derive(Debug)]
pub(in crate::argo::expand) struct Own<'a> {
    names: BTreeMap<&'a str, &'a Value>,
    /// Names that `workflow.outputs` has; `None` where there may be any.
    pub(super) outputs: Option<BTreeSet<String>>,
}

impl<'a> Own<'a> {
    /// Of a Workflow's spec.
    pub fn of(spec: &'a Value) -> Self {
        // The first of a name counts.
        let names = list(spec, "templates").iter().rev().map(|template| (text(template, "name"), template)).collect();
        Self { names, outputs: globals::outputs(&spec["templates"]) }
    }

    pub(super) fn named(&self, name: &str) -> Option<&'a Value> {
        self.names.get(name).copied()
    }
}

impl<'a> Walk<'a> {
    /// Tells what Argo refuses of a template that is executed, once for each.
    pub fn validate(&mut self, call: &Call<'_>, base: Base<'a>, key: &str, template: &Value) {
        let node = call.name.as_str();
        let seen = if text(template, "name").is_empty() { node } else { key };
        if !self.validated.insert(seen.to_owned()) {
            return;
        }
        let is_inline = kept(call.holder, "inline").is_some();
        if is_inline && holders(template).next().is_some() {
            self.problem(
                node,
                "steps and tasks cannot stand inline: Argo looks for their template by its name, and finds none",
            );
        }
        let known = self.known(base);
        // As it is written: what is put into all templates is looked at apart.
        let found = mistakes(known.referred(call.holder).unwrap_or(template), is_inline, &known);
        self.tell(node, base, template, found);
    }

    /// Tells what Argo refuses of the templates that nothing has executed, and of the Workflow itself.
    pub fn validate_rest(&mut self) {
        let execution = self.execution;
        let (spec, node) = (&execution.spec, execution.name.as_str());
        for template in list(spec, "templates") {
            let name = text(template, "name");
            if !name.is_empty() && self.validated.insert(format!("/{name}")) {
                let mut found = mistakes(template, false, &self.known(Base::Own));
                found.extend(unexecuted(template));
                self.tell(node, Base::Own, template, found);
            }
            let why = format!("template {name} says nothing of what it does");
            if Kind::of(template).is_none() && !self.out.problems.iter().any(|problem| problem.message == why) {
                self.problem_at(node, why, Place { template: Some(name.to_owned()), ..Place::default() });
            }
        }
        for template in list(spec, "templates") {
            for step in holders(template) {
                self.tell_absent(template, step);
            }
        }
        for (message, template) in of_workflow(spec, node) {
            self.problem_at(node, message, Place { template, ..Place::default() });
        }
    }

    fn known(&self, base: Base<'a>) -> Known<'_> {
        Known { execution: self.execution, library: self.library, own: &self.own, base }
    }

    fn tell(&mut self, node: &str, base: Base<'_>, template: &Value, mistakes: Vec<Mistake>) {
        let name = text(template, "name");
        for Mistake { message, step, tag } in mistakes {
            let place = match base {
                Base::Own if !name.is_empty() => {
                    Place { template: Some(name.to_owned()), step, tag, ..Place::default() }
                }
                _ => self.place_of(node),
            };
            let message = if name.is_empty() { message } else { format!("template {name}: {message}") };
            self.problem_at(node, message, place);
        }
    }

    /// Tells what a step or task refers to and is not there, where that has not been told when it was executed.
    fn tell_absent(&mut self, template: &Value, step: &Value) {
        let execution = self.execution;
        let (name, of) = (text(step, "name"), text(template, "name"));
        let what = if has(template, "dag") { "task" } else { "step" };
        let place = Place { template: Some(of.to_owned()), step: Some(name.to_owned()), ..Place::default() };
        for why in absent(step, &self.own) {
            let is_told = self.out.problems.iter().any(|problem| problem.place == place && problem.message == why);
            if !is_told {
                self.problem_at(&execution.name, format!("template {of}: {what} {name}: {why}"), place.clone());
            }
        }
    }

    /// Tells of containers of a pod that have no image, where the template was not refused for it.
    pub fn check_images(&mut self, node: &str, template: &Value, pod: &Value) {
        let is_told = |container: &str| {
            let own = format!("template {}: its {container} has no image", text(template, "name"));
            self.out.problems.iter().any(|problem| problem.message == own)
        };
        let told = is_told("container") || is_told("script");
        let all = ["initContainers", "containers"].into_iter().flat_map(|kind| list(&pod["spec"], kind));
        let bare = all.filter(|container| lacks(container, "image")).map(|container| text(container, "name"));
        let bare: Vec<&str> = bare.filter(|name| !told || *name != "main").collect();
        for name in bare {
            // Of the two Argo takes the container (`SetType` leaves both).
            let defaults = name == "main" && has(template, "container") && has(template, "containerSet");
            let why = if defaults {
                "templateDefaults put a container in the place of its containerSet, and that has no image".to_owned()
            } else {
                format!("container {name} has no image: the API server refuses such a pod")
            };
            self.problem(node, why);
        }
    }
}

/// What is told of a template that is executed when it is.
fn unexecuted(template: &Value) -> Vec<Mistake> {
    match Kind::of(template) {
        Some(Kind::Dag) => dag::mistakes(template).into_iter().map(Mistake::from).collect(),
        Some(Kind::Steps) => holders(template).flat_map(parts::hooks).collect(),
        _ => Vec::new(),
    }
}

/// What a step or task refers to and is not there, in the words of whoever executes it.
fn absent(step: &Value, own: &Own<'_>) -> Vec<String> {
    let name = text(step, "template");
    if kept(step, "inline").is_some() || has(step, "templateRef") || name.contains("{{") {
        return Vec::new();
    }
    if name.is_empty() {
        return if lacks(step, "template") { vec!["it names no template".to_owned()] } else { Vec::new() };
    }
    let Some(template) = own.named(name) else { return vec![format!("template {name} not found")] };
    let (inputs, arguments) = (&template["inputs"], &step["arguments"]);
    let given = |kind: &str, input: &Value| named(list(arguments, kind), text(input, "name")).is_some();
    let needs = |input: &&Value| {
        !["value", "default", "valueFrom"].iter().any(|field| has(input, field)) && !given("parameters", input)
    };
    let needs_artifact = |input: &&Value| input["optional"] != true && !is_located(input) && !given("artifacts", input);
    let parameters = list(inputs, "parameters").iter().filter(needs).map(|input| ("parameters", input));
    let artifacts = list(inputs, "artifacts").iter().filter(needs_artifact).map(|input| ("artifacts", input));
    let missing = parameters.chain(artifacts);
    missing.map(|(kind, input)| format!("inputs.{kind}.{} was not supplied", text(input, "name"))).collect()
}

/// The mistakes of a Workflow's spec, each with the template that it is about.
fn of_workflow(spec: &Value, name: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    if !name.contains("{{") && name.len() > MAX_NAME {
        found.push((format!("its name has more than {MAX_NAME} signs"), None));
    }
    // Of a template that the Workflow refers to Argo does not ask it.
    if kept(spec, "workflowTemplateRef").is_none() {
        let mistakes = names::mistakes(list(spec, "templates"), "template", Form::Field).into_iter();
        found.extend(mistakes.map(|(name, message)| (message, Some(name.to_owned()))));
    }
    let arguments = &spec["arguments"];
    for (field, kind) in [("parameters", "parameter"), ("artifacts", "artifact")] {
        let mistakes = names::mistakes(list(arguments, field), kind, Form::Parameter).into_iter();
        found.extend(mistakes.map(|(_, message)| (format!("spec.arguments: {message}"), None)));
    }
    let artifacts = list(arguments, "artifacts").iter().filter_map(parts::source_of);
    found.extend(artifacts.map(|why| (format!("spec.arguments: {why}"), None)));
    let strategy = text(&spec["podGC"], "strategy");
    let known = ["", "OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess"];
    if !known.contains(&strategy) && !strategy.contains("{{") {
        found.push((format!("podGC.strategy {strategy}: there are{}", known.join(" ")), None));
    }
    found
}
