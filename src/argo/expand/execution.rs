//! A manifest -> the Workflow that the controller executes: its template's and the defaults' fields joined in, global parameters put in
//! their places (`setExecWorkflow` of Argo's `workflow/controller/operator.go`).

use serde_json::{Map, Value, json};

use super::library::Library;
use super::merge::{Into, merge};
use super::parameter::{as_go_has_it, configured};
use super::raw::{any_string, entries, go_json, kept, list, named, text};
use super::replace::{self, Values};
use super::settings::Settings;
use super::source;
use super::typed::pruned;

/// What stands for the part of a name that the API server makes up.
pub const RANDOM: &str = "{{random}}";
/// What stands for a UID that only the API server knows.
pub const UID: &str = "{{workflow.uid}}";

/// A Workflow as it is executed.
#[derive(Debug)]
pub struct Execution {
    /// `metadata.name`, or what is known of it.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// `metadata.uid`, or [`UID`].
    pub uid: String,
    /// The spec, joined.
    pub spec: Value,
    /// `workflow.*`.
    pub globals: Values,
    /// It stands for whatever is submitted from a template: parameters may have no value yet.
    pub is_template: bool,
    /// `spec.volumes` and the claims made of `spec.volumeClaimTemplates`.
    pub volumes: Vec<Value>,
}

impl Execution {
    /// Reads a Workflow whose shape has been looked at. `namespace` is that of one that names none.
    ///
    /// # Errors
    /// What it refers to is not there, or a parameter has no value.
    pub fn of(workflow: &Value, namespace: &str, library: &Library, settings: &Settings) -> Result<Self, String> {
        let metadata = &workflow["metadata"];
        let name = match (text(metadata, "name"), text(metadata, "generateName")) {
            ("", "") => return Err("it has neither metadata.name nor metadata.generateName".to_owned()),
            ("", stem) => format!("{stem}{RANDOM}"),
            (name, _) => name.to_owned(),
        };
        let given = text(metadata, "namespace");
        let namespace = if given.is_empty() { namespace } else { given };
        let uid = kept(metadata, "uid").and_then(Value::as_str).unwrap_or(UID);
        let defaults = &settings.workflow_defaults;
        let spec = joined(&workflow["spec"], &defaults["spec"], namespace, library)?;
        let mut execution = Self {
            name,
            namespace: namespace.to_owned(),
            uid: uid.to_owned(),
            spec,
            globals: Values::new(),
            is_template: source::is_of_template(workflow),
            volumes: Vec::new(),
        };
        execution.set_globals(metadata, &defaults["metadata"], library)?;
        execution.leave_open();
        execution.put_globals();
        execution.add_metadata();
        execution.volumes = list(&execution.spec, "volumes").to_vec();
        let claims = list(&execution.spec, "volumeClaimTemplates").iter().map(|claim| {
            let claim = text(&claim["metadata"], "name");
            let name = format!("{}-{claim}", execution.name);
            json!({"name": claim, "persistentVolumeClaim": {"claimName": name}})
        });
        let claims: Vec<_> = claims.collect();
        execution.volumes.extend(claims);
        Ok(execution)
    }

    /// `setGlobalParameters`; what only the API server knows is left out.
    fn set_globals(&mut self, metadata: &Value, defaults: &Value, library: &Library) -> Result<(), String> {
        let mut globals = Values::new();
        let mut set = |key: &str, value: &str| drop(globals.insert(format!("workflow.{key}"), value.to_owned()));
        set("name", &self.name);
        set("namespace", &self.namespace);
        set("mainEntrypoint", text(&self.spec, "entrypoint"));
        set("serviceAccountName", text(&self.spec, "serviceAccountName"));
        if self.uid != UID {
            set("uid", &self.uid);
        }
        if let Some(priority) = self.spec["priority"].as_i64() {
            set("priority", &priority.to_string());
        }
        creation(text(metadata, "creationTimestamp"), &mut set);
        if let Some(scheduled) = metadata["annotations"]["workflows.argoproj.io/scheduled-time"].as_str() {
            set("scheduledTime", scheduled);
        }
        let parameters: Value = list(&self.spec["arguments"], "parameters").iter().map(as_go_has_it).collect();
        for key in ["parameters", "parameters.json"] {
            set(key, &go_json(&parameters));
        }
        for parameter in list(&self.spec["arguments"], "parameters") {
            let name = text(parameter, "name");
            let value = match any_string(&parameter["value"]) {
                Some(value) => Some(value),
                None => configured(parameter, &self.namespace, library, &Values::new())?,
            };
            let allowed = parameter["enum"].as_array();
            if let (Some(value), Some(allowed)) = (&value, allowed)
                && !allowed.iter().any(|one| any_string(one).as_deref() == Some(value))
            {
                return Err(format!("spec.arguments.parameters: {name} is {value:?}, which its enum does not have"));
            }
            let from = kept(&parameter["valueFrom"], "configMapKeyRef").is_some();
            match value {
                Some(value) => set(&format!("parameters.{name}"), &value),
                // Whoever submits a template gives it a value, or a ConfigMap that is not here does.
                None if from || self.is_template => {
                    set(&format!("parameters.{name}"), &format!("{{{{workflow.parameters.{name}}}}}"));
                }
                None => return Err(format!("spec.arguments.parameters: {name} has neither value nor valueFrom")),
            }
        }
        let meta = &self.spec["workflowMetadata"];
        for kind in ["labels", "annotations"] {
            let mut all = Map::new();
            for source in [defaults, metadata, meta] {
                all.extend(entries(source, kind).map(|(key, value)| (key.clone(), value.clone())));
            }
            all.sort_keys();
            for key in [kind.to_owned(), format!("{kind}.json")] {
                set(&key, &go_json(&Value::Object(all.clone())));
            }
            for (key, value) in &all {
                if kind == "annotations" || meta["labelsFrom"].get(key).is_none() {
                    set(&format!("{kind}.{key}"), value.as_str().unwrap_or_default());
                }
            }
        }
        self.globals = globals;
        Ok(())
    }

