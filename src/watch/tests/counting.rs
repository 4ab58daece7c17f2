//! What is counted: as Argo's own statuses say, whoever dies when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::{halfway, recorded, told};
use crate::trace::Run;
use crate::trace::outcome::Outcome;
use crate::watch::counts::{Counted, Labels, Sums};
use crate::watch::exposition;
use crate::watch::ledger::{Ledger, SHARDS, Unreadable};
use crate::watch::seen::Seen;
use crate::watch::steps::Steps;

/// What stands in the ConfigMaps.
pub(super) type Stored = BTreeMap<usize, Vec<u8>>;

/// A holder that finds this.
pub(super) fn holder(stored: &Stored) -> Seen {
    let mut ledger = Ledger::new(1_000, 0);
    for (shard, bytes) in stored {
        ledger.restore(*shard, bytes).unwrap();
    }
    Seen::new(ledger)
}

pub(super) fn store(seen: &mut Seen, stored: &mut Stored) {
    for (shard, bytes, sums) in seen.ledger.changed() {
        stored.insert(shard, bytes);
        seen.ledger.stored(shard, sums);
    }
}

/// Steps by outcome, as the statuses of the Workflows say.
fn as_argo_says<'l>(lists: impl IntoIterator<Item = &'l Value>) -> BTreeMap<Outcome, u64> {
    let mut counts = BTreeMap::new();
    for list in lists {
        let run = Run::read(&list["items"][0]).unwrap();
        for node in run.nodes.values().filter(|node| node.kind.is_step()) {
            if let Some(outcome) = Outcome::of(node.phase, &node.message) {
                *counts.entry(outcome).or_default() += 1;
            }
        }
    }
    counts
}

pub(super) fn by_outcome(shown: &BTreeMap<Labels, Sums>) -> BTreeMap<Outcome, u64> {
    let mut counts = BTreeMap::new();
    for (outcome, durations) in shown.values().flat_map(|sums| &sums.durations) {
        *counts.entry(*outcome).or_default() += durations.buckets.iter().sum::<u64>();
    }
    counts
}

/// Another run of the same.
fn renamed(list: &Value, n: usize) -> Value {
    let uid = list["items"][0]["metadata"]["uid"].as_str().unwrap();
    let other = format!("{uid}-{n}");
    serde_json::from_str(&list.to_string().replace(uid, &other)).unwrap()
}

#[derive(Debug, Clone)]
enum Act {
    /// The first half of a Workflow is told.
    Half(usize),
    /// All of it.
    Whole(usize),
    /// It is counted.
    Due,
    /// It is stored.
    Store,
    /// The holder dies; the next one finds what is stored, and lists what exists.
    Die,
    /// The holder dies while it stores: this many shards were written.
    DieStoring(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3usize).prop_map(Act::Half),
        (0..3usize).prop_map(Act::Whole),
        Just(Act::Due),
        Just(Act::Store),
        Just(Act::Die),
        (0..SHARDS).prop_map(Act::DieStoring),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Neither a gap nor a second count; and what was shown once is never more than what is shown later.
    #[test]
    fn whoever_dies_when_each_step_is_counted_once(acts in prop::collection::vec(act(), 0..24)) {
        let runs = ["node-dag-pods.json", "node-retry-pods.json"].map(recorded);
        let lists: Vec<Value> = (0..3).map(|n| renamed(&runs[n % 2], n)).collect();
        let (mut seen, mut stored, mut exist) = (holder(&Stored::new()), Stored::new(), BTreeMap::new());
        let mut most = BTreeMap::new();
        let now = Instant::now();
        let all = acts.into_iter().chain([Act::Whole(0), Act::Whole(1), Act::Whole(2), Act::Due, Act::Store]);
        for act in all {
            match act {
                Act::Half(n) if !exist.contains_key(&n) => {
                    exist.insert(n, halfway(&lists[n]));
                    told(&mut seen, &exist[&n], now);
                }
                Act::Half(_) => {}
                Act::Whole(n) => {
                    exist.insert(n, lists[n].clone());
                    told(&mut seen, &exist[&n], now);
                }
                Act::Due => {
                    let keys: Vec<_> = seen.due(now, 7).into_iter().map(|due| due.key).collect();
                    seen.arrived(&keys);
                }
                Act::Store => store(&mut seen, &mut stored),
                Act::Die | Act::DieStoring(_) => {
                    if let Act::DieStoring(written) = act {
                        let changed = seen.ledger.changed();
                        stored.extend(changed.into_iter().take(written).map(|(shard, bytes, _)| (shard, bytes)));
                    }
                    seen = holder(&stored);
                    seen.listing();
                    for list in exist.values() {
                        told(&mut seen, list, now);
                    }
                    seen.listed(now);
                }
            }
            for (outcome, count) in by_outcome(&seen.ledger.shown(&BTreeSet::new())) {
                let before = most.entry(outcome).or_insert(0);
                prop_assert!(*before <= count, "{outcome:?} went from {before} to {count}");
                *before = count;
            }
        }
        prop_assert_eq!(by_outcome(&seen.ledger.shown(&BTreeSet::new())), as_argo_says(&lists));
        let sums = seen.ledger.shown(&BTreeSet::new());
        let (success, fail) = sums.values().fold((0, 0), |(s, f), sums| (s + sums.success, f + sums.fail));
        let argo = as_argo_says(&lists);
        let of = |outcome| argo.get(&outcome).copied().unwrap_or(0);
        prop_assert_eq!((success, fail), (of(Outcome::Success), of(Outcome::Failure) + of(Outcome::Error)));
    }
}

