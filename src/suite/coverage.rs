//! What of a suite's policies some case has tried: that each matches, each condition refuses, each source gives a value.

use std::collections::BTreeMap;

use super::run::Looked;
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
            for at in 0..policy.spec.r#match.when.len() {
                rules.insert(refuses(&policy.name, at), false);
            }
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
            if let Mismatch::Condition(at) = why {
                self.tried(&refuses(name, *at));
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

fn refuses(policy: &str, at: usize) -> String {
    format!("{policy}: match.when[{at}] refuses")
}

fn gives(policy: &str, key: &str, source: &str) -> String {
    format!("{policy}: {key}: {source}")
}
