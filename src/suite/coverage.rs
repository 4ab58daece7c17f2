//! What of a suite's policies some case has tried: that each matches, each clause of `match` refuses, each source gives a value.

use std::collections::BTreeMap;

use super::run::Looked;
use crate::policy::spec::Match;
use crate::policy::{Mismatch, PolicySet};

/// Rules, and whether a case has tried them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, bool>);

impl Coverage {
    /// All that the policies say; nothing of it has been tried yet.
    pub fn of(policies: &PolicySet) -> Self {
        let mut rules = BTreeMap::new();
        for policy in policies.policies() {
            rules.insert(matches(&policy.name), false);
            rules.extend(clauses(&policy.spec.r#match).map(|clause| (refuses(&policy.name, &clause), false)));
            for (key, correlation) in &policy.spec.correlation {
                // A label that is there already is asked first.
                let own = correlation.label.iter().map(|label| format!("label/{label}"));
                let from = correlation.from.iter().flatten().map(crate::policy::spec::Source::name);
                rules.extend(own.chain(from).map(|source| (gives(&policy.name, key, &source), false)));
            }
        }
        Self(rules)
    }

    /// Takes what a case has tried.
    pub fn add(&mut self, looked: &Looked) {
        let decision = &looked.reviewed.decision;
        for name in &decision.policies {
            self.tried(&matches(name));
        }
        for (name, why) in &decision.mismatches {
            if let Some(clause) = clause(why) {
                self.tried(&refuses(name, &clause));
            }
        }
        for value in &decision.values {
            let Some(source) = &value.source else { continue };
            // Of several policies, the one that wrote it: others that name the same source were not asked.
            for field in ["from", "label"] {
                if let Some(writer) = decision.writers.get(&format!("correlation.{}.{field}", value.key)) {
                    self.tried(&gives(&writer.policy, &value.key, source));
                }
            }
        }
    }

    fn tried(&mut self, rule: &str) {
        if let Some(tried) = self.0.get_mut(rule) {
            *tried = true;
        }
    }

    /// How many rules there are, and how many were tried.
    pub fn count(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().filter(|tried| **tried).count())
    }

    /// Share of the rules that were tried, rounded down.
    pub fn percent(&self) -> usize {
        let (rules, tried) = self.count();
        (tried * 100).checked_div(rules).unwrap_or(100)
    }

    /// Rules that no case has tried.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, tried)| !**tried).map(|(rule, _)| rule.as_str())
    }
}

fn matches(policy: &str) -> String {
    format!("{policy}: match")
}

fn refuses(policy: &str, clause: &str) -> String {
    format!("{policy}: match.{clause} refuses")
}

/// The clauses that can refuse a pod.
fn clauses(matching: &Match) -> impl Iterator<Item = String> {
    let Match { namespaces, namespace_selector, pod_selector, templates, when } = matching;
    let globs = namespaces.include.is_some() || namespaces.exclude.as_ref().is_some_and(|all| !all.is_empty());
    let there = [
        (NAMESPACES, globs),
        (NAMESPACE_SELECTOR, namespace_selector.is_some()),
        (POD_SELECTOR, pod_selector.is_some()),
        (TEMPLATES, !templates.is_empty()),
    ];
    let named = there.into_iter().filter(|(_, there)| *there).map(|(clause, _)| clause.to_owned());
    named.chain((0..when.len()).map(condition))
}

/// The clause that refused a pod, where it is one that can be tried.
fn clause(why: &Mismatch) -> Option<String> {
    match why {
        Mismatch::Namespace => Some(NAMESPACES.to_owned()),
        Mismatch::NamespaceSelector => Some(NAMESPACE_SELECTOR.to_owned()),
        Mismatch::PodSelector => Some(POD_SELECTOR.to_owned()),
        Mismatch::Template => Some(TEMPLATES.to_owned()),
        Mismatch::Condition(at) => Some(condition(*at)),
        Mismatch::ConditionFailed(..) | Mismatch::NamespaceUnknown | Mismatch::OptedOut => None,
    }
}

fn condition(at: usize) -> String {
    format!("when[{at}]")
}

const NAMESPACES: &str = "namespaces";
const NAMESPACE_SELECTOR: &str = "namespaceSelector";
const POD_SELECTOR: &str = "podSelector";
const TEMPLATES: &str = "templates";

fn gives(policy: &str, key: &str, source: &str) -> String {
    format!("{policy}: {key}: {source}")
}
