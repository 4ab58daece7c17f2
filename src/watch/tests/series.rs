//! When a series is there, and with what: to Prometheus one that falls has begun anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::counting::{Stored, by_outcome, holder, store};
use super::{halfway, recorded, told};
use crate::trace::outcome::Outcome;
use crate::watch::counts::{Counted, Labels, Sums};
use crate::watch::ledger::{KEPT_FOR, Ledger, SHOWN_FOR};
use crate::watch::seen::Seen;

#[test]
fn a_series_is_there_at_0_while_its_step_runs_and_gone_a_while_after() {
    let (mut seen, mut stored, now) = (holder(&Stored::new()), Stored::new(), Instant::now());
    let list = recorded("node-dag-pods.json");
    seen.ledger.at(1_000);
    told(&mut seen, &halfway(&list), now);
    let active = seen.active();
    assert_eq!(active.steps, BTreeMap::from([("shop-api".to_owned(), 2)]));
    assert_eq!(active.prs["shop-api"], BTreeSet::from(["412".to_owned()]));
    let shown = seen.ledger.shown(&active.labels);
    let new = Sums { first: 1_000, ..Sums::default() };
    assert!(shown.len() >= 2 && shown.values().all(|sums| *sums == new), "nothing is stored yet");
    told(&mut seen, &list, now);
    seen.due(now, 100);
    assert!(seen.ledger.shown(&BTreeSet::new()).is_empty(), "counted is not stored");
    store(&mut seen, &mut stored);
    assert_eq!(seen.active(), crate::watch::seen::Active::default());
    assert_eq!(seen.ledger.shown(&BTreeSet::new()).len(), 4);
    seen.ledger.at(1_000 + SHOWN_FOR);
    seen.ledger.drop_over(&BTreeSet::new());
    assert_eq!(seen.ledger.shown(&BTreeSet::new()).len(), 4);
    seen.ledger.at(1_001 + SHOWN_FOR);
    seen.ledger.drop_over(&BTreeSet::new());
    assert!(seen.ledger.shown(&BTreeSet::new()).is_empty());
    store(&mut seen, &mut stored);
    let mut next = holder(&stored);
    next.ledger.at(1_000);
    assert!(next.ledger.shown(&BTreeSet::new()).is_empty());
    // What was counted stays counted.
    told(&mut next, &list, now);
    next.due(now, 100);
    store(&mut next, &mut stored);
    assert!(next.ledger.shown(&BTreeSet::new()).is_empty());
}

/// What was shown once is never shown at 0 again while steps of its labels run, however long ago the last of them ended: to Prometheus that would be
/// a second count.
#[test]
fn a_series_that_was_shown_never_falls_back() {
    let labels = Labels::of(|name| if name == "prNumber" { "7".to_owned() } else { String::new() });
    let counted = || Counted { labels: labels.clone(), outcome: Outcome::Failure, took_ms: 5, at: 0, trace: None };
    let store = |ledger: &mut Ledger| {
        let changed = ledger.changed();
        let bytes: Vec<_> = changed.iter().map(|(shard, bytes, _)| (*shard, bytes.clone())).collect();
        for (shard, _, sums) in changed {
            ledger.stored(shard, sums);
        }
        bytes
    };
    let count = |ledger: &mut Ledger, active: &BTreeSet<Labels>| {
        ledger.drop_over(active);
        by_outcome(&ledger.shown(active)).get(&Outcome::Failure).copied().unwrap_or(0)
    };
    let (active, none) = (BTreeSet::from([labels.clone()]), BTreeSet::new());
    let mut ledger = Ledger::new(0, 75);
    ledger.at(1_000);
    count(&mut ledger, &active);
    ledger.count("uid", "wf-1", counted());
    ledger.at(1_100);
    let bytes = store(&mut ledger);
    assert_eq!(count(&mut ledger, &active), 1);
    // A second attempt goes on for an hour.
    ledger.at(1_100 + 3_600);
    assert_eq!(count(&mut ledger, &active), 1);
    // Another replica begins: at first it knows of nothing that runs.
    let mut next = Ledger::new(0, 75);
    next.at(1_100 + 3_600);
    for (shard, bytes) in &bytes {
        next.restore(*shard, bytes).unwrap();
    }
    for (ledger, known) in [(&mut ledger, &active), (&mut next, &none)] {
        assert_eq!(by_outcome(&ledger.shown(known))[&Outcome::Failure], 1);
        assert_eq!(count(ledger, &active), 1);
        // It ends; before that is stored nothing runs any more.
        ledger.count("uid", "wf-2", counted());
        assert_eq!(count(ledger, &none), 1);
        store(ledger);
        assert_eq!(count(ledger, &none), 2);
        // And is there for a while after its run.
        ledger.at(1_100 + 3_600 + SHOWN_FOR);
        assert_eq!(count(ledger, &none), 2);
        ledger.at(1_101 + 3_600 + SHOWN_FOR);
        assert_eq!(count(ledger, &none), 0);
    }
}

