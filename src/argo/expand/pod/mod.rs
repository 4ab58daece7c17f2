//! A template that runs -> its pod (`createWorkflowPod` of Argo's `workflow/controller/workflowpod.go`), step by step in the
//! controller's own order, as the order of containers, variables and mounts hangs on it.

mod containers;
mod executor;
mod metadata;
mod volumes;

use serde_json::{Value, json};

use super::execution::Execution;
use super::library::Library;
use super::merge::{Into, merge};
use super::raw::{any_string, go_json, kept, list, text};
use super::replace::{self, Values};
use super::scope::Boundary;
use super::settings::{Settings, Version};
use super::template::{Kind, substitute};
use super::typed::handed_on;
use super::{node, shape};
use crate::yaml;

pub(super) use executor::{log_options, minimal_security};
pub(super) use metadata::{add as add_metadata, owner, schedule};

/// A template, and where it runs.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub execution: &'a Execution,
    pub settings: &'a Settings,
    pub library: &'a Library,
    /// Every value in its place.
    pub template: &'a Value,
    pub kind: Kind,
    /// The node's name.
    pub node: &'a str,
    /// The template that this one is a part of, as it is stored.
    pub boundary: Option<&'a Boundary>,
    pub on_exit: bool,
}

/// Longest value of a variable; a longer template is kept in a ConfigMap (`maxEnvVarLen`).
const MAX_VARIABLE: usize = 131_072;

/// Builds the pod.
///
/// # Errors
/// The template refers to what is not there, or a `podSpecPatch` is none.
pub(super) fn build(placed: &Placed<'_>) -> Result<Value, String> {
    let Placed { execution, template, .. } = placed;
    let name = node::known_pod_name(&execution.name, placed.node, text(template, "name"));
    let template = &volumes::with_archive_location(&owned(template, execution), placed.settings, &execution.spec);
    let placed = &Placed { template, ..*placed };
    has_token(placed)?;
    let mut pod = metadata::pod(placed, &name);
    let main = containers::main(placed);
    let spec = &mut pod["spec"];
    let has_wait = match placed.kind {
        Kind::Data => false,
        Kind::Resource => template["archiveLocation"]["archiveLogs"] == true,
        _ => true,
    };
    let mut all = Vec::new();
    if has_wait {
        all.push(executor::wait(placed));
    }
    all.extend(main);
    spec["containers"] = all.into();
    spec["initContainers"] = json!([executor::init(placed)]);
    metadata::default_container(&mut pod);
    let spec = &mut pod["spec"];
    schedule(spec, &execution.spec, template, placed.boundary.map(|boundary| &boundary.template));
    volumes::add(spec, placed)?;
    containers::add_others(spec, template);
    volumes::mirror_outputs(spec, placed);
    volumes::share_executor(&mut spec["initContainers"]);
    metadata::add(&mut pod, &execution.spec, template);
    let looked_at = volumes::looked_at(template);
    let placed = &Placed { template: &looked_at, ..*placed };
    executor::add_variables(&mut pod["spec"], placed);

    let locals = Values::from([("pod.name".to_owned(), name.clone())]);
    let mut values = execution.globals.clone();
    values.extend(locals.clone());
    for input in list(&template["inputs"], "parameters") {
        if let Some(value) = any_string(&input["value"]) {
            values.insert(format!("inputs.parameters.{}", text(input, "name")), value);
        }
    }
    let mut pod = replace::in_value(&pod, &values);
    // Keys are texts too.
    shape::check(&pod)?;
    pod["spec"] = patched(pod["spec"].take(), placed, &locals)?;
    containers::wrap(&mut pod["spec"], placed);
    offload(&mut pod["spec"], &name);
    if placed.settings.version == Version::V4_1InitLess {
        executor::without_init(&mut pod["spec"], placed);
    }
    Ok(pod)
}

/// Argo's executor needs a token of the pod's service account or of its own (`setupServiceAccount`).
fn has_token(placed: &Placed<'_>) -> Result<(), String> {
    let (template, workflow) = (placed.template, &placed.execution.spec);
    let field = "automountServiceAccountToken";
    let mounted = kept(template, field).or_else(|| kept(workflow, field)).is_none_or(|mounted| *mounted != false);
    let own = [template, workflow].into_iter().any(|of| !text(&of["executor"], "serviceAccountName").is_empty());
    if mounted || own {
        return Ok(());
    }
    Err("automountServiceAccountToken is false, and no executor.serviceAccountName is given: Argo makes no such pod"
        .to_owned())
}