    /// What whoever submits a template gives a value stays the tag that it is in the globals (`FakeArguments` of Argo's
    /// `workflow/validate/validate.go` does the same).
    fn leave_open(&mut self) {
        if !self.is_template {
            return;
        }
        let parameters = self.spec.get_mut("arguments").and_then(|arguments| arguments.get_mut("parameters"));
        for parameter in parameters.and_then(Value::as_array_mut).into_iter().flatten() {
            let open = any_string(&parameter["value"]).is_none() && kept(parameter, "valueFrom").is_none();
            let tag = self.globals.get(&format!("workflow.parameters.{}", text(parameter, "name")));
            if let (true, Some(tag), Some(fields)) = (open, tag, parameter.as_object_mut()) {
                fields.insert("value".to_owned(), Value::String(tag.clone()));
            }
        }
    }

    /// `substituteGlobalVariables`: everything but the templates, which are looked at when they are executed.
    fn put_globals(&mut self) {
        let templates = self.spec.get_mut("templates").map(Value::take);
        self.spec = replace::in_value(&self.spec, &self.globals);
        if let Some(templates) = templates {
            self.spec["templates"] = templates;
        }
    }

    /// `updateWorkflowMetadata`: labels that expressions yield.
    fn add_metadata(&mut self) {
        let mut found = Values::new();
        for (label, from) in entries(&self.spec["workflowMetadata"], "labelsFrom") {
            if let Ok(Value::String(value)) = super::expression::evaluate(text(from, "expression"), &self.globals) {
                found.insert(format!("workflow.labels.{label}"), value);
            }
        }
        if !found.is_empty() {
            self.globals.extend(found);
            self.put_globals();
        }
    }
}

/// `JoinWorkflowSpec` of Argo's `workflow/util/merge.go`: the Workflow before its template before the defaults.
fn joined(own: &Value, defaults: &Value, namespace: &str, library: &Library) -> Result<Value, String> {
    let over = |below: &Value, above: &Value| {
        let hooks = entries(below, "hooks").chain(entries(above, "hooks"));
        let hooks: Map<_, _> = hooks.map(|(name, hook)| (name.clone(), hook.clone())).collect();
        let mut merged = if below.is_object() { merge(below, &pruned(above), Into::Argo) } else { above.clone() };
        if !hooks.is_empty() {
            merged["hooks"] = Value::Object(hooks);
        }
        merged
    };
    let Some(reference) = kept(own, "workflowTemplateRef") else { return Ok(over(defaults, own)) };
    let cluster = reference["clusterScope"] == true;
    let template = &library.template(namespace, text(reference, "name"), cluster)?["spec"];
    let mut spec = over(defaults, &over(template, own));
    // A parameter that has a value in one place keeps nothing of the places below it.
    if let Some(parameters) = spec["arguments"]["parameters"].as_array_mut() {
        let has_value = |parameter: &&Value| {
            parameter.get("value").is_some()
                || parameter.get("default").is_some()
                || parameter.get("valueFrom").is_some()
        };
        for parameter in parameters {
            let name = text(parameter, "name").to_owned();
            let whole = [own, template]
                .into_iter()
                .find_map(|spec| named(list(&spec["arguments"], "parameters"), &name).filter(has_value));
            if let Some(whole) = whole {
                *parameter = whole.clone();
            }
        }
    }
    Ok(spec)
}

/// `workflow.creationTimestamp` and the parts of it that are its digits.
fn creation(timestamp: &str, set: &mut impl FnMut(&str, &str)) {
    let digits = |at: std::ops::Range<usize>| timestamp.get(at).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if timestamp.len() != 20 || digits(0..4).is_none() {
        return;
    }
    set("creationTimestamp", timestamp);
    set("creationTimestamp.RFC3339", timestamp);
    for (name, at) in [("Y", 0..4), ("y", 2..4), ("m", 5..7), ("d", 8..10), ("H", 11..13), ("M", 14..16), ("S", 17..19)]
    {
        if let Some(part) = digits(at) {
            set(&format!("creationTimestamp.{name}"), part);
        }
    }
}
