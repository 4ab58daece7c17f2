//! What a review decided, in words that can be kept and compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gaps::Gaps;
use crate::admission::Reviewed;

/// A review's decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// `injected`, `labelled`, `skipped` or `failed`.
    pub outcome: String,
    /// Why nothing, or less, was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The matching policies, highest priority first.
    pub policies: Vec<String>,
    /// Of each container that is not Argo's: `injected`, or why not.
    pub containers: BTreeMap<String, String>,
    /// Of each correlation key what was found.
    pub values: BTreeMap<String, Found>,
}

/// A correlation value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Found {
    /// The value; absent where no source gave one, or where it was [made of](Account::forget) what is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The source that gave it, such as `parameter/repo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Account {
    /// The decisions of a review.
    pub fn of(reviewed: &Reviewed) -> Self {
        let decision = &reviewed.decision;
        let containers = decision.containers.iter().map(|container| {
            let what = container.skipped.as_ref().map_or_else(|| "injected".to_owned(), ToString::to_string);
            (container.name.clone(), what)
        });
        let values = decision
            .values
            .iter()
            .map(|value| (value.key.clone(), Found { value: value.value.clone(), source: value.source.clone() }));
        Self {
            outcome: reviewed.outcome.label().to_owned(),
            reason: reviewed.reason.as_ref().map(ToString::to_string),
            policies: decision.policies.clone(),
            containers: containers.collect(),
            values: values.collect(),
        }
    }

    /// Leaves out values that were made of what a record does not hold.
    pub fn forget(&mut self, gaps: &Gaps) {
        for found in self.values.values_mut() {
            if found.source.as_ref().is_some_and(|source| gaps.unresolved.contains(source)) {
                found.value = None;
            }
        }
    }

    /// The outcome with its reason, as one word for people.
    pub fn says(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.outcome),
            None => self.outcome.clone(),
        }
    }
}
