//! What of a suite's policies some case has tried: that each matches, each condition refuses, each source gives a value.

use std::collections::BTreeMap;

use super::run::Looked;
use crate::policy::{Mismatch, PolicySet};

/// Rules, and whether a case has tried them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, bool>);

impl Coverage {
    /// Nothing has been tried yet.
    pub fn of(policies: &PolicySet) -> Self {
        let mut rules = BTreeMap::new();
        for policy in policies.policies() {
            rules.insert(format!("{}: match", policy.name), false);
            for at in 0..policy.spec.r#match.when.len() {
                rules.insert(format!("{}: match.when[{at}] refuses", policy.name), false);
            }
        }
        Self(rules)
    }

    /// Takes what a case has tried.
    pub fn add(&mut self, looked: &Looked) {
        let decision = &looked.reviewed.decision;
        for key in &looked.explanation.sources {
            for source in &key.from {
                self.0.entry(format!("{}: {source}", key.name)).or_default();
            }
        }
        for name in &decision.policies {
            self.0.insert(format!("{name}: match"), true);
        }
        for (name, why) in &decision.mismatches {
            if let Mismatch::Condition(at) = why {
                self.0.insert(format!("{name}: match.when[{at}] refuses"), true);
            }
        }
        for value in &decision.values {
            if let Some(source) = &value.source {
                self.0.insert(format!("{}: {source}", value.key), true);
            }
        }
    }

    /// How many rules there are, and how many were tried.
    pub fn count(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().filter(|tried| **tried).count())
    }

    /// Rules that no case has tried.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, tried)| !**tried).map(|(rule, _)| rule.as_str())
    }
}
