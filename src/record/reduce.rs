//! A pod -> the same pod with nothing in it but what decisions are made of.
//!
//! Invariant: names, identities and the literals that loaded policies name stay; any other text is replaced by one that decides
//! alike. `$(NAME)` stays in it where NAME is a variable that policies may set, since that decides where the variable can be set.

use std::borrow::Cow;

use stepspan_contract::env::list_has_key;
use stepspan_contract::names;

use super::gaps::Keeps;
use crate::argo::names as argo;
use crate::argo::step::user_argv;
use crate::argo::template::Template;
use crate::identity::TraceParent;
use crate::inject::carrier::{self, Kind, is_carrier};
use crate::inject::entrypoint::{in_our_way, is_our_mount};
use crate::inject::env::RESOURCE_ATTRIBUTES;
use crate::inject::placement;
use crate::json::{Json, Object};
use crate::policy::compile::{Rules, may_set};
use crate::text::{MAX_ANNOTATION, MAX_ENV, cut};

/// Longest value of a variable that is kept: what a policy takes of it, with room for characters that are removed.
const MAX_VARIABLE: usize = 4 * MAX_ANNOTATION;
/// As much of an id: all of one that counts, and of one that is too long so much that it stays too long wherever a character ends.
const MAX_ID: usize = MAX_ENV + 4;
/// Annotations that hold whole objects, arguments and scripts included.
const WHOLE_OBJECTS: [&str; 2] = ["kubectl.kubernetes.io/last-applied-configuration", "workflows.argoproj.io/template"];
/// Words behind emissary's `--` that say what a pod is.
const EXECUTORS: [[&str; 2]; 2] = [["argoexec", "resource"], ["argoexec", "data"]];

/// Reduces a pod; annotations whose values it leaves out are added to `keeps.withheld`.
pub fn pod<'a>(pod: &'a Json<'a>, keeps: &mut Keeps, allow_env: &[String]) -> Json<'a> {
    let metadata = metadata(&pod["metadata"], keeps);
    let reduce = Reduce { keeps, rules: Rules { allow_env: allow_env.to_vec() } };
    let spec = reduce.spec(&pod["spec"]);
    Json::object([("apiVersion", "v1".into()), ("kind", "Pod".into()), ("metadata", metadata), ("spec", spec)])
}

fn metadata<'a>(metadata: &'a Json<'a>, keeps: &mut Keeps) -> Json<'a> {
    let fields = metadata.as_object().into_iter().flat_map(Object::iter);
    let field = |(name, value): (&'a str, &'a Json<'a>)| {
        let value = if name == "annotations" { annotations(value, keeps) } else { value.clone() };
        (name.into(), value)
    };
    Json::Object(fields.filter(|(name, _)| *name != "managedFields").map(field).collect())
}

fn annotations<'a>(annotations: &'a Json<'a>, keeps: &mut Keeps) -> Json<'a> {
    let Some(fields) = annotations.as_object() else { return annotations.clone() };
    let mut kept = Object::default();
    for (name, value) in fields.iter() {
        if is_carrier(name) {
            let end = name.strip_prefix(names::ANNOTATION_PREFIX).unwrap_or_default();
            if keeps.carriers.contains(end) {
                kept.insert(name.into(), value.clone());
            } else if name == carrier::key(Kind::Annotation, carrier::TRACEPARENT) {
                keeps.withheld.insert(name.to_owned());
            }
        } else if name == argo::NODE_ID_ANNOTATION {
            kept.insert(name.into(), value.as_str().map_or_else(|| value.clone(), |id| cut(id, MAX_ID).into()));
        } else if WHOLE_OBJECTS.contains(&name) || value.as_str().is_some_and(|text| text.len() > MAX_ANNOTATION) {
            keeps.withheld.insert(name.to_owned());
            kept.insert(name.into(), "".into());
        } else {
            kept.insert(name.into(), value.clone());
        }
    }
    Json::Object(kept)
}

struct Reduce<'k> {
    keeps: &'k Keeps,
    rules: Rules,
}