/// `increase()` knows a first failure by the 0 before it, and that has to be scraped.
#[test]
fn a_new_series_is_at_0_until_a_scrape_has_seen_it() {
    let (mut stored, now) = (Stored::new(), Instant::now());
    let mut seen = Seen::new(Ledger::new(1_000, 75));
    let fails = |seen: &mut Seen| seen.ledger.shown(&BTreeSet::new()).values().map(|sums| sums.fail).sum::<u64>();
    seen.ledger.at(1_000);
    told(&mut seen, &recorded("node-retry-pods.json"), now);
    seen.due(now, 100);
    store(&mut seen, &mut stored);
    assert_eq!((fails(&mut seen), seen.ledger.shown(&BTreeSet::new()).len()), (0, 1));
    seen.ledger.at(1_074);
    assert_eq!(fails(&mut seen), 0);
    seen.ledger.at(1_075);
    assert_eq!(fails(&mut seen), 2);
    // What was shown before is not taken back; what was not yet, is at 0 for as long with the next one.
    for (now, wanted) in [(1_074, 0), (1_076, 2)] {
        let mut ledger = Ledger::new(1_000, 75);
        ledger.at(now);
        for (shard, bytes) in &stored {
            ledger.restore(*shard, bytes).unwrap();
        }
        assert_eq!(fails(&mut Seen::new(ledger)), wanted);
    }
}

/// Before its pod is known a step has no repo: a series without one would come and go.
#[test]
fn a_step_has_no_series_before_its_pod_is_known() {
    let (mut seen, now) = (holder(&Stored::new()), Instant::now());
    let half = halfway(&recorded("node-dag-pods.json"));
    seen.workflow(super::run(&half["items"][0]), now);
    let active = seen.active();
    assert_eq!((active.labels.len(), active.steps.values().sum::<u64>()), (0, 2));
    told(&mut seen, &half, now);
    assert!(seen.active().labels.iter().all(|labels| labels.get("repo") == "shop-api"));
}

/// The names of what is not run any more do not take the room of others for ever.
#[test]
fn a_series_of_no_task_is_gone_in_the_end() {
    let labels = Labels::of(|name| if name == "workflowName" { "nightly-20261123".to_owned() } else { String::new() });
    let mut ledger = Ledger::new(1, 0);
    ledger.at(1_000);
    let counted = Counted { labels: labels.clone(), outcome: Outcome::Success, took_ms: 5, at: 0, trace: None };
    ledger.count("uid", "wf-1", counted);
    let none = BTreeSet::new();
    let other = Labels::of(str::to_owned);
    for (now, has_room) in [(1_000 + KEPT_FOR, false), (1_001 + KEPT_FOR, true)] {
        ledger.at(now);
        ledger.drop_over(&none);
        assert_eq!(ledger.fit(other.clone()) == other, has_room);
        ledger.drop_over(&none);
    }
}
