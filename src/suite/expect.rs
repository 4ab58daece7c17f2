//! Expectations against what a review came to.

use serde_json::{Map, Value};

use super::part::{name_key, subset};
use super::run::{Given, Looked};
use super::spec::{Bound, Correlated, Decided, Expect, Variable, Wanted};
use super::{Failure, pointer};
use crate::yaml;

impl Expect {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        let Self {
            outcome,
            reason,
            policies,
            containers,
            values,
            env,
            pod,
            contains,
            absent,
            operations,
            growth,
            warnings,
        } = self;
        outcome.is_none()
            && reason.is_none()
            && policies.is_none()
            && containers.is_empty()
            && values.is_empty()
            && env.is_empty()
            && pod.is_none()
            && contains.is_none()
            && absent.is_empty()
            && operations.is_none()
            && growth.is_none()
            && warnings.is_none()
    }

    /// What does not hold.
    pub(super) fn failures(&self, looked: &Looked) -> Vec<Failure> {
        let mut all = Vec::new();
        self.decision(looked, &mut all);
        self.values(looked, &mut all);
        self.env(looked, &mut all);
        self.pod(looked, &mut all);
        all
    }

    fn decision(&self, looked: &Looked, all: &mut Vec<Failure>) {
        let reviewed = &looked.reviewed;
        let mut same = |what: &str, expected: Option<&String>, found: String| {
            if let Some(expected) = expected.filter(|expected| **expected != found) {
                all.push(Failure::new(what, expected, found));
            }
        };
        same("outcome", self.outcome.as_ref(), reviewed.outcome.label().to_owned());
        let reason = reviewed.reason.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        same("reason", self.reason.as_ref(), reason);
        let policies = self.policies.as_ref().map(|policies| listed(policies, ", "));
        same("policies", policies.as_ref(), listed(&reviewed.decision.policies, ", "));
        for (name, expected) in &self.containers {
            let found = reviewed.decision.containers.iter().find(|container| container.name == *name);
            let found =
                found.map(|found| found.skipped.as_ref().map_or_else(|| "injected".to_owned(), ToString::to_string));
            same(
                &format!("containers.{name}"),
                Some(expected),
                found.unwrap_or_else(|| "no such container".to_owned()),
            );
        }
        if let Some(expected) = &self.warnings {
            let found = &reviewed.warnings;
            let fits =
                found.len() == expected.len() && found.iter().zip(expected).all(|(found, part)| found.contains(part));
            if !fits {
                all.push(Failure::new("warnings", listed(expected, "\n"), listed(found, "\n")));
            }
        }
        let mut bounded = |what: &str, bound: Option<Bound>, number: usize| {
            if let Some(expected) = bound.and_then(|bound| bound.refuses(number)) {
                all.push(Failure::new(what, expected, number.to_string()));
            }
        };
        bounded("operations", self.operations, reviewed.patch.len());
        bounded("growth", self.growth, looked.growth());
    }

    fn values(&self, looked: &Looked, all: &mut Vec<Failure>) {
        for (key, expected) in &self.values {
            let Some(found) = looked.reviewed.decision.values.iter().find(|value| value.key == *key) else {
                all.push(Failure::new(format!("values.{key}"), "a value", "no policy that matches has this key"));
                continue;
            };
            let mut same = |what: String, expected: &Wanted, found: Option<&str>| {
                if expected.refuses(found) {
                    all.push(Failure::new(what, shown(expected.text()), shown(found)));
                }
            };
            match expected {
                Correlated::Value(value) => same(format!("values.{key}"), value, found.value.as_deref()),
                Correlated::Full(full) => {
                    same(format!("values.{key}"), &full.value, found.value.as_deref());
                    same(format!("values.{key}.source"), &full.source, found.source.as_deref());
                }
            }
        }
    }

    fn env(&self, looked: &Looked, all: &mut Vec<Failure>) {
        for (container, variables) in &self.env {
            if !looked.has(container) {
                all.push(Failure::new(format!("env.{container}"), "a container", "no such container"));
                continue;
            }
            for (name, expected) in variables {
                let what = format!("env.{container}.{name}");
                match expected {
                    Variable::Value(expected) => {
                        let found = looked.variable(container, name);
                        if !Given::is(found.as_ref(), expected.as_deref()) {
                            let found = shown(found.as_ref().map(Given::told));
                            all.push(Failure::new(what, shown(expected.as_deref()), found));
                        }
                    }
                    Variable::Decision(Decided { value, decision }) => {
                        let of = looked.explanation.containers.iter().find(|of| of.container == *container);
                        let found = of.and_then(|of| of.variables.iter().find(|variable| variable.name == *name));
                        let Some(found) = found else {
                            all.push(Failure::new(what, decision.clone(), "no variable of ours"));
                            continue;
                        };
                        if found.decision != decision {
                            all.push(Failure::new(what.clone(), decision.clone(), found.decision));
                        }
                        if value.as_ref().is_some_and(|value| *value != found.value) {
                            all.push(Failure::new(what, shown(value.as_deref()), found.value.clone()));
                        }
                    }
                }
            }
        }
    }

    fn pod(&self, looked: &Looked, all: &mut Vec<Failure>) {
        if let Some(expected) = self.pod.as_ref().filter(|expected| **expected != looked.after) {
            all.push(differing("pod", expected, &looked.after));
        }
        if let Some(part) = &self.contains {
            subset("contains", part, &looked.after, all);
        }
        for pointer in &self.absent {
            let what = || format!("absent {pointer}");
            let pods = [&looked.after, &looked.before];
            if let Some(found) = looked.after.pointer(pointer) {
                all.push(Failure::new(what(), "nothing", as_yaml(found)));
            } else if let Some(why) = pods.into_iter().find_map(|pod| pointer::in_one(pointer, pod)) {
                all.push(Failure::new(what(), "a place where something may stand", why));
            }
        }
    }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "none".to_owned(), str::to_owned)
}

fn listed(texts: &[String], between: &str) -> String {
    if texts.is_empty() { "none".to_owned() } else { texts.join(between) }
}

/// Both as YAML, the keys of both in one order: what is shown as different is.
pub(super) fn differing(what: &str, expected: &Value, found: &Value) -> Failure {
    Failure::new(what, as_yaml(&ordered_as(found, expected)), as_yaml(found))
}

/// The same value with its keys in the order of another, those that the other has not behind them.
fn ordered_as(model: &Value, value: &Value) -> Value {
    match (value, model) {
        (Value::Object(fields), Value::Object(model)) => {
            let known = model.iter().filter_map(|(key, of)| Some((key.clone(), ordered_as(of, fields.get(key)?))));
            let more = fields.iter().filter(|(key, _)| !model.contains_key(*key));
            known.chain(more.map(|(key, value)| (key.clone(), value.clone()))).collect::<Map<_, _>>().into()
        }
        (Value::Array(items), Value::Array(models)) => {
            let model = |at: usize, item: &Value| match name_key(item) {
                Some(key) => models.iter().find(|of| of[key] == item[key]),
                None => models.get(at),
            };
            let ordered = |(at, item)| model(at, item).map_or_else(|| item.clone(), |of| ordered_as(of, item));
            items.iter().enumerate().map(ordered).collect()
        }
        _ => value.clone(),
    }
}

pub(super) fn as_yaml(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail, and what is written is UTF-8.
    let _ = yaml::write(value, &mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}