impl Reduce<'_> {
    fn spec<'a>(&self, spec: &'a Json<'a>) -> Json<'a> {
        let mut fields = placement::said(spec);
        for name in ["initContainers", "containers"] {
            fields.extend(list(spec, name, |all| all.iter().map(|one| self.container(one)).collect()));
        }
        fields.extend(list(spec, "volumes", |all| {
            alike(all, "name", |name| names::VOLUMES.into_iter().find(|known| *known == name))
        }));
        Json::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    fn container<'a>(&self, container: &'a Json<'a>) -> Json<'a> {
        let mut fields = vec![("name", container["name"].clone())];
        fields.extend(list(container, "command", |words| self.command(words)));
        fields.extend(list(container, "args", |words| words.iter().map(|word| self.word(word)).collect()));
        fields.extend(list(container, "env", |all| all.iter().map(|entry| self.variable(entry)).collect()));
        fields.extend(list(container, "envFrom", |all| all.iter().map(|_| Json::object([])).collect()));
        let way = |path: &str| in_our_way(path).then_some(names::MOUNT_PATH);
        fields.extend(list(container, "volumeMounts", |all| {
            let ours = || Json::object([("name", names::VOLUME.into()), ("mountPath", names::MOUNT_PATH.into())]);
            let reduced = all.iter().zip(alike(all, "mountPath", way));
            reduced.map(|(mount, reduced)| if is_our_mount(mount) { ours() } else { reduced }).collect()
        }));
        fields.extend(list(container, "volumeDevices", |all| alike(all, "devicePath", way)));
        Json::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Emissary's prefix as it is, then as many words as there are.
    fn command<'a>(&self, words: &'a [Json<'a>]) -> Vec<Json<'a>> {
        let Some(start) = user_argv(words) else { return words.iter().map(|word| self.word(word)).collect() };
        let (prefix, own) = words.split_at(start.min(words.len()));
        let begins =
            |known: &[&str]| own.len() >= known.len() && own.iter().zip(known).all(|(word, known)| word == known);
        let executor = EXECUTORS.iter().find(|known| begins(&known[..])).map_or(0, |known| known.len());
        let telling = if begins(&names::SHIM_ARGV) { names::SHIM_ARGV.len() } else { executor };
        let (telling, rest) = own.split_at(telling);
        prefix.iter().chain(telling).cloned().chain(rest.iter().map(|word| self.word(word))).collect()
    }

    fn word<'a>(&self, word: &Json<'_>) -> Json<'a> {
        word.as_str().map_or(Json::Null, |text| self.references(text).into())
    }

    /// An entry of `env`: its name, and of its value what decides.
    fn variable<'a>(&self, entry: &'a Json<'a>) -> Json<'a> {
        let name = entry["name"].as_str().unwrap_or_default();
        let mut fields = vec![("name", entry["name"].clone())];
        if let Some(text) = entry.get("value").and_then(Json::as_str) {
            fields.push(("value", self.value(name, text).into()));
        }
        fields.extend(entry.get("valueFrom").map(|_| ("valueFrom", Json::object([]))));
        Json::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    fn value<'a>(&self, name: &str, text: &'a str) -> Cow<'a, str> {
        let named = self.keeps.env.contains(name);
        let literal = !text.contains("$(") && !text.contains("$$");
        match name {
            argo::TEMPLATE_ENV => template(text).into(),
            argo::NODE_ID_ENV | argo::WORKFLOW_UID_ENV => cut(text, MAX_ID).into(),
            _ if named && literal => cut(text, MAX_VARIABLE).into(),
            "TRACEPARENT" if TraceParent::read(text).is_some() => text.into(),
            RESOURCE_ATTRIBUTES if list_has_key(text, "service.name") => {
                format!("service.name=,{}", self.references(text)).into()
            }
            // Of a text that refers to anything nothing but that is asked.
            _ if named => format!("$${}", self.references(text)).into(),
            _ => self.references(text).into(),
        }
    }

    /// The references in a text that decide something, one after the other.
    fn references(&self, text: &str) -> String {
        let private = names::PRIVATE_PREFIX;
        let mut kept = String::new();
        for behind in text.split("$(").skip(1) {
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
            let (name, rest) = behind.split_at(end.unwrap_or(behind.len()));
            if name.starts_with(private) {
                kept.extend(["$(", private]);
            } else if rest.starts_with(')') && may_set(name, &self.rules) {
                kept.extend(["$(", name, ")"]);
            }
        }
        kept
    }
}

/// A list of an object, reduced; what is no list stays away.
fn list<'a>(
    of: &'a Json<'a>,
    name: &'static str,
    reduce: impl FnOnce(&'a [Json<'a>]) -> Vec<Json<'a>>,
) -> Option<(&'static str, Json<'a>)> {
    of.get(name).and_then(Json::as_array).map(|all| (name, reduce(all).into()))
}

/// Items with one field: what `telling` says of it, or else a text that is the same where the field's is.
fn alike<'a>(
    all: &'a [Json<'a>],
    field: &'static str,
    telling: impl Fn(&str) -> Option<&'static str>,
) -> Vec<Json<'a>> {
    let reduced = |item: &'a Json<'a>| {
        let text = item[field].as_str()?;
        let first = || all.iter().position(|other| other[field] == *text).unwrap_or_default();
        let stands = telling(text).map_or_else(|| Json::from(first().to_string()), Json::from);
        Some(Json::object([(field, stands)]))
    };
    all.iter().map(|item| reduced(item).unwrap_or_else(|| Json::object([]))).collect()
}

/// Of a template what [`Template`] reads.
fn template(text: &str) -> String {
    let Some(template) = Template::read(text) else {
        return if text == argo::OFFLOADED { text.to_owned() } else { String::new() };
    };
    let mut fields = vec![("name", Json::from(template.name.clone()))];
    fields.extend(template.daemon.map(|daemon| ("daemon", daemon.into())));
    fields.extend(template.container_set.as_ref().map(|set| {
        let members = set.names().map(|name| Json::object([("name", name.into())])).collect::<Vec<_>>();
        ("containerSet", Json::object([("containers", members.into())]))
    }));
    fields.extend(template.resource.map(|_| ("resource", Json::object([]))));
    fields.extend(template.data.map(|_| ("data", Json::object([]))));
    let fields: Object<'_> = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    serde_json::to_string(&Json::Object(fields)).unwrap_or_default()
}
