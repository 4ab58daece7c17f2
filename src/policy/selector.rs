//! Globs and label selectors.

use std::collections::BTreeMap;
use std::slice;

use super::spec::{Globs, LabelSelector, Operator};

/// Whether a name is taken by include and exclude globs; an absent include takes everything.
pub fn globs_take(globs: &Globs, name: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|p| glob_matches(p, name));
    globs.include.as_deref().is_none_or(any) && !globs.exclude.as_deref().is_some_and(any)
}

/// Whether a glob (`*` any text, `?` one character) matches the whole name. Linear in pattern times name, no recursion.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || name.get(n) == Some(&c) => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == b'*')
}

/// Whether labels, looked up by name, satisfy a selector.
pub fn selects<'a>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'a str>) -> bool {
    requirements(selector).all(|(key, operator, values)| holds(operator, values, label(key)))
}

/// Whether a namespace's labels satisfy a selector.
pub fn selects_namespace(selector: &LabelSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    selects(selector, |key| namespace_label(name, labels, key))
}

/// A label of a namespace. The API server labels each namespace with its name, so that is always known.
pub fn namespace_label<'a>(name: &'a str, labels: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    match labels.get(key) {
        Some(value) => Some(value),
        None => (key == "kubernetes.io/metadata.name").then_some(name),
    }
}

/// All that a selector says, `matchLabels` first: a label, and how it has to relate to values.
pub fn requirements(selector: &LabelSelector) -> impl Iterator<Item = (&str, Operator, &[String])> {
    let equal = selector.match_labels.iter().map(|(key, value)| (key.as_str(), Operator::In, slice::from_ref(value)));
    let others = selector.match_expressions.iter().map(|one| (one.key.as_str(), one.operator, one.values.as_slice()));
    equal.chain(others)
}

/// Whether a label's value, or that there is none, relates to values as asked.
pub fn holds(operator: Operator, values: &[String], value: Option<&str>) -> bool {
    let among = || value.is_some_and(|value| values.iter().any(|one| one == value));
    match operator {
        Operator::In => among(),
        Operator::NotIn => !among(),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::spec::Requirement;

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("verify-*", "verify-unit", true),
            ("verify-*", "verif", false),
            ("*-*-end", "a-b-c-end", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("kube-*", "kube-system", true),
            ("main", "main", true),
            ("main", "main2", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn an_absent_label_satisfies_not_in() {
        let requirement = Requirement { key: "tier".into(), operator: Operator::NotIn, values: vec!["system".into()] };
        let selector = LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() };
        assert!(selects(&selector, |_| None));
        assert!(!selects(&selector, |_| Some("system")));
    }

    #[test]
    fn the_name_of_a_namespace_is_a_label_of_it() {
        let labels = BTreeMap::from([("team".to_owned(), "build".to_owned())]);
        let label = |key| namespace_label("ci", &labels, key);
        assert_eq!((label("team"), label("tier")), (Some("build"), None));
        assert_eq!(label("kubernetes.io/metadata.name"), Some("ci"));
    }
}