#[test]
fn labels_that_are_too_many_stand_together() {
    let mut ledger = Ledger::new(10, 0);
    let counted = |n: u32, repo: &str| Counted {
        labels: Labels::of(|name| match name {
            "taskId" => format!("task-{n}"),
            "repo" => repo.to_owned(),
            _ => String::new(),
        }),
        outcome: Outcome::Failure,
        took_ms: 5,
        at: 0,
        trace: None,
    };
    for n in 0..50 {
        ledger.count("uid", &format!("wf-{n}"), counted(n, "shop"));
        ledger.count("uid", &format!("wf-{}", 100 + n), counted(n, &format!("repo-{n}")));
    }
    for (shard, _, sums) in ledger.changed() {
        ledger.stored(shard, sums);
    }
    let shown = ledger.shown(&BTreeSet::new());
    assert!(shown.len() <= 12, "{shown:?}");
    assert_eq!(by_outcome(&shown)[&Outcome::Failure], 100);
    assert!(shown.keys().any(|labels| labels.get("taskId") == "other" && labels.get("repo") == "shop"));
    assert!(ledger.capped() > 0);
}

#[test]
fn a_step_whose_workflow_goes_before_it_ends_is_told_of() {
    let (mut seen, now) = (holder(&Stored::new()), Instant::now());
    let list = recorded("node-dag-pods.json");
    let run = told(&mut seen, &halfway(&list), now);
    seen.due(now, 100);
    seen.gone(&run.uid, now);
    assert_eq!(seen.take_uncounted(), 2);

    // While nobody watched.
    let (mut before, mut stored) = (holder(&Stored::new()), Stored::new());
    let halfway_nodes = told(&mut before, &halfway(&list), now).nodes.len();
    before.due(now, 100);
    store(&mut before, &mut stored);
    let mut after = holder(&stored);
    after.listing();
    after.listed(now);
    assert_eq!((after.take_uncounted(), after.take_missed()), (2, halfway_nodes as u64 + 1));
    assert_eq!(by_outcome(&after.ledger.shown(&BTreeSet::new())).values().sum::<u64>(), 1);
}

#[test]
fn a_ledger_of_another_kind_is_not_taken() {
    let mut ledger = Ledger::new(10, 0);
    assert!(matches!(ledger.restore(0, b"{}"), Err(Unreadable::Form(_))));
    let other = br#"{"version":2,"shards":16,"workflows":{},"sums":[]}"#;
    assert_eq!(ledger.restore(0, other), Err(Unreadable::Version(2, 16)));
    let odd = br#"{"version":1,"shards":16,"workflows":{"u":"AAAA"},"sums":[]}"#;
    assert!(matches!(ledger.restore(0, odd), Err(Unreadable::Form(_))));
}

