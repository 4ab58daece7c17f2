//! Which pods a policy takes: none, or all.

use super::overlap::covers;
use super::rule::{INVALID_LABEL, MATCH_ALL, UNREACHABLE_POLICY};
use super::{Found, Severity};
use crate::argo::names;
use crate::policy::load::Written;
use crate::policy::selector::{holds, requirements};
use crate::policy::spec::{Globs, LabelSelector, Match, Operator};
use crate::policy::syntax;

/// Label: whether Argo's controller is done with the pod (`LabelKeyCompleted`).
const COMPLETED_LABEL: &str = "workflows.argoproj.io/completed";

pub(super) fn check(one: &Written, found: &mut Found<'_>) {
    let of = &one.policy.spec.r#match;
    unreachable(of, found);
    containers(&one.policy.spec.containers, found);
    selector_values(of, found);
    match_all(of, found);
}

/// Sets of names and labels without a member.
fn unreachable(of: &Match, found: &mut Found<'_>) {
    let Globs { include, exclude } = &of.namespaces;
    let excluded = |glob: &String| exclude.iter().flatten().any(|other| covers(other, glob));
    match include.as_deref() {
        Some([]) => found.add(
            &UNREACHABLE_POLICY,
            "spec.match.namespaces.include",
            "an empty list takes no namespace",
            "leave it out to take all",
        ),
        Some(globs) if globs.iter().all(excluded) => found.add(
            &UNREACHABLE_POLICY,
            "spec.match.namespaces.exclude",
            "every namespace that is included is excluded too",
            "",
        ),
        Some(globs) if !globs.iter().any(|glob| may_be_namespace(glob)) => found.add(
            &UNREACHABLE_POLICY,
            "spec.match.namespaces.include",
            "no namespace can have such a name",
            "namespaces are named with lower-case letters, digits and -, at most 63 characters",
        ),
        None if excluded(&"*".to_owned()) => {
            found.add(&UNREACHABLE_POLICY, "spec.match.namespaces.exclude", "every namespace is excluded", "");
        }
        _ => {}
    }
    for (field, selector) in selectors(of) {
        if let Some((key, why)) = contradiction(requirements(selector)) {
            let hint = "all that a selector says must hold at once";
            found.add(&UNREACHABLE_POLICY, &format!("spec.match.{field}"), format!("label `{key}` {why}"), hint);
        }
    }
    let mut asked = of.pod_selector.iter().flat_map(requirements);
    if let Some((key, operator, _)) = asked.find(|one| on_every_pod(*one) == Some(false)) {
        let message = match operator {
            Operator::DoesNotExist => format!("every pod of Argo has the label `{key}`"),
            _ => format!("label `{key}` is \"false\" when a pod is admitted: its step has not run yet"),
        };
        found.add(&UNREACHABLE_POLICY, "spec.match.podSelector", message, "");
    }
}

/// Whether a requirement holds for all pods of steps as they are admitted, or for none; `None` where that depends on the pod.
fn on_every_pod((key, operator, values): (&str, Operator, &[String])) -> Option<bool> {
    // The value where it is one for all (`createWorkflowPod` of argo-workflows 3.5 to 4.1).
    let value = match key {
        names::WORKFLOW_LABEL => None,
        COMPLETED_LABEL => Some("false"),
        _ => return None,
    };
    match operator {
        Operator::Exists => Some(true),
        Operator::DoesNotExist => Some(false),
        Operator::In | Operator::NotIn => value.map(|value| holds(operator, values, Some(value))),
    }
}

/// Globs that leave no container of a step. A warning: it may be how pods are left out on purpose.
fn containers(globs: &Globs, found: &mut Found<'_>) {
    let none = |glob: &String| {
        names::is_argo_container(glob) || globs.exclude.iter().flatten().any(|other| covers(other, glob))
    };
    let field = match &globs.include {
        Some(include) if include.iter().all(none) => "include",
        None if none(&"*".to_owned()) => "exclude",
        _ => return,
    };
    let message = "no container of a step is left: the policy injects nothing";
    let hint =
        "Argo's own containers (init, wait, supervisor) are never injected; to leave steps out, say so in `match`";
    found.add_as(&UNREACHABLE_POLICY, Severity::Warning, &format!("spec.containers.{field}"), message, hint);
}

