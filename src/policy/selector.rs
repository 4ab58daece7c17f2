//! Globs and label selectors.

use std::collections::BTreeMap;

use super::spec::{Globs, LabelSelector, Operator, Requirement};

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
    selector.match_labels.iter().all(|(k, v)| label(k) == Some(v))
        && selector.match_expressions.iter().all(|r| holds(r, label(&r.key)))
}

/// Whether a namespace's labels satisfy a selector. The API server labels each namespace with its name, so that is always known.
pub fn selects_namespace(selector: &LabelSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    selects(selector, |key| match labels.get(key) {
        Some(value) => Some(value),
        None => (key == "kubernetes.io/metadata.name").then_some(name),
    })
}

/// Whether a label's value, or that there is none, meets a requirement.
pub fn holds(requirement: &Requirement, value: Option<&str>) -> bool {
    let among = || value.is_some_and(|v| requirement.values.iter().any(|w| w == v));
    match requirement.operator {
        Operator::In => among(),
        Operator::NotIn => !among(),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
