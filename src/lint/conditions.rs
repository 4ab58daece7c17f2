//! Expressions: conditions that are never true, keys that are read without asking for them.

use super::rule::{NEVER_TRUE, UNGUARDED_KEY};
use super::{Found, Severity};
use crate::policy::expr::Expression;
use crate::policy::load::Written;
use crate::policy::selector::requirements;
use crate::policy::spec::{Match, Operator, Source};

/// What each pod of a step has when it is admitted, beyond what expressions are known to find on all: the API server and the plugins that it
/// asks before webhooks (`Priority`, `DefaultTolerationSeconds`) put it there, or Argo (`createWorkflowPod`). No `initContainers`: Argo 4.1
/// can do without.
pub(super) const ON_EVERY_POD: &[&str] = &[
    "has(pod.status)",
    "has(pod.spec.priority)",
    "has(pod.spec.tolerations)",
    "has(pod.metadata.ownerReferences[0].controller)",
    "has(pod.metadata.ownerReferences[0].blockOwnerDeletion)",
    "'kubectl.kubernetes.io/default-container' in pod.metadata.annotations",
];

pub(super) fn check(one: &Written, found: &mut Found<'_>) {
    let mut known = known(&one.policy.spec.r#match);
    for (i, source) in one.policy.spec.r#match.when.iter().enumerate() {
        // What does not compile is told as invalid.
        let Ok(expression) = Expression::compile(source) else { continue };
        let path = format!("spec.match.when[{i}]");
        if let Some(why) = expression.never_true() {
            found.add(&NEVER_TRUE, &path, why, "the policy never matches: change the condition, or take it out");
            continue;
        }
        for (place, instead) in unguarded(&expression, &known) {
            let message = format!("the policy matches no pod without `{place}`: the expression fails there");
            found.add(&UNGUARDED_KEY, &path, message, instead);
        }
        known.push(source.clone());
    }
    for (key, correlation) in &one.policy.spec.correlation {
        for (i, source) in correlation.from.iter().flatten().enumerate() {
            let Source::Cel(text) = source else { continue };
            let Ok(expression) = Expression::compile(text) else { continue };
            let path = format!("spec.correlation{}.from[{i}].cel", segment(key));
            for (place, instead) in unguarded(&expression, &known) {
                let message = format!("it fails on a pod without `{place}`, and the next source is asked");
                found.add_as(&UNGUARDED_KEY, Severity::Info, &path, message, instead);
            }
        }
    }
}

/// What holds on every pod for which the first condition is asked, as conditions: of all pods, and of those that the selectors take.
fn known(of: &Match) -> Vec<String> {
    let mut known: Vec<String> = ON_EVERY_POD.iter().map(|condition| (*condition).to_owned()).collect();
    for (labels, selector) in [("pod.metadata.labels", &of.pod_selector), ("namespaceLabels", &of.namespace_selector)] {
        for (key, operator, _) in selector.iter().flat_map(requirements) {
            if matches!(operator, Operator::Exists | Operator::In) {
                known.push(format!("'{key}' in {labels}"));
            }
        }
    }
    known
}

/// The look-ups of an expression without a guard, in it or in what is known: where, and how to write it instead.
fn unguarded(expression: &Expression, known: &[String]) -> Vec<(String, String)> {
    let mut found = expression.unguarded();
    found.retain(|(place, _)| !known.iter().any(|condition| guards(condition, place)));
    found
}

/// Whether a place, written as in an expression, is there wherever a condition holds.
fn guards(condition: &str, place: &str) -> bool {
    // Most say nothing of it, and need not be asked.
    if !condition.contains(last_key(place)) {
        return false;
    }
    let needs = |expression: &Expression| expression.unguarded().iter().any(|(needed, _)| needed == place);
    // The line ends what may be a comment.
    match Expression::compile(&format!("({condition}\n) && {place} == {place}")) {
        // What the condition needs itself is told there.
        Ok(both) => !needs(&both) || Expression::compile(condition).is_ok_and(|condition| needs(&condition)),
        // Together they are over a limit of expressions: it may be a guard.
        Err(_) => true,
    }
}

/// The key that a place ends with, such as `tier` of `pod.metadata.labels.tier`.
fn last_key(place: &str) -> &str {
    match place.strip_suffix("']").and_then(|inside| inside.rsplit_once("['")) {
        Some((_, key)) => key,
        None => place.rsplit('.').next().unwrap_or(place),
    }
}

/// Whether a condition leaves no pod out: its opposite is never true, and it fails nowhere.
pub(super) fn is_always_true(source: &str) -> bool {
    let never = |source: &str| Expression::compile(source).is_ok_and(|expression| expression.never_true().is_some());
    let fails = |expression: &Expression| !expression.unguarded().is_empty();
    never(&format!("!({source})")) && Expression::compile(source).is_ok_and(|one| !fails(&one)) && !never(source)
}

/// A key as part of a path.
pub(super) fn segment(key: &str) -> String {
    if key.contains(['.', '[', '/']) { format!("[{key:?}]") } else { format!(".{key}") }
}
