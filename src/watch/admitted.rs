//! What admission wrote into the pods of steps that exist: how many were injected, how many were not, and why.
//!
//! What a pod says of itself is all that is looked at: one into which nobody wrote was not meant by a policy, has no command (resource, data,
//! the HTTP agent), or nobody looked at it. `stepspan status` tells which.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::inject::reason::SkipReason;

/// Of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Admission {
    /// It was injected.
    Injected,
    /// It was not, for this reason.
    Skipped(&'static str),
    /// Nobody wrote anything.
    Unmarked,
}

impl Admission {
    /// Out of the pod's annotation `stepspan.dev/status`. Any author can write one: what is none of our words is `other`.
    pub(super) fn of(status: Option<&str>) -> Self {
        match status {
            None => Self::Unmarked,
            Some("injected") => Self::Injected,
            Some(status) => Self::Skipped(word(status.strip_prefix("skipped: ").unwrap_or_default())),
        }
    }

    /// Its words as labels: `admission` and `reason`.
    pub(super) fn labels(self) -> [(&'static str, &'static str); 2] {
        let (admission, reason) = match self {
            Self::Injected => ("injected", "none"),
            Self::Skipped(reason) => ("skipped", reason),
            Self::Unmarked => ("unmarked", "none"),
        };
        [("admission", admission), ("reason", reason)]
    }
}

/// Reasons for which a pod gets no more than labels and annotations, and so can be told of.
const WRITTEN: [SkipReason; 10] = [
    SkipReason::AlreadyInjected,
    SkipReason::Architecture,
    SkipReason::ContainerExcluded,
    SkipReason::MountConflict,
    SkipReason::NoIdentity,
    SkipReason::PatchUnsafe,
    SkipReason::PrefixNotProven,
    SkipReason::ReservedReference,
    SkipReason::Sidecar,
    SkipReason::Windows,
];

fn word(text: &str) -> &'static str {
    if text.starts_with("missing-") {
        return "missing";
    }
    WRITTEN.iter().map(SkipReason::label).find(|label| *label == text).unwrap_or("other")
}

/// Pods that exist, by the hash of what they are of: there may be a hundred thousand.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    pods: HashMap<u64, Admission>,
    counts: BTreeMap<Admission, i64>,
    /// While they are listed: those that were not named yet.
    unlisted: Option<HashSet<u64>>,
    hasher: RandomState,
}

impl Admitted {
    /// All are listed from here on.
    pub(super) fn listing(&mut self) {
        self.unlisted = Some(self.pods.keys().copied().collect());
    }

    /// They have been: the others are gone.
    pub(super) fn listed(&mut self) {
        for key in self.unlisted.take().unwrap_or_default() {
            self.forget(key);
        }
    }

    /// The pod of a Workflow's node is there.
    pub(super) fn is(&mut self, workflow: &str, node: &str, admission: Admission) {
        let key = self.hasher.hash_one((workflow, node));
        if let Some(unlisted) = &mut self.unlisted {
            unlisted.remove(&key);
        }
        if let Some(before) = self.pods.insert(key, admission) {
            self.add(before, -1);
        }
        self.add(admission, 1);
    }

    /// It was deleted.
    pub(super) fn gone(&mut self, workflow: &str, node: &str) {
        self.forget(self.hasher.hash_one((workflow, node)));
    }

    /// How many there are of each kind that there ever was.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Admission, i64)> {
        self.counts.iter().map(|(admission, count)| (*admission, *count))
    }

    fn forget(&mut self, key: u64) {
        if let Some(before) = self.pods.remove(&key) {
            self.add(before, -1);
        }
    }

    fn add(&mut self, admission: Admission, by: i64) {
        *self.counts.entry(admission).or_default() += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(admitted: &Admitted) -> Vec<(&'static str, &'static str, i64)> {
        let labels = |(admission, count): (Admission, i64)| {
            let [(_, admission), (_, reason)] = admission.labels();
            (admission, reason, count)
        };
        admitted.counts().map(labels).collect()
    }

    #[test]
    fn a_pod_is_what_was_written_into_it_last() {
        let mut admitted = Admitted::default();
        let statuses = [
            Some("injected"),
            None,
            Some("skipped: missing-repo"),
            Some("skipped: windows"),
            Some("skipped: of my own"),
            Some("anything"),
        ];
        for (node, status) in statuses.into_iter().enumerate() {
            admitted.is("uid", &node.to_string(), Admission::of(status));
        }
        let all =
            [("injected", "none", 1), ("skipped", "missing", 1), ("skipped", "other", 2), ("skipped", "windows", 1)];
        assert_eq!(counts(&admitted), [&all[..], &[("unmarked", "none", 1)]].concat());
        // Heard of again, relisted, deleted.
        admitted.is("uid", "0", Admission::Injected);
        assert_eq!(counts(&admitted), [&all[..], &[("unmarked", "none", 1)]].concat());
        admitted.listing();
        admitted.is("uid", "0", Admission::Injected);
        admitted.is("uid", "1", Admission::Unmarked);
        admitted.listed();
        admitted.gone("uid", "1");
        admitted.gone("uid", "never");
        assert_eq!(counts(&admitted).iter().map(|(.., count)| count).collect::<Vec<_>>(), [&1, &0, &0, &0, &0]);
    }
}
