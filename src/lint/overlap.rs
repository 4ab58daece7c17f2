//! Policies that meet: one that leaves nothing for another to say, and two that contradict each other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::matching::contradiction;
use super::rule::{EQUAL_PRIORITY, SHADOWED_POLICY};
use super::{Finding, Found, turn};
use crate::policy::load::Written;
use crate::policy::merge::leaves;
use crate::policy::selector::{glob_matches, requirements};
use crate::policy::spec::{Globs, LabelSelector, Match};

/// A policy, and what it writes.
struct Layer<'w> {
    written: &'w Written,
    leaves: BTreeMap<String, Value>,
}

/// Looks at each policy beside those that come before it; `order` is the order in which they take turns.
pub(super) fn check(order: &[&Written], findings: &mut Vec<Finding>) {
    // A spec that was read can be written.
    let layer = |written: &&'_ Written| leaves(&written.policy.spec).unwrap_or_default();
    let layers: Vec<Layer<'_>> = order.iter().map(|written| Layer { written, leaves: layer(written) }).collect();
    for (at, one) in layers.iter().enumerate() {
        let before = layers.get(..at).unwrap_or_default();
        let Written { file, place, .. } = one.written;
        let mut found = Found { file, place, findings };
        shadowed(one, before, &mut found);
        equal_priority(one, before, &mut found);
    }
}

/// Whether those before it say everything it says, wherever it matches.
fn shadowed(one: &Layer<'_>, before: &[Layer<'_>], found: &mut Found<'_>) {
    let covering: Vec<&Layer<'_>> = before.iter().filter(|other| takes_all_of(other.written, &[one.written])).collect();
    let said = |path: &String| covering.iter().find(|other| other.leaves.contains_key(path));
    let Some(sayers) = one.leaves.keys().map(said).collect::<Option<Vec<_>>>() else { return };
    let names: BTreeSet<&str> = match covering.first() {
        // It says nothing at all.
        Some(first) if sayers.is_empty() => BTreeSet::from([name(first)]),
        _ => sayers.into_iter().map(|other| name(other)).collect(),
    };
    if !names.is_empty() {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("all it says is said before it by {names}, wherever it matches");
        found.add(&SHADOWED_POLICY, "metadata.name", message, "give it a higher priority, or take it out");
    }
}

fn name<'l>(layer: &'l Layer<'_>) -> &'l str {
    &layer.written.policy.metadata.name
}

/// Two of one priority that write different values where both may match: the first such is told.
fn equal_priority(one: &Layer<'_>, before: &[Layer<'_>], found: &mut Found<'_>) {
    let same = |other: &&Layer<'_>| turn(other.written).0 == turn(one.written).0;
    let higher: Vec<&Layer<'_>> = before.iter().filter(|other| !same(other)).collect();
    for other in before.iter().rev().take_while(same) {
        let both = other.leaves.iter().filter(|(path, value)| one.leaves.get(*path).is_some_and(|own| own != *value));
        let both: Vec<&String> = both.map(|(path, _)| path).collect();
        if both.is_empty() || !may_meet(other.written, one.written) {
            continue;
        }
        // What a policy before them decides wherever both match is lost for either.
        let wins = |path: &str| {
            let mut writers = higher.iter().filter(|above| above.leaves.contains_key(path));
            writers.any(|above| takes_all_of(above.written, &[other.written, one.written]))
        };
        let lost: Vec<&String> = both.into_iter().filter(|path| !wins(path)).collect();
        if let Some(first) = lost.first() {
            let more = if lost.len() > 1 { format!(" and {} more", lost.len() - 1) } else { String::new() };
            let name = name(other);
            let message =
                format!("`{name}` has the same priority and writes another `{first}`{more}: it wins by its name");
            return found.add(&EQUAL_PRIORITY, "metadata.name", message, "give one of them a higher `spec.priority`");
        }
    }
}

