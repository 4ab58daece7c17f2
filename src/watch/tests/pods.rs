//! Whose a pod is, and of which run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::counting::{Stored, holder, store};
use super::{MANY, recorded, told};
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