#[test]
fn names_labels_and_exemplars_are_written_as_open_metrics_wants() {
    let (mut seen, mut stored, now) = (holder(&Stored::new()), Stored::new(), Instant::now());
    let mut list = recorded("node-retry-pods.json");
    list["items"][0]["metadata"]["generateName"] = "say \"\\ -".into();
    told(&mut seen, &list, now + Duration::ZERO);
    seen.due(now, 100);
    store(&mut seen, &mut stored);
    let sums = seen.ledger.shown(&BTreeSet::new());
    let steps = Steps { sums, active: seen.active(), exemplars: seen.ledger.exemplars().clone() };
    let mut text = String::new();
    exposition::write(&steps, &mut text).unwrap();
    let line =
        |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}\n{text}"));
    assert!(line("agent_step_fail_total{").ends_with(" 2"));
    assert!(line("agent_step_success_total{").ends_with(" 1"));
    assert!(text.contains(r#"workflowName="say \"\\ ""#), "{text}");
    assert!(line("agent_step_duration_ms_count{").ends_with(" 1"));
    let trace = crate::identity::TraceId::of_workflow(list["items"][0]["metadata"]["uid"].as_str().unwrap());
    assert!(text.contains(&format!(" # {{trace_id=\"{}\"}} ", trace.as_str())), "{text}");
    // Each bucket has no less than the one before.
    let buckets = text.lines().filter(|l| l.contains("_bucket{") && l.contains("outcome=\"failure\""));
    let counts: Vec<u64> =
        buckets.map(|l| l.split_once("} ").unwrap().1.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(counts.len() == 18 && counts.is_sorted() && counts[17] == 2, "{counts:?}");
    assert!(line("agent_steps_in_flight{").ends_with(" 0") && line("agent_prs_active{").ends_with(" 0"));
}

/// Argo may pack or offload a Workflow's nodes at any time, also while it is listed.
#[test]
fn a_workflow_that_cannot_be_read_for_a_while_is_not_counted_again() {
    let (mut seen, mut stored, now) = (holder(&Stored::new()), Stored::new(), Instant::now());
    let list = recorded("node-dag-pods.json");
    let run = told(&mut seen, &list, now);
    seen.due(now, 100);
    store(&mut seen, &mut stored);
    let before = by_outcome(&seen.ledger.shown(&BTreeSet::new()));

    let mut next = holder(&stored);
    next.listing();
    next.exists(&run.uid);
    next.listed(now);
    store(&mut next, &mut stored);
    told(&mut next, &list, now);
    next.due(now, 100);
    store(&mut next, &mut stored);
    assert_eq!(by_outcome(&next.ledger.shown(&BTreeSet::new())), before);
    assert_eq!(next.take_uncounted(), 0);
    // And one that is deleted before it could be read again is forgotten.
    let mut other = holder(&stored);
    other.exists(&run.uid);
    other.gone(&run.uid, now);
    assert!(other.ledger.marks(&run.uid).is_none());
}

/// A script that retries at once, and a Collector that is away: the run before is counted, and its spans are sent.
#[test]
fn what_is_begun_anew_before_it_was_sent_is_not_lost() {
    let (mut seen, mut stored, now) = (holder(&Stored::new()), Stored::new(), Instant::now());
    let mut list = recorded("node-retry-pods.json");
    let whole = told(&mut seen, &list, now);
    // As `argo retry` does it: the failed ones are taken out, what is around them begins anew.
    let status = &mut list["items"][0]["status"];
    status["phase"] = "Running".into();
    status["startedAt"] = "2030-01-01T00:00:00Z".into();
    let nodes = status["nodes"].as_object_mut().unwrap();
    nodes.retain(|_, node| node["phase"] != "Failed");
    for node in nodes.values_mut().filter(|node| node["type"] == "Retry") {
        node["phase"] = "Running".into();
        node["startedAt"] = "2030-01-01T00:00:00Z".into();
        node["finishedAt"] = Value::Null;
    }
    told(&mut seen, &list, now);
    let due = seen.due(now, 100);
    assert_eq!(due.len(), whole.nodes.len() + 1, "each of the first run");
    store(&mut seen, &mut stored);
    let counted = by_outcome(&seen.ledger.shown(&BTreeSet::new()));
    assert_eq!(counted, BTreeMap::from([(Outcome::Failure, 2), (Outcome::Success, 1)]));
    assert_eq!(seen.take_uncounted(), 0);

    // Nobody watched when it failed, and when it was begun anew.
    let (mut before, mut stored) = (holder(&Stored::new()), Stored::new());
    told(&mut before, &halfway(&recorded("node-retry-pods.json")), now);
    store(&mut before, &mut stored);
    let running = before.active().steps.values().sum::<u64>();
    let mut after = holder(&stored);
    let mut again = halfway(&recorded("node-retry-pods.json"));
    for node in again["items"][0]["status"]["nodes"].as_object_mut().unwrap().values_mut() {
        node["startedAt"] = "2030-01-01T00:00:00Z".into();
    }
    told(&mut after, &again, now);
    assert!(running > 0 && after.take_uncounted() >= running);
}

/// The controller ends some Workflows without what is in them (`markWorkflowError`).
#[test]
fn what_an_ended_workflow_leaves_running_has_a_span_and_no_count() {
    let (mut seen, mut stored, now) = (holder(&Stored::new()), Stored::new(), Instant::now());
    let mut list = halfway(&recorded("node-dag-pods.json"));
    let status = &mut list["items"][0]["status"];
    status["phase"] = "Error".into();
    status["finishedAt"] = "2030-01-01T00:00:00Z".into();
    let run = told(&mut seen, &list, now);
    let due = seen.due(now + Duration::from_secs(6), 100);
    assert_eq!(due.len(), run.nodes.len() + 1);
    assert!(due.iter().all(|due| due.span.end.is_some()));
    store(&mut seen, &mut stored);
    assert_eq!(by_outcome(&seen.ledger.shown(&BTreeSet::new())), as_argo_says([&list]));
}
