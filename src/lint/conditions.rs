//! Expressions: conditions that are never true, keys that are read without asking for them.

use super::rule::{NEVER_TRUE, UNGUARDED_KEY};
use super::{Found, Severity};
use crate::policy::expr::Expression;
use crate::policy::load::Written;
use crate::policy::spec::Source;

pub(super) fn check(one: &Written, found: &mut Found<'_>) {
    for (i, source) in one.policy.spec.r#match.when.iter().enumerate() {
        // What does not compile is told as invalid.
        let Ok(expression) = Expression::compile(source) else { continue };
        let path = format!("spec.match.when[{i}]");
        if let Some(why) = expression.never_true() {
            found.add(&NEVER_TRUE, &path, why, "the policy never matches: change the condition, or take it out");
            continue;
        }
        for (place, instead) in expression.unguarded() {
            let message = format!("the policy matches no pod without `{place}`: the expression fails there");
            found.add(&UNGUARDED_KEY, &path, message, instead);
        }
    }
    for (key, correlation) in &one.policy.spec.correlation {
        for (i, source) in correlation.from.iter().flatten().enumerate() {
            let Source::Cel(text) = source else { continue };
            let Ok(expression) = Expression::compile(text) else { continue };
            let path = format!("spec.correlation{}.from[{i}].cel", segment(key));
            for (place, instead) in expression.unguarded() {
                let message = format!("it fails on a pod without `{place}`, and the next source is asked");
                found.add_as(&UNGUARDED_KEY, Severity::Info, &path, message, instead);
            }
        }
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
