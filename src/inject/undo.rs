//! An injected pod -> the pod as Argo made it, as far as that can be told afterwards.
//!
//! What we put in is known by its names and places. What we took out is not in the pod any more: of the carriers the Workflow knows
//! ([`recall`]); values that a policy's `override` replaced, and reserved variables and annotations, are gone. Labels stay: one of ours is no
//! source ([`value`](crate::policy::value)).

use std::collections::BTreeMap;

use serde_json::Value;
use stepspan_contract::names;

use super::carrier::{self, Kind, is_carrier};
use super::plan;
use crate::argo::StepPod;
use crate::json::Json;
use crate::policy::compile::{Rules, may_set};
use crate::text::cut;

/// Takes our injection out of a pod; false, and nothing changed, where there is none. `allowed` are the variables that policies may set
/// besides `OTEL_*`.
pub fn undo(pod: &mut Value, allowed: &[String]) -> bool {
    let injected = StepPod::read(&Json::from(&*pod), "").is_some_and(|step| plan::is_injected(&step));
    if !injected {
        return false;
    }
    let rules = Rules { allow_env: allowed.to_vec() };
    let spec = &mut pod["spec"];
    without(spec, "volumes", |volume| names::VOLUMES.contains(&name(volume)));
    without(spec, "initContainers", |container| name(container) == names::INIT_CONTAINER);
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        if !without_shim(container) {
            continue;
        }
        without(container, "volumeMounts", |mount| names::VOLUMES.contains(&name(mount)));
        // Ours stand together: the private ones, the shim's settings, then those that policies set.
        let mut behind = false;
        without(container, "env", |entry| {
            behind |= name(entry) == names::CONFIG_ENV;
            name(entry).starts_with(names::PRIVATE_PREFIX) || (behind && may_set(name(entry), &rules))
        });
    }
    if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
        let ours = |name: &str| {
            name == names::TRACE_CONTEXT_ANNOTATION
                || (name.starts_with(names::ANNOTATION_PREFIX)
                    && name != names::OPT_OUT_ANNOTATION
                    && !is_carrier(name))
        };
        annotations.retain(|name, _| !ours(name));
    }
    true
}

/// Takes our words out of a command; false where they are not in it, or were there before: only ours come with the shim's settings.
fn without_shim(container: &mut Value) -> bool {
    // Ours are a text: from a Secret they are somebody else's.
    let is_ours = |entry: &Value| name(entry) == names::CONFIG_ENV && entry["value"].is_string();
    let is_configured = |env: &Vec<Value>| env.iter().any(is_ours);
    if !container["env"].as_array().is_some_and(is_configured) {
        return false;
    }
    let Some(words) = container["command"].as_array_mut() else { return false };
    let Some(at) = words.windows(names::SHIM_ARGV.len()).position(|at| at == names::SHIM_ARGV) else { return false };
    words.drain(at..at + names::SHIM_ARGV.len());
    true
}

fn name(entry: &Value) -> &str {
    entry["name"].as_str().unwrap_or_default()
}

/// Takes entries out of a list; one that is empty then was not there before.
fn without(of: &mut Value, list: &str, ours: impl FnMut(&Value) -> bool) {
    let Some(fields) = of.as_object_mut() else { return };
    let Some(entries) = fields.get_mut(list).and_then(Value::as_array_mut) else { return };
    let (before, mut ours) = (entries.len(), ours);
    entries.retain(|entry| !ours(entry));
    if entries.is_empty() && before > 0 {
        fields.shift_remove(list);
    }
}

/// What a Workflow's carriers brought to the pod of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recalled {
    /// The annotations that the pod had.
    pub annotations: BTreeMap<String, String>,
    /// Sources whose values the Workflow does not tell, such as `parameter/repo`.
    pub unknown: Vec<String>,
}

/// Resolves a Workflow's carriers as the controller did for a node, which is as the Workflow's status has it, where that is known.
pub fn recall(workflow: &Value, node: Option<&Value>) -> Recalled {
    let mut recalled = Recalled::default();
    let inputs = node.map(|node| &node["inputs"]["parameters"]);
    let entries = workflow["spec"]["podMetadata"]["annotations"].as_object().into_iter().flatten();
    for (annotation, written) in entries.filter(|(annotation, _)| is_carrier(annotation)) {
        let written = written.as_str().unwrap_or_default();
        let resolves = carrier::resolves(annotation, written);
        let value = match resolves {
            None => Some(written.to_owned()),
            Some((Kind::Input, name)) => inputs.map(|all| match all {
                // A template without inputs leaves the text as it is.
                Value::Null => written.to_owned(),
                all => parameter(all, name).and_then(text).unwrap_or_default(),
            }),
            Some((_, name)) => of_workflow(workflow, name).map_or_else(|| Some(String::new()), text),
        };
        let Some(value) = value else {
            recalled.unknown.extend(resolves.map(|(kind, name)| kind.source(name)));
            continue;
        };
        recalled.annotations.insert(annotation.clone(), cut(&value, carrier::MAX_CARRIED).to_owned());
    }
    recalled
}

/// A parameter of the Workflow, its own before its template's.
fn of_workflow<'w>(workflow: &'w Value, name: &str) -> Option<&'w Value> {
    let own = &workflow["spec"]["arguments"]["parameters"];
    let of_template = &workflow["status"]["storedWorkflowTemplateSpec"]["arguments"]["parameters"];
    parameter(own, name).or_else(|| parameter(of_template, name))
}

fn parameter<'w>(all: &'w Value, name: &str) -> Option<&'w Value> {
    all.as_array()?.iter().find(|parameter| parameter["name"] == name)
}

/// A parameter's value or default; `None` where it is elsewhere, as in a ConfigMap.
fn text(parameter: &Value) -> Option<String> {
    let value = [&parameter["value"], &parameter["default"]].into_iter().find(|value| !value.is_null())?;
    Some(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
}
