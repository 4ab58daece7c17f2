//! By which clause of `match` a policy takes a pod or leaves it, in words.

use serde::Serialize;

use crate::argo::StepPod;
use crate::context::Context;
use crate::policy::selector::{glob_matches, holds, namespace_label, requirements};
use crate::policy::spec::{Globs, LabelSelector, Match, Operator};
use crate::policy::{Mismatch, Policy};

/// What a policy says of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clauses {
    /// The policy's name.
    pub policy: String,
    /// Whether it matches.
    pub matches: bool,
    /// Where it does, all clauses, each with what it took; else the first that does not hold.
    pub clauses: Vec<String>,
}

/// The clauses of a policy; `mismatch` is why it does not match.
pub(super) fn of(policy: &Policy, pod: &StepPod<'_>, context: &Context, mismatch: Option<&Mismatch>) -> Clauses {
    let matching = &policy.spec.r#match;
    let clauses = match mismatch {
        None => taken(matching, pod),
        Some(mismatch) => vec![refused(matching, pod, context, mismatch)],
    };
    Clauses { policy: policy.name.clone(), matches: mismatch.is_none(), clauses }
}

fn taken(matching: &Match, pod: &StepPod<'_>) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(glob) = taking(matching.namespaces.include.as_deref(), pod.namespace) {
        all.push(format!("namespaces.include {glob:?} takes {}", pod.namespace));
    }
    if let Some(glob) = taking(Some(&matching.templates), &pod.template) {
        all.push(format!("templates {glob:?} takes {}", pod.template));
    }
    for (field, selector) in
        [("podSelector", &matching.pod_selector), ("namespaceSelector", &matching.namespace_selector)]
    {
        let wanted: Vec<String> = selector.iter().flat_map(requirements).map(shown).collect();
        if !wanted.is_empty() {
            all.push(format!("{field} {}", wanted.join(", ")));
        }
    }
    all.extend(matching.when.iter().enumerate().map(|(i, condition)| format!("when[{i}] {}", one_line(condition))));
    if all.is_empty() {
        all.push("it takes every step".to_owned());
    }
    all
}

fn refused(matching: &Match, pod: &StepPod<'_>, context: &Context, mismatch: &Mismatch) -> String {
    let why = match mismatch {
        Mismatch::Namespace => Some(of_globs(&matching.namespaces, pod.namespace)),
        Mismatch::Template => Some(format!("templates {:?} does not take {}", matching.templates, pod.template)),
        Mismatch::PodSelector => matching.pod_selector.as_ref().and_then(|selector| {
            failing(selector, |key| pod.label(key)).map(|why| format!("podSelector {why}, the pod"))
        }),
        Mismatch::NamespaceSelector => matching.namespace_selector.as_ref().and_then(|selector| {
            let labels = context.namespace_labels(pod.namespace)?;
            failing(selector, |key| namespace_label(pod.namespace, labels, key))
                .map(|why| format!("namespaceSelector {why}, the namespace"))
        }),
        Mismatch::Condition(i) | Mismatch::ConditionFailed(i, _) => {
            matching.when.get(*i).map(|condition| format!("{mismatch}: {}", one_line(condition)))
        }
        Mismatch::NamespaceUnknown | Mismatch::OptedOut => None,
    };
    why.unwrap_or_else(|| mismatch.to_string())
}

fn of_globs(globs: &Globs, name: &str) -> String {
    match taking(globs.exclude.as_deref(), name) {
        Some(glob) => format!("namespaces.exclude {glob:?} takes {name}"),
        None => format!("namespaces.include {:?} does not take {name}", globs.include.as_deref().unwrap_or_default()),
    }
}

/// The first glob that takes a name.
fn taking<'g>(globs: Option<&'g [String]>, name: &str) -> Option<&'g String> {
    globs?.iter().find(|glob| glob_matches(glob, name))
}

/// The first requirement that labels do not meet, and what is there instead.
fn failing<'a>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let wrong = requirements(selector).find(|&(key, operator, values)| !holds(operator, values, label(key)))?;
    let (key, ..) = wrong;
    let there = label(key).map_or_else(|| format!("no {key}"), |value| format!("{key}={value}"));
    Some(format!("asks for {} and finds {there}", shown(wrong)))
}

fn shown((key, operator, values): (&str, Operator, &[String])) -> String {
    match (operator, values) {
        (Operator::In, [one]) => format!("{key}={one}"),
        (Operator::NotIn, [one]) => format!("{key}!={one}"),
        (Operator::In, _) => format!("{key} in ({})", values.join(", ")),
        (Operator::NotIn, _) => format!("{key} notin ({})", values.join(", ")),
        (Operator::Exists, _) => key.to_owned(),
        (Operator::DoesNotExist, _) => format!("!{key}"),
    }
}

fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}