/// Whether `other` takes every pod that all of `ones` take, as far as that can be told from what they say: what it leaves out, one of them
/// leaves out too.
pub(super) fn takes_all_of(other: &Written, ones: &[&Written]) -> bool {
    let wide = &other.policy.spec.r#match;
    let one_of = |fits: &dyn Fn(&Match) -> bool| ones.iter().any(|one| fits(&one.policy.spec.r#match));
    let mut excluded = wide.namespaces.exclude.iter().flatten();
    let templates = |narrow: &Match| !narrow.templates.is_empty() && each_covered(&narrow.templates, &wide.templates);
    one_of(&|narrow| includes_all_of(&wide.namespaces, &narrow.namespaces))
        && excluded.all(|glob| one_of(&|narrow| leaves_out(&narrow.namespaces, glob)))
        && (wide.templates.is_empty() || one_of(&templates))
        && (wide.namespace_selector.is_none() || one_of(&|narrow| narrow.namespace_selector == wide.namespace_selector))
        && (wide.pod_selector.is_none() || one_of(&|narrow| narrow.pod_selector == wide.pod_selector))
        && wide.when.iter().all(|condition| one_of(&|narrow| narrow.when.contains(condition)))
        && ones.iter().any(|one| one.policy.spec.opt_out == other.policy.spec.opt_out)
}

fn includes_all_of(wide: &Globs, narrow: &Globs) -> bool {
    match (&wide.include, &narrow.include) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => each_covered(narrow, wide),
        (Some(wide), None) => wide.iter().any(|glob| glob == "*"),
    }
}

/// Whether globs take no name that `glob` matches.
fn leaves_out(globs: &Globs, glob: &str) -> bool {
    globs.exclude.iter().flatten().any(|excluded| covers(excluded, glob))
        || globs.include.as_ref().is_some_and(|include| !include.iter().any(|included| meet(included, glob)))
}

fn each_covered(narrow: &[String], wide: &[String]) -> bool {
    narrow.iter().all(|narrow| wide.iter().any(|wide| covers(wide, narrow)))
}

/// Whether every name that `narrow` matches is matched by `wide`.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    if !narrow.contains(['*', '?']) {
        return glob_matches(wide, narrow);
    }
    let prefix = wide.strip_suffix('*').filter(|prefix| !prefix.contains(['*', '?']));
    wide == narrow || prefix.is_some_and(|prefix| narrow.starts_with(prefix))
}

/// Whether there may be a name that both globs match: what stands before their first and behind their last wildcard has to agree.
fn meet(a: &str, b: &str) -> bool {
    let wild = ['*', '?'];
    if !a.contains(wild) {
        return glob_matches(b, a);
    }
    if !b.contains(wild) {
        return glob_matches(a, b);
    }
    let ends = |glob: &'_ str| (glob.find(wild).unwrap_or(0), glob.rfind(wild).map_or(0, |at| at + 1));
    let ((a_start, a_end), (b_start, b_end)) = (ends(a), ends(b));
    let (head, other_head) = (&a[..a_start], &b[..b_start]);
    let (tail, other_tail) = (&a[a_end..], &b[b_end..]);
    (head.starts_with(other_head) || other_head.starts_with(head))
        && (tail.ends_with(other_tail) || other_tail.ends_with(tail))
}

/// Whether some name may be included by both, and excluded by none.
fn namespaces_meet(a: &Globs, b: &Globs) -> bool {
    let all = vec!["*".to_owned()];
    let excluded = |glob: &String| a.exclude.iter().chain(&b.exclude).flatten().any(|other| covers(other, glob));
    let left = |globs: &Globs| -> Vec<String> {
        globs.include.as_ref().unwrap_or(&all).iter().filter(|glob| !excluded(glob)).cloned().collect()
    };
    any_meet(&left(a), &left(b))
}

fn any_meet(a: &[String], b: &[String]) -> bool {
    a.iter().any(|one| b.iter().any(|other| meet(one, other)))
}

/// Whether two policies may take one pod: not where what they take has nothing in common.
pub(super) fn may_meet(a: &Written, b: &Written) -> bool {
    let [a, b] = [a, b].map(|w| &w.policy.spec.r#match);
    let namespaces = namespaces_meet(&a.namespaces, &b.namespaces);
    let templates = a.templates.is_empty() || b.templates.is_empty() || any_meet(&a.templates, &b.templates);
    let labels = |a: &Option<LabelSelector>, b: &Option<LabelSelector>| match (a, b) {
        (Some(a), Some(b)) => contradiction(requirements(a).chain(requirements(b))).is_none(),
        _ => true,
    };
    namespaces
        && templates
        && labels(&a.namespace_selector, &b.namespace_selector)
        && labels(&a.pod_selector, &b.pod_selector)
}