fn selectors(of: &Match) -> impl Iterator<Item = (&'static str, &LabelSelector)> {
    let both = [("namespaceSelector", &of.namespace_selector), ("podSelector", &of.pod_selector)];
    both.into_iter().filter_map(|(field, selector)| Some((field, selector.as_ref()?)))
}

/// A label of which is said what can't hold together.
pub(super) fn contradiction<'s>(
    said: impl Iterator<Item = (&'s str, Operator, &'s [String])>,
) -> Option<(&'s str, String)> {
    let all: Vec<_> = said.collect();
    for (i, &(key, operator, values)) in all.iter().enumerate() {
        for &(other_key, other, other_values) in &all[..i] {
            if key != other_key {
                continue;
            }
            let (there, not_there) = (Operator::Exists, Operator::DoesNotExist);
            let none_left = match (operator, other) {
                (Operator::In, Operator::In) => !values.iter().any(|value| other_values.contains(value)),
                (Operator::In, Operator::NotIn) => values.iter().all(|value| other_values.contains(value)),
                (Operator::NotIn, Operator::In) => other_values.iter().all(|value| values.contains(value)),
                (a, b) => {
                    let wants = |o: Operator| o == there || o == Operator::In;
                    (a == not_there && wants(b)) || (b == not_there && wants(a))
                }
            };
            if none_left {
                return Some((key, "would have to be there and not be there, or have two values".to_owned()));
            }
        }
    }
    None
}

/// Values that no label has.
fn selector_values(of: &Match, found: &mut Found<'_>) {
    let hint = "at most 63 letters, digits, - _ ., alphanumeric at both ends";
    for (field, selector) in selectors(of) {
        for (key, value) in &selector.match_labels {
            if !syntax::is_label_value(value) {
                let path = format!("spec.match.{field}.matchLabels{}", super::conditions::segment(key));
                found.add(&INVALID_LABEL, &path, format!("no label has the value {value:?}"), hint);
            }
        }
        for (i, requirement) in selector.match_expressions.iter().enumerate() {
            for (j, value) in requirement.values.iter().enumerate().filter(|(_, v)| !syntax::is_label_value(v)) {
                let path = format!("spec.match.{field}.matchExpressions[{i}].values[{j}]");
                found.add(&INVALID_LABEL, &path, format!("no label has the value {value:?}"), hint);
            }
        }
    }
}

fn match_all(of: &Match, found: &mut Found<'_>) {
    let Match { namespaces, namespace_selector, pod_selector, templates, when } = of;
    let all_namespaces = namespaces.include.as_ref().is_none_or(|globs| globs.iter().any(|glob| takes_all(glob, 1)));
    let none_left_out = !namespaces.exclude.iter().flatten().any(|glob| may_be_namespace(glob));
    let any_namespace = !namespace_selector.iter().flat_map(requirements).any(|_| true);
    let any_pod = pod_selector.iter().flat_map(requirements).all(|one| on_every_pod(one) == Some(true));
    // A template that is not known has no name.
    let all_templates = templates.is_empty() || templates.iter().any(|glob| takes_all(glob, 0));
    let always = when.iter().all(|condition| super::conditions::is_always_true(condition));
    if all_namespaces && none_left_out && any_namespace && any_pod && all_templates && always {
        let hint = "such as `match: {namespaces: {exclude: [\"kube-*\"]}}`; or say why all are meant: `# stepspan-lint: allow(match-all) ...`";
        found.add(&MATCH_ALL, "spec.match", "it takes every step of every namespace, and leaves nothing out", hint);
    }
}

/// Whether a glob matches every text of at least `least` characters.
fn takes_all(glob: &str, least: usize) -> bool {
    let single = glob.bytes().filter(|b| *b == b'?').count();
    glob.contains('*') && single <= least && glob.bytes().all(|b| matches!(b, b'*' | b'?'))
}

fn may_be_namespace(glob: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*' | b'?');
    glob.len() <= 63 && glob.bytes().all(fits) && !glob.is_empty()
}
