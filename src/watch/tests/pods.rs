//! Whose a pod is, and of which run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::counting::{Stored, holder, store};
use super::{MANY, halfway, recorded, told};
use crate::trace::pod::Pod;
use crate::watch::seen::Seen;

const LATER: &str = "2030-01-01T00:00:00Z";

/// The pull requests under which steps are counted.
fn prs(seen: &mut Seen) -> BTreeSet<String> {
    let shown = seen.ledger.shown(&BTreeSet::new());
    shown.keys().map(|labels| labels.get("prNumber").to_owned()).collect()
}

/// As `argo retry` leaves it: another pod for each failed step, and the Workflow begins anew.
fn run_again(list: &mut Value) {
    let status = &mut list["items"][0]["status"];
    status["startedAt"] = LATER.into();
    status["finishedAt"] = LATER.into();
    for node in status["nodes"].as_object_mut().unwrap().values_mut() {
        node["startedAt"] = LATER.into();
        node["finishedAt"] = LATER.into();
        node["phase"] = "Succeeded".into();
    }
    for pod in list["items"].as_array_mut().unwrap().iter_mut().skip(1) {
        pod["metadata"]["creationTimestamp"] = LATER.into();
    }
}

/// Both ended while nobody watched: the pod is heard of first, and is not of the run before.
#[test]
fn a_pod_of_a_second_run_is_not_taken_for_one_of_the_first() {
    let (mut stored, now) = (Stored::new(), Instant::now());
    let mut list = recorded("node-retry-pods.json");
    let mut before = holder(&stored);
    told(&mut before, &list, now);
    let due = before.due(now, MANY);
    assert!(due.iter().any(|due| !due.span.events.is_empty()));
    let counted = prs(&mut before);
    store(&mut before, &mut stored);
    let known = prs(&mut before);
    assert!(counted.is_empty() && !known.contains(""), "{known:?}");

    run_again(&mut list);
    let mut after = holder(&stored);
    told(&mut after, &list, now);
    let again = after.due(now, MANY);
    assert!(again.iter().any(|due| !due.span.events.is_empty()), "nothing of their pods");
    store(&mut after, &mut stored);
    assert_eq!(prs(&mut after), known);
}

/// Anybody who knows a UID can make a pod that says it is of that Workflow, in a namespace of his own.
#[test]
fn a_pod_of_another_namespace_says_nothing_of_a_workflow() {
    let list = recorded("node-dag-pods.json");
    let mut forged = list.clone();
    for pod in forged["items"].as_array_mut().unwrap().iter_mut().skip(1) {
        pod["metadata"]["namespace"] = "elsewhere".into();
        pod["metadata"]["name"] = "forged".into();
    }
    for first in [true, false] {
        let (mut seen, now) = (Seen::default(), Instant::now());
        let forge = |seen: &mut Seen| {
            for pod in forged["items"].as_array().unwrap().iter().filter_map(Pod::read) {
                seen.pod(pod);
            }
        };
        if first {
            forge(&mut seen);
            seen.workflow(super::run(&list["items"][0]), now);
        } else {
            told(&mut seen, &list, now);
            forge(&mut seen);
        }
        let due = seen.due(now + Duration::from_secs(6), MANY);
        assert!(!due.is_empty());
        for due in due {
            assert!(!format!("{:?}", due.span.attributes).contains("forged"), "{}", due.span.name);
        }
    }
}

/// Its pods went while nobody watched (`podGC`): its steps count as they would have, and in a trace that is not taken they have no spans.
#[test]
fn what_counts_of_pods_outlives_them_and_their_holder() {
    let now = Instant::now();
    for sampled in [true, false] {
        let (mut before, mut stored) = (holder(&Stored::new()), Stored::new());
        let list = recorded("node-retry-pods.json");
        let half = halfway(&list);
        for mut pod in list["items"].as_array().unwrap().iter().filter_map(Pod::read) {
            pod.told.as_mut().unwrap().context.as_mut().unwrap().sampled = sampled;
            before.pod(pod);
        }
        before.workflow(super::run(&half["items"][0]), now);
        let running = before.active().labels;
        assert!(!running.is_empty());
        store(&mut before, &mut stored);
        assert!(has_pods(&stored));

        let mut after = holder(&stored);
        let whole = super::run(&list["items"][0]);
        after.workflow(whole.clone(), now);
        let due = after.due(now + Duration::from_secs(6), MANY);
        let wanted = if sampled { whole.nodes.len() + 1 } else { 4 };
        assert_eq!(due.len(), wanted, "without it: two that failed, what they are in, the Workflow");
        store(&mut after, &mut stored);
        let counted = after.ledger.shown(&BTreeSet::new());
        assert_eq!(counted.keys().cloned().collect::<BTreeSet<_>>(), running);
        assert_eq!(counted.values().map(|sums| sums.success + sums.fail).sum::<u64>(), 3);
        // Once all of it is sent nothing is kept.
        after.arrived(&due.into_iter().map(|due| due.key).collect::<Vec<_>>());
        store(&mut after, &mut stored);
        assert!(!has_pods(&stored));
    }
}

/// Whether anything of pods is kept: texts within a text.
fn has_pods(stored: &Stored) -> bool {
    stored.values().any(|bytes| String::from_utf8_lossy(bytes).contains("repo\\"))
}

/// Where two policies do not agree, what the one takes has parents.
#[test]
fn a_trace_is_taken_if_one_policy_takes_it() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-dag-pods.json");
    let items = list["items"].as_array().unwrap();
    let mut pods: Vec<Pod> = items.iter().filter_map(Pod::read).collect();
    pods.sort_by(|a, b| a.node_id.cmp(&b.node_id));
    for (at, mut pod) in pods.into_iter().enumerate() {
        pod.told.as_mut().unwrap().context.as_mut().unwrap().sampled = at == 1;
        seen.pod(pod);
    }
    let run = super::run(&items[0]);
    seen.workflow(run.clone(), now);
    assert_eq!(seen.due(now, MANY).len(), run.nodes.len() + 1);
}

/// A pod in another namespace that names a Workflow which is not seen yet does not end that one's own.
#[test]
fn a_forged_pod_that_goes_takes_no_other_with_it() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-dag-pods.json");
    let items = list["items"].as_array().unwrap();
    for pod in items.iter().filter_map(Pod::read) {
        seen.pod(pod.clone());
        let mut forged = pod;
        forged.namespace = "elsewhere".into();
        seen.pod_gone(forged);
    }
    seen.workflow(super::run(&items[0]), now);
    let due = seen.due(now, MANY);
    assert!(due.iter().any(|due| !due.span.events.is_empty()));
}
