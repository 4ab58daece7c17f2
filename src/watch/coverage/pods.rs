//! Pods of steps that exist -> how many are how.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::coverage::judge::{LEFT_OUT, State};
use crate::inject::reason::SkipReason;

/// Reasons for which a pod that is meant is not injected.
const SKIPPED: [SkipReason; 12] = [
    SkipReason::AlreadyInjected,
    SkipReason::Architecture,
    SkipReason::Internal,
    SkipReason::Malformed,
    SkipReason::MountConflict,
    SkipReason::NoIdentity,
    SkipReason::PatchUnsafe,
    SkipReason::PrefixNotProven,
    SkipReason::ReservedReference,
    SkipReason::Sidecar,
    SkipReason::TooLarge,
    SkipReason::Windows,
];

/// How a pod is: `outcome` and `reason`, of closed sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::watch) struct Kind {
    outcome: &'static str,
    reason: &'static str,
}

impl Kind {
    /// Nobody wrote into it, and whether it was meant is not known.
    pub(super) const UNMARKED: Self = Self { outcome: "unmarked", reason: "none" };

    /// Any author can write an annotation: what is none of our words is `other`.
    pub(super) fn of(state: &State) -> Self {
        let (outcome, word) = state.words();
        let reason = match state {
            State::Injected => "none",
            State::Missed(cause) => cause.word(),
            State::Skipped(_) if word.starts_with("missing-") => "missing",
            State::Skipped(_) | State::LeftOut(_) => {
                let labels = LEFT_OUT.iter().chain(&SKIPPED).map(SkipReason::label);
                labels.into_iter().find(|label| *label == word).unwrap_or("other")
            }
        };
        Self { outcome, reason }
    }

    /// As labels.
    pub(in crate::watch) fn labels(self) -> [(&'static str, &'static str); 2] {
        [("outcome", self.outcome), ("reason", self.reason)]
    }
}

/// Those that exist, by the hash of their UID: there may be a hundred thousand.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// By the place of its kind.
    known: HashMap<u64, u8>,
    /// Each kind that there ever was.
    kinds: Vec<(Kind, i64)>,
    /// While they are listed: those that were not named yet.
    unlisted: Option<HashSet<u64>>,
    hasher: RandomState,
}

impl Pods {
    /// What a pod goes by here.
    pub(super) fn key(&self, uid: &str) -> u64 {
        self.hasher.hash_one(uid)
    }

    /// All are listed from here on.
    pub(super) fn listing(&mut self) {
        self.unlisted = Some(self.known.keys().copied().collect());
    }

    /// Whether that goes on.
    pub(super) fn is_listing(&self) -> bool {
        self.unlisted.is_some()
    }

    /// They have been: the others are gone.
    pub(super) fn listed(&mut self) {
        for key in self.unlisted.take().unwrap_or_default() {
            self.gone(key);
        }
    }

    /// A pod is there; whether it was known to be of some kind that says more than [`Kind::UNMARKED`].
    pub(super) fn is_judged(&mut self, key: u64) -> bool {
        if let Some(unlisted) = &mut self.unlisted {
            unlisted.remove(&key);
        }
        let kind = self.known.get(&key).and_then(|at| self.kinds.get(usize::from(*at)));
        kind.is_some_and(|(kind, _)| *kind != Kind::UNMARKED)
    }

    /// Whether it exists.
    pub(super) fn exists(&self, key: u64) -> bool {
        self.known.contains_key(&key)
    }

    /// A pod is of that kind.
    pub(super) fn is(&mut self, key: u64, kind: Kind) {
        self.gone(key);
        let at = self.kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.kinds.push((kind, 0));
            self.kinds.len() - 1
        });
        // There are fewer kinds than words in two closed sets.
        let Ok(place) = u8::try_from(at) else { return };
        self.known.insert(key, place);
        if let Some((_, count)) = self.kinds.get_mut(at) {
            *count += 1;
        }
    }

    /// It was deleted.
    pub(super) fn gone(&mut self, key: u64) {
        let kind = self.known.remove(&key).and_then(|at| self.kinds.get_mut(usize::from(at)));
        if let Some((_, count)) = kind {
            *count -= 1;
        }
    }

    /// How many there are of each kind that there ever was.
    pub(super) fn counts(&self) -> &[(Kind, i64)] {
        &self.kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::judge::Cause;

    fn counts(pods: &Pods) -> Vec<(&'static str, &'static str, i64)> {
        pods.counts().iter().map(|(kind, count)| (kind.outcome, kind.reason, *count)).collect()
    }

    #[test]
    fn a_pod_is_what_it_was_found_to_be_last() {
        let mut pods = Pods::default();
        let written = |status| Kind::of(&State::written(status));
        let kinds = [
            written("injected"),
            Kind::of(&State::Missed(Cause::Paused)),
            written("skipped: missing-repo"),
            written("skipped: resource"),
            written("skipped: of my own"),
            written("anything"),
            Kind::UNMARKED,
        ];
        for (uid, kind) in kinds.into_iter().enumerate() {
            let key = pods.key(&uid.to_string());
            assert!(!pods.is_judged(key) && !pods.exists(key));
            pods.is(key, kind);
            assert_eq!(pods.is_judged(key), kind != Kind::UNMARKED);
        }
        let all = [
            ("injected", "none", 1),
            ("missed", "paused", 1),
            ("skipped", "missing", 1),
            ("left-out", "resource", 1),
            ("skipped", "other", 2),
            ("unmarked", "none", 1),
        ];
        assert_eq!(counts(&pods), all);
        // Heard of again, relisted, deleted.
        let key = |pods: &Pods, uid: u32| pods.key(&uid.to_string());
        let (first, second) = (key(&pods, 0), key(&pods, 1));
        pods.is(first, Kind::UNMARKED);
        pods.is(first, written("injected"));
        assert_eq!(counts(&pods), all);
        pods.listing();
        pods.is_judged(first);
        pods.is_judged(second);
        pods.listed();
        pods.gone(second);
        pods.gone(key(&pods, 99));
        assert_eq!(counts(&pods).iter().map(|(.., count)| count).collect::<Vec<_>>(), [&1, &0, &0, &0, &0, &0]);
    }
}
