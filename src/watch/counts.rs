//! The metrics of steps: what is counted, under which labels, into which sums.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::trace::outcome::Outcome;
use crate::trace::status::Time;

/// Upper bounds of `agent_step_duration_ms`; one bucket more has no bound.
pub const BOUNDS_MS: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000,
    3_600_000, 7_200_000, 14_400_000,
];
const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// The names of labels, in their order.
pub const LABELS: [&str; 7] = ["repo", "prNumber", "taskId", "agent", "workflowName", "stepName", "environment"];
const PR: usize = 1;
const TASK: usize = 2;

/// What stands for values that are too many.
pub const OTHER: &str = "other";

/// The values of [`LABELS`]; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Labels([String; 7]);

impl Labels {
    /// What `of` says of each name.
    pub fn of(mut of: impl FnMut(&str) -> String) -> Self {
        Self(LABELS.map(&mut of))
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> &str {
        let at = LABELS.iter().position(|label| *label == name);
        at.map_or("", |at| self.0[at].as_str())
    }

    /// Names and values, those that are empty left out: to Prometheus they are the same.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        LABELS.into_iter().zip(self.0.iter().map(String::as_str)).filter(|(_, value)| !value.is_empty())
    }

    /// Whether they are of one pull request or task, and so come to an end.
    pub fn are_fleeting(&self) -> bool {
        !self.0[PR].is_empty() || !self.0[TASK].is_empty()
    }

    /// The same of any pull request and task.
    #[must_use]
    pub fn of_any_task(&self) -> Self {
        let mut labels = self.clone();
        for at in [PR, TASK].into_iter().filter(|at| !self.0[*at].is_empty()) {
            OTHER.clone_into(&mut labels.0[at]);
        }
        labels
    }

    /// Nothing but that they are others.
    pub fn of_anything() -> Self {
        Self(LABELS.map(|_| OTHER.to_owned()))
    }
}

/// One step that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whose it is.
    pub labels: Labels,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took_ms: u64,
    /// When it ended.
    pub at: Time,
    /// The trace of its span, where that is exported.
    pub trace: Option<String>,
}

/// What has come together under the same labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// `agent_step_success_total`.
    #[serde(rename = "s")]
    pub success: u64,
    /// `agent_step_fail_total`: failure and error.
    #[serde(rename = "f")]
    pub fail: u64,
    /// `agent_step_duration_ms`, by outcome.
    #[serde(rename = "d")]
    pub durations: BTreeMap<Outcome, Durations>,
    /// When the last of it was counted, in seconds since 1970 by the clock of who counted.
    #[serde(rename = "t")]
    pub last: u64,
    /// When it was shown for the first time, at 0; 0 where that was not kept.
    #[serde(rename = "a", default)]
    pub first: u64,
}

/// One histogram.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Durations {
    /// How many were in each bucket, not cumulative; the last has no bound.
    #[serde(rename = "b")]
    pub buckets: [u64; BUCKETS],
    /// All of them together.
    #[serde(rename = "m")]
    pub sum_ms: u64,
}

static NONE: Durations = Durations { buckets: [0; BUCKETS], sum_ms: 0 };

impl Sums {
    /// One step more, of what was shown since it `began`.
    pub fn add(&mut self, counted: &Counted, now: u64, began: u64) {
        match counted.outcome {
            Outcome::Success => self.success += 1,
            Outcome::Failure | Outcome::Error => self.fail += 1,
            Outcome::Cancelled => {}
        }
        let durations = self.durations.entry(counted.outcome).or_default();
        durations.buckets[bucket(counted.took_ms)] += 1;
        durations.sum_ms += counted.took_ms;
        self.last = self.last.max(now);
        self.first = earliest(self.first, began);
    }

    /// Durations by outcome, as they are shown. What has not happened is there at 0: else its first time would be no increase.
    pub fn shown(&self) -> impl Iterator<Item = (Outcome, &Durations)> {
        let outcomes = self.durations.keys().copied().chain([Outcome::Success, Outcome::Failure]);
        let outcomes: BTreeSet<Outcome> = outcomes.collect();
        outcomes.into_iter().map(|outcome| (outcome, self.durations.get(&outcome).unwrap_or(&NONE)))
    }

    /// What another shard has of the same.
    pub fn merge(&mut self, other: &Self) {
        self.success += other.success;
        self.fail += other.fail;
        self.last = self.last.max(other.last);
        self.first = earliest(self.first, other.first);
        for (outcome, theirs) in &other.durations {
            let ours = self.durations.entry(*outcome).or_default();
            ours.sum_ms += theirs.sum_ms;
            for (ours, theirs) in ours.buckets.iter_mut().zip(theirs.buckets) {
                *ours += theirs;
            }
        }
    }
}

/// Of two times, of which 0 is none.
fn earliest(a: u64, b: u64) -> u64 {
    [a, b].into_iter().filter(|time| *time > 0).min().unwrap_or(0)
}

/// The bucket of a time: bounds are inclusive, as `le` says.
pub fn bucket(ms: u64) -> usize {
    BOUNDS_MS.partition_point(|bound| *bound < ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!([0, 100, 101, 14_400_000, 14_400_001].map(bucket), [0, 0, 1, 16, 17]);
        assert!(BOUNDS_MS.is_sorted());
    }

    #[test]
    fn a_cancelled_step_is_no_failure() {
        let counted =
            Counted { labels: Labels::default(), outcome: Outcome::Cancelled, took_ms: 7, at: 0, trace: None };
        let mut sums = Sums::default();
        sums.add(&counted, 1, 1);
        sums.add(&Counted { outcome: Outcome::Error, ..counted }, 2, 1);
        assert_eq!((sums.success, sums.fail, sums.durations.len(), sums.last), (0, 1, 2, 2));
    }
}