/// The template with the Workflow as owner of the object that it makes (`setOwnerReference` of resource templates).
fn owned(template: &Value, execution: &Execution) -> Value {
    let mut made = template.clone();
    if template["resource"]["setOwnerReference"] == true
        && let Ok(mut object @ Value::Object(_)) = yaml::read(text(&template["resource"], "manifest"), 1)
    {
        let Some(reference) = owner(execution).as_array_mut().map(std::mem::take) else { return made };
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        if !object["metadata"]["ownerReferences"].is_array() {
            object["metadata"]["ownerReferences"] = json!([]);
        }
        super::raw::push(&mut object["metadata"], "ownerReferences", reference);
        object.sort_all_objects();
        let mut manifest = Vec::new();
        // Writing to memory cannot fail.
        let _ = yaml::write(&object, &mut manifest);
        made["resource"]["manifest"] = String::from_utf8(manifest).unwrap_or_default().into();
    }
    made
}

/// The template of `ARGO_TEMPLATE`.
fn template_text(template: &Value) -> String {
    go_json(&handed_on(template))
}

/// `podSpecPatch` of the Workflow, then of the template.
fn patched(mut spec: Value, placed: &Placed<'_>, locals: &Values) -> Result<Value, String> {
    let patches = [kept(&placed.execution.spec, "podSpecPatch"), kept(placed.template, "podSpecPatch")];
    for patch in patches.into_iter().flatten().filter_map(Value::as_str) {
        let mut template = placed.template.clone();
        template["podSpecPatch"] = patch.into();
        let made = substitute(&template, locals, &placed.execution.globals);
        let patch = yaml::read(text(&made, "podSpecPatch"), 1).map_err(|error| format!("podSpecPatch: {error}"))?;
        if !patch.is_object() {
            return Err("podSpecPatch is no part of a pod's spec".to_owned());
        }
        spec = merge(&spec, &patch, Into::PodSpec);
        shape::check(&spec).map_err(|error| format!("podSpecPatch: {error}"))?;
    }
    Ok(spec)
}

/// A template too large for a variable goes into a ConfigMap of the pod's name.
fn offload(spec: &mut Value, name: &str) {
    let too_large =
        |variable: &Value| variable["name"] == "ARGO_TEMPLATE" && text(variable, "value").len() > MAX_VARIABLE;
    let inits = list(spec, "initContainers");
    if !inits.iter().flat_map(|container| list(container, "env")).any(too_large) {
        return;
    }
    super::raw::push(spec, "volumes", [json!({"name": "argo-env-config", "configMap": {"name": name}})]);
    for container in spec["initContainers"].as_array_mut().into_iter().flatten() {
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            if variable["name"] == "ARGO_TEMPLATE" {
                variable["value"] = "offloaded".into();
            }
        }
        super::raw::push(container, "volumeMounts", [json!({"name": "argo-env-config", "mountPath": "/argo/config"})]);
    }
}

/// Whether an earlier step's `outputs.result` of this node is asked for where it is a part of (`includeScriptOutput`).
fn wants_output(placed: &Placed<'_>) -> bool {
    if placed.kind == Kind::Data {
        return true;
    }
    let Some(boundary) = placed.boundary.filter(|_| placed.kind != Kind::Resource) else { return false };
    boundary.asks_for_result_of(step_of(placed.node))
}

/// The name of the step or task in a node's name (`getStepOrDAGTaskName`).
pub(super) fn step_of(node: &str) -> &str {
    let mut end = node.len();
    let mut opener = None;
    for (at, c) in node.char_indices().rev() {
        match (opener, c) {
            (Some(open), c) if c == open => opener = None,
            (Some(_), _) => {}
            (None, ')') => opener = Some('('),
            (None, ']') => opener = Some('['),
            (None, c) => {
                end = at + c.len_utf8();
                break;
            }
        }
    }
    let head = &node[..end];
    head.rsplit_once('.').map_or(head, |(_, name)| name)
}
