//! Policies that meet: one that leaves nothing for another to say, and two that contradict each other.

use super::matching::{contradiction, requirements};
use super::rule::{EQUAL_PRIORITY, SHADOWED_POLICY};
use super::{Found, turn};
use crate::policy::load::Written;
use crate::policy::merge::merge;
use crate::policy::selector::glob_matches;
use crate::policy::spec::{LabelSelector, Requirement};

pub(super) fn check(one: &Written, order: &[&Written], found: &mut Found<'_>) {
    shadowed(one, order, found);
    equal_priority(one, order, found);
}

/// Whether those before it say everything it says, wherever it matches.
fn shadowed(one: &Written, order: &[&Written], found: &mut Found<'_>) {
    let before = order.iter().take_while(|other| turn(other) < turn(one));
    let covering: Vec<&&Written> = before.filter(|other| takes_all_of(other, one)).collect();
    let layers = covering.iter().copied().copied().chain(std::iter::once(one));
    let Ok(merged) = merge(layers.map(|w| (w.policy.metadata.name.as_str(), &w.policy.spec))) else { return };
    let name = &one.policy.metadata.name;
    if covering.is_empty() || merged.writers.values().any(|writer| writer.policy == *name) {
        return;
    }
    let names: Vec<&str> = covering.iter().map(|w| w.policy.metadata.name.as_str()).collect();
    let message = format!("all it says is said before it by {}, wherever it matches", names.join(", "));
    found.add(&SHADOWED_POLICY, "metadata.name", message, "give it a higher priority, or take it out");
}

/// Whether `other` takes every pod that `one` takes, as far as that can be told from what they say.
fn takes_all_of(other: &Written, one: &Written) -> bool {
    let (a, b) = (&other.policy.spec, &one.policy.spec);
    let (wide, narrow) = (&a.r#match, &b.r#match);
    let each = |narrow: &[String], wide: &[String]| narrow.iter().all(|n| wide.iter().any(|w| covers(w, n)));
    let include = match (&wide.namespaces.include, &narrow.namespaces.include) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => each(narrow, wide),
        (Some(wide), None) => wide.iter().any(|glob| glob == "*"),
    };
    let list = |globs: &Option<Vec<String>>| globs.clone().unwrap_or_default();
    let exclude = each(&list(&wide.namespaces.exclude), &list(&narrow.namespaces.exclude));
    let templates =
        wide.templates.is_empty() || (!narrow.templates.is_empty() && each(&narrow.templates, &wide.templates));
    let selector = |wide: &Option<LabelSelector>, narrow: &Option<LabelSelector>| wide.is_none() || wide == narrow;
    include
        && exclude
        && templates
        && selector(&wide.namespace_selector, &narrow.namespace_selector)
        && selector(&wide.pod_selector, &narrow.pod_selector)
        && wide.when.iter().all(|condition| narrow.when.contains(condition))
        && a.opt_out == b.opt_out
}

/// Whether every name that `narrow` matches is matched by `wide`.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    if !narrow.contains(['*', '?']) {
        return glob_matches(wide, narrow);
    }
    let prefix = wide.strip_suffix('*').filter(|prefix| !prefix.contains(['*', '?']));
    wide == narrow || prefix.is_some_and(|prefix| narrow.starts_with(prefix))
}

/// Two of one priority that write different values where both may match.
fn equal_priority(one: &Written, order: &[&Written], found: &mut Found<'_>) {
    let same = |other: &&&Written| turn(other).0 == turn(one).0 && turn(other) < turn(one);
    for other in order.iter().filter(same).filter(|other| may_meet(other, one)) {
        let layers = [*other, one].map(|w| (w.policy.metadata.name.as_str(), &w.policy.spec));
        let Ok(merged) = merge(layers.into_iter()) else { continue };
        let lost: Vec<&str> =
            merged.writers.iter().filter(|(_, w)| !w.over.is_empty()).map(|(path, _)| path.as_str()).collect();
        if let Some(first) = lost.first() {
            let name = &other.policy.metadata.name;
            let more = if lost.len() > 1 { format!(" and {} more", lost.len() - 1) } else { String::new() };
            let message =
                format!("`{name}` has the same priority and writes another `{first}`{more}: it wins by its name");
            found.add(&EQUAL_PRIORITY, "metadata.name", message, "give one of them a higher `spec.priority`");
        }
    }
}

/// Whether two policies may take one pod: not where what they include has nothing in common.
fn may_meet(a: &Written, b: &Written) -> bool {
    let [a, b] = [a, b].map(|w| &w.policy.spec.r#match);
    let apart = |a: &[String], b: &[String]| {
        let plain = |list: &[String]| list.iter().all(|glob| !glob.contains(['*', '?']));
        if plain(a) {
            !a.iter().any(|name| b.iter().any(|glob| glob_matches(glob, name)))
        } else {
            plain(b) && !b.iter().any(|name| a.iter().any(|glob| glob_matches(glob, name)))
        }
    };
    let namespaces = match (&a.namespaces.include, &b.namespaces.include) {
        (Some(a), Some(b)) => !apart(a, b),
        _ => true,
    };
    let templates = a.templates.is_empty() || b.templates.is_empty() || !apart(&a.templates, &b.templates);
    let labels = |a: &Option<LabelSelector>, b: &Option<LabelSelector>| match (a, b) {
        (Some(a), Some(b)) => {
            let both = LabelSelector {
                match_labels: a.match_labels.clone(),
                match_expressions: requirements(b)
                    .map(|(key, operator, values)| Requirement {
                        key: key.to_owned(),
                        operator,
                        values: values.into_iter().map(str::to_owned).collect(),
                    })
                    .chain(a.match_expressions.iter().cloned())
                    .collect(),
            };
            contradiction(&both).is_none()
        }
        _ => true,
    };
    namespaces
        && templates
        && labels(&a.namespace_selector, &b.namespace_selector)
        && labels(&a.pod_selector, &b.pod_selector)
}
