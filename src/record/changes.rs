//! What differs between two reviews of one pod.

use std::collections::BTreeMap;

use serde_json::Value;
use stepspan_contract::names;

use super::account::{Account, Found};
use crate::admission::{WholePod, whole_pod};
use crate::json::{Json, unescape};
use crate::patch::{Action, Op};

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it is, such as `outcome`, `label agent`, `variable OTEL_SERVICE_NAME of main`.
    pub what: String,
    /// Before; `None` where there was none.
    pub from: Option<String>,
    /// After; `None` where there is none.
    pub to: Option<String>,
    /// Both are words of a few, not values.
    pub words: bool,
}

/// What two accounts differ in.
pub fn of_accounts(older: &Account, newer: &Account) -> Vec<Change> {
    let (mut changes, mut values) = (Vec::new(), Vec::new());
    let mut word = |what: String, from: String, to: String| {
        if from != to {
            changes.push(Change { what, from: Some(from), to: Some(to), words: true });
        }
    };
    word("outcome".to_owned(), older.says(), newer.says());
    let policies =
        |account: &Account| if account.policies.is_empty() { "none".to_owned() } else { account.policies.join(", ") };
    word("policies".to_owned(), policies(older), policies(newer));
    // Where the whole outcome is another, the rest follows from it.
    if older.outcome != newer.outcome {
        return changes;
    }
    for (name, from, to) in both(&older.containers, &newer.containers) {
        let says = |what: Option<&String>| what.map_or("-", String::as_str).to_owned();
        word(format!("container {name}"), says(from), says(to));
    }
    let nothing = Found::default();
    for (key, from, to) in both(&older.values, &newer.values) {
        let (from, to) = (from.unwrap_or(&nothing), to.unwrap_or(&nothing));
        let sources = from.source.as_ref().zip(to.source.as_ref());
        if let Some((before, after)) = sources {
            word(format!("source of {key}"), before.clone(), after.clone());
        }
        // A value that was not kept, and came from the same source, is not known to differ.
        let kept = from.value.is_some() || from.source.is_none();
        if kept && from.value != to.value {
            values.push(Change {
                what: format!("value of {key}"),
                from: from.value.clone(),
                to: to.value.clone(),
                words: false,
            });
        }
    }
    changes.extend(values);
    changes
}

/// What the patches of two reviews of the same bytes differ in.
pub fn of_patches(review: &[u8], older: &[Op], newer: &[Op]) -> Vec<Change> {
    if older == newer {
        return Vec::new();
    }
    let containers = container_names(review);
    let (older, newer) = (places(older, &containers), places(newer, &containers));
    let changed = both(&older, &newer).filter(|(_, from, to)| from != to);
    changed.map(|(what, from, to)| Change { what, from: from.cloned(), to: to.cloned(), words: false }).collect()
}

/// All keys of two maps, with the values of each.
fn both<'a, V>(
    older: &'a BTreeMap<String, V>,
    newer: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = (String, Option<&'a V>, Option<&'a V>)> {
    let fresh = newer.keys().filter(|key| !older.contains_key(*key));
    older.keys().chain(fresh).map(|key| (key.clone(), older.get(key), newer.get(key)))
}

fn container_names(review: &[u8]) -> Vec<String> {
    let Some(WholePod { pod, .. }) = whole_pod(review) else { return Vec::new() };
    let containers = pod["spec"]["containers"].as_array().unwrap_or_default().iter();
    containers.map(|container| container["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What a patch puts where, by names that do not depend on what else the pod has.
fn places(patch: &[Op], containers: &[String]) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    for op in patch {
        let value = match &op.action {
            Action::Add(value) | Action::Replace(value) => Some(value),
            Action::Remove => None,
        };
        let steps: Vec<_> = op.path.split('/').skip(1).map(unescape).collect();
        let steps: Vec<&str> = steps.iter().map(|step| &**step).collect();
        place(&steps, value, containers, &mut places);
    }
    places
}

fn place(steps: &[&str], value: Option<&Json<'_>>, containers: &[String], places: &mut BTreeMap<String, String>) {
    let mut put = |what: String, value: Option<&Json<'_>>| {
        places.insert(what, value.map_or_else(|| "removed".to_owned(), plain));
    };
    match steps {
        ["metadata", kind @ ("labels" | "annotations"), name] => {
            put(format!("{} {name}", kind.trim_end_matches('s')), value);
        }
        ["metadata", kind] => {
            for (name, value) in value.and_then(Json::as_object).into_iter().flat_map(crate::json::Object::iter) {
                put(format!("{} {name}", kind.trim_end_matches('s')), Some(value));
            }
        }
        ["spec", "containers", at, list @ ("env" | "volumeMounts" | "command"), rest @ ..] => {
            let container = at.parse().ok().and_then(|at: usize| containers.get(at)).map_or(*at, String::as_str);
            for item in items(value, rest.is_empty()) {
                let what = match *list {
                    "env" => variable(item, container),
                    "command" => format!("shim of {container}"),
                    _ => format!("mount {} of {container}", plain(&item["mountPath"])),
                };
                match item["value"].as_str() {
                    Some(text) if item["name"] == names::CONFIG_ENV => settings(text, container, &mut put),
                    _ => put(what, Some(item.get("value").unwrap_or(item))),
                }
            }
        }
        ["spec", list @ ("volumes" | "initContainers"), rest @ ..] => {
            let kind = if *list == "volumes" { "volume" } else { "init container" };
            for item in items(value, rest.is_empty()) {
                put(format!("{kind} {}", plain(&item["name"])), Some(item));
            }
        }
        other => put(format!("/{}", other.join("/")), value),
    }
}

/// The items that a value brings into a list: itself, or all of a `whole` one.
fn items<'v, 'j>(value: Option<&'v Json<'j>>, whole: bool) -> &'v [Json<'j>] {
    match value {
        Some(list) if whole => list.as_array().unwrap_or_default(),
        one => one.map(std::slice::from_ref).unwrap_or_default(),
    }
}

/// The lines of the shim's configuration, each by its name, with what it is about where there are several.
fn settings(text: &str, container: &str, put: &mut dyn FnMut(String, Option<&Json<'_>>)) {
    for line in text.lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        let about = value.split_once('=').filter(|_| matches!(name, "attr" | "attr-env" | "header" | "env"));
        match about {
            Some((about, value)) => put(format!("setting {name} {about} of {container}"), Some(&value.into())),
            None => put(format!("setting {name} of {container}"), Some(&value.into())),
        }
    }
}

fn variable(entry: &Json<'_>, container: &str) -> String {
    match entry["name"].as_str() {
        Some(name) => format!("variable {name} of {container}"),
        None => format!("a variable of {container}"),
    }
}

/// A text as it is, all else as JSON.
fn plain(value: &Json<'_>) -> String {
    value.as_str().map_or_else(|| Value::from(value).to_string(), ToOwned::to_owned)
}
