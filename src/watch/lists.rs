//! Whether enough is heard of Workflows and pods to count by.

use std::time::{Duration, Instant};

/// Where pods cannot be listed: so long is waited for the next.
const WITHOUT_PODS: Duration = Duration::from_mins(2);
/// After a pause the first pod that is heard of is one of many.
const CATCHING_UP: Duration = Duration::from_secs(2);

/// Without the pods a repo or a trace would not be known, and without the Workflows not what still runs: until both are listed, and while pods
/// are not heard of, nothing is counted, sent or dropped.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) workflows: Option<Instant>,
    pub(super) pods: Pods,
    /// When a pod was heard of last.
    pod: Option<Instant>,
}

/// How much is known of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pods {
    /// Not all of them yet.
    #[default]
    Listing,
    /// All of them.
    Followed,
    /// The connection was lost: what they said since is not known.
    Lost(Instant),
    /// It is there again, since then.
    CatchingUp(Instant),
}

impl Lists {
    pub(super) fn pod_heard(&mut self) {
        let now = Instant::now();
        self.pod = Some(now);
        if let Pods::Lost(_) = self.pods {
            self.pods = Pods::CatchingUp(now);
        }
    }

    /// While they are listed that goes on by itself.
    pub(super) fn pods_lost(&mut self) {
        if !matches!(self.pods, Pods::Listing | Pods::Lost(_)) {
            self.pods = Pods::Lost(Instant::now());
        }
    }

    pub(super) fn are_done(&self) -> bool {
        let latest = |since: Instant| self.pod.map_or(since, |pod| pod.max(since));
        self.workflows.is_some_and(|since| match self.pods {
            Pods::Followed => true,
            Pods::Listing => latest(since).elapsed() > WITHOUT_PODS,
            Pods::Lost(lost) => lost.elapsed() > WITHOUT_PODS,
            Pods::CatchingUp(again) => again.elapsed() > CATCHING_UP,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_watch_of_pods_holds_counts_up() {
        let mut lists = Lists::default();
        assert!(!lists.are_done());
        lists.workflows = Some(Instant::now());
        lists.pods_lost();
        assert_eq!(lists.pods, Pods::Listing, "a list that fails is begun again");
        lists.pods = Pods::Followed;
        assert!(lists.are_done());
        lists.pods_lost();
        assert!(!lists.are_done());
        lists.pod_heard();
        assert!(!lists.are_done(), "there may be more");
        let Some(long_ago) = Instant::now().checked_sub(WITHOUT_PODS * 2) else { return };
        lists.pods = Pods::CatchingUp(long_ago);
        assert!(lists.are_done());
        lists.pods = Pods::Lost(long_ago);
        assert!(lists.are_done(), "pods may not be read at all");
    }
}
