//! A template and its arguments -> the template with every value in its place (`ProcessArgs` and `SubstituteParams` of Argo's
//! `workflow/common/util.go`), and what Go's types make of it.

use serde_json::{Value, json};

use super::library::Library;
use super::parameter::{as_go_has_it, configured};
use super::raw::{any_string, go_json, is_empty, kept, list, named, text};
use super::replace::{self, Values};

/// What a template does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs one container.
    Container,
    /// Runs several containers in one pod.
    ContainerSet,
    /// Lists of steps.
    Steps,
    /// Tasks with dependencies.
    Dag,
    /// Runs a container with a source.
    Script,
    /// Creates, reads or deletes an object.
    Resource,
    /// Lists and filters artifacts.
    Data,
    /// Waits.
    Suspend,
    /// A request that the agent makes.
    Http,
    /// A plugin that the agent calls.
    Plugin,
}

/// The fields that tell kinds apart, in the order in which Argo asks for them (`GetType`).
const KINDS: [(&str, Kind); 10] = [
    ("container", Kind::Container),
    ("containerSet", Kind::ContainerSet),
    ("steps", Kind::Steps),
    ("dag", Kind::Dag),
    ("script", Kind::Script),
    ("resource", Kind::Resource),
    ("data", Kind::Data),
    ("suspend", Kind::Suspend),
    ("http", Kind::Http),
    ("plugin", Kind::Plugin),
];

fn present(template: &Value) -> impl Iterator<Item = (&'static str, Kind)> {
    KINDS.into_iter().filter(|(field, _)| template.get(field).is_some_and(|value| !value.is_null()))
}

/// The fields that say what a template does: one, where it is right.
pub(super) fn kinds(template: &Value) -> impl Iterator<Item = &'static str> {
    present(template).map(|(field, _)| field)
}

impl Kind {
    /// A template's kind; `None` where it says none.
    pub fn of(template: &Value) -> Option<Self> {
        present(template).next().map(|(_, kind)| kind)
    }

    /// Whether it gets a pod of its own.
    pub fn has_pod(self) -> bool {
        matches!(self, Self::Container | Self::ContainerSet | Self::Script | Self::Resource | Self::Data)
    }

    /// Takes the fields of other kinds away, as far as Argo does (`SetType`): of a container set, a request or a plugin it takes nothing away, and
    /// leaves what those say where it stands.
    pub fn keep_only(self, template: &mut Value) {
        let stays = |kind: Self| matches!(kind, Self::ContainerSet | Self::Http | Self::Plugin);
        if let (false, Value::Object(map)) = (stays(self), template) {
            map.retain(|key, _| KINDS.iter().all(|(field, kind)| field != key || *kind == self || stays(*kind)));
        }
    }
}

/// What arguments are looked up in.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The namespace of ConfigMaps.
    pub namespace: &'a str,
    /// ConfigMaps.
    pub library: &'a Library,
    /// `workflow.*`.
    pub globals: &'a Values,
}

/// Puts the arguments into a template.
///
/// # Errors
/// An input that has no value.
pub fn process(template: &Value, arguments: &Value, locals: &Values, place: Surroundings<'_>) -> Result<Value, String> {
    let mut made = template.clone();
    if let Some(inputs) = made["inputs"]["parameters"].as_array_mut() {
        for input in inputs {
            supply(input, named(list(arguments, "parameters"), text(input, "name")), place)?;
        }
    }
    if let Some(inputs) = made["inputs"]["artifacts"].as_array_mut() {
        for input in inputs {
            supply_artifact(input, named(list(arguments, "artifacts"), text(input, "name")))?;
        }
    }
    Ok(substitute(&made, locals, place.globals))
}

fn supply(input: &mut Value, argument: Option<&Value>, place: Surroundings<'_>) -> Result<(), String> {
    let name = text(input, "name").to_owned();
    let mut value = any_string(&input["value"]).or_else(|| any_string(&input["default"]));
    let mut from = kept(input, "valueFrom").cloned();
    if let Some(argument) = argument {
        value = any_string(&argument["value"]);
        from = if value.is_some() { None } else { kept(argument, "valueFrom").cloned() };
    }
    let configures = from.as_ref().is_some_and(|from| kept(from, "configMapKeyRef").is_some());
    match &from {
        Some(from) if configures => {
            let asked = json!({"name": name, "valueFrom": from});
            value = configured(&asked, place.namespace, place.library, place.globals)?.or(value);
        }
        _ if value.is_none() => return Err(format!("inputs.parameters.{name} was not supplied")),
        _ => {}
    }
    let Value::Object(fields) = input else { return Ok(()) };
    fields.shift_remove("valueFrom");
    fields.shift_remove("value");
    fields.extend(from.map(|from| ("valueFrom".to_owned(), from)));
    fields.extend(value.map(|value| ("value".to_owned(), value.into())));
    Ok(())
}

/// Fields of an artifact that say where it is kept.
const LOCATIONS: [&str; 9] = ["s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure"];

/// Whether an artifact says where it is kept.
pub fn is_located(artifact: &Value) -> bool {
    LOCATIONS.iter().any(|field| kept(artifact, field).is_some())
}

fn supply_artifact(input: &mut Value, argument: Option<&Value>) -> Result<(), String> {
    let name = text(input, "name");
    let Some(argument) = argument else {
        let given = input["optional"] == true || is_located(input);
        return if given { Ok(()) } else { Err(format!("inputs.artifacts.{name} was not supplied")) };
    };
    let mut supplied = argument.clone();
    for field in ["path", "mode", "recurseMode"] {
        match input.get(field) {
            Some(value) => supplied[field] = value.clone(),
            None => drop(supplied.as_object_mut().and_then(|fields| fields.shift_remove(field))),
        }
    }
    *input = supplied;
    Ok(())
}

/// Puts values in the place of tags, first those of the Workflow and the step, then the inputs', which may have had some in them.
pub fn substitute(template: &Value, locals: &Values, globals: &Values) -> Value {
    let mut values = globals.clone();
    values.extend(locals.iter().map(|(key, value)| (key.clone(), value.clone())));
    let made = replace::in_value(template, &values);
    let (inputs, outputs) = (&made["inputs"], &made["outputs"]);
    let parameters: Value = list(inputs, "parameters").iter().map(as_go_has_it).collect();
    for parameter in list(inputs, "parameters") {
        if let Some(value) = any_string(&parameter["value"]) {
            values.insert(format!("inputs.parameters.{}", text(parameter, "name")), value);
        }
    }
    values.insert(
        "inputs.parameters".to_owned(),
        if is_empty(&parameters) { "null".to_owned() } else { go_json(&parameters) },
    );
    let mut paths = |kind: &str, all: &[Value]| {
        for one in all {
            let path = kept(one, "path").or_else(|| kept(&one["valueFrom"], "path")).and_then(Value::as_str);
            if let Some(path) = path {
                values.insert(format!("{kind}.{}.path", text(one, "name")), path.to_owned());
            }
        }
    };
    paths("inputs.artifacts", list(inputs, "artifacts"));
    paths("outputs.artifacts", list(outputs, "artifacts"));
    paths("outputs.parameters", list(outputs, "parameters"));
    replace::in_value(&made, &values)
}
