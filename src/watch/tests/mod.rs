//! What is sent, when, and how often: on recorded runs, told bit by bit.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::seen::{Due, Key, Seen};
use crate::trace::Run;
use crate::trace::pod::Pod;
use crate::trace::status::SECOND;

const MANY: usize = 1_000;

fn recorded(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn run(workflow: &Value) -> Run {
    Run::read(workflow).unwrap()
}

impl Seen {
    /// What is ready is counted, and taken.
    fn due(&mut self, now: Instant, room: usize) -> Vec<Due> {
        let mut all = Vec::new();
        for uid in self.ready(now) {
            self.count(&uid, now);
            all.extend(self.take(&uid, now, room - all.len()));
        }
        all
    }
}

fn keys(due: &[Due]) -> Vec<Key> {
    due.iter().map(|due| due.key.clone()).collect()
}

/// A recorded run with its pods, as two watches tell of it.
fn told(seen: &mut Seen, list: &Value, now: Instant) -> Run {
    let items = list["items"].as_array().unwrap();
    let run = run(&items[0]);
    for pod in items.iter().filter_map(Pod::read) {
        seen.pod(pod);
    }
    seen.workflow(run.clone(), now);
    run
}

/// The Workflow as it was before its later half: what ended then still runs.
fn halfway(list: &Value) -> Value {
    let mut list = list.clone();
    let workflow = &mut list["items"][0];
    let nodes = workflow["status"]["nodes"].as_object_mut().unwrap();
    let mut ends: Vec<String> = nodes.values().map(|node| node["finishedAt"].as_str().unwrap().to_owned()).collect();
    ends.sort();
    let half = ends[ends.len() / 2].clone();
    nodes.retain(|_, node| node["startedAt"].as_str().unwrap() < half.as_str());
    for node in nodes.values_mut().filter(|node| node["finishedAt"].as_str().unwrap() >= half.as_str()) {
        node["phase"] = "Running".into();
        node["finishedAt"] = Value::Null;
    }
    workflow["status"]["phase"] = "Running".into();
    list
}

#[test]
fn a_node_is_sent_when_it_has_ended_and_once() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-dag-pods.json");
    told(&mut seen, &halfway(&list), now);
    let first = seen.due(now, MANY);
    assert!(!first.is_empty() && first.iter().all(|due| due.span.end.is_some()));
    assert!(seen.due(now, MANY).is_empty(), "they are in the queue");
    let later = now + Duration::from_secs(70);
    assert_eq!(seen.lag(later), Duration::from_secs(70), "until they have arrived");
    let whole = told(&mut seen, &list, now);
    let rest = seen.due(now, MANY);
    let all: BTreeSet<Key> = keys(&first).into_iter().chain(keys(&rest)).collect();
    assert_eq!((all.len(), first.len() + rest.len()), (whole.nodes.len() + 1, whole.nodes.len() + 1));
    // The Workflow's is the last to end.
    assert!(rest.iter().any(|due| due.key.node.is_empty()));
    assert_eq!(seen.sizes(), (1, 1));
    seen.arrived(&keys(&first));
    assert_eq!(seen.sizes(), (1, 1));
    seen.arrived(&keys(&rest));
    assert_eq!(seen.lag(later), Duration::ZERO);
    assert_eq!(seen.sizes(), (1, 0));
    // Whatever is changed on it afterwards, nothing is sent again.
    told(&mut seen, &list, now);
    assert!(seen.due(now, MANY).is_empty());
}

#[test]
fn what_finds_no_room_is_made_again_later() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let whole = told(&mut seen, &recorded("node-dag-pods.json"), now);
    let mut all = BTreeSet::new();
    loop {
        let due = seen.due(now, 2);
        assert!(due.len() <= 2);
        if due.is_empty() {
            break;
        }
        all.extend(keys(&due));
    }
    assert_eq!(all.len(), whole.nodes.len() + 1);
}

/// The Workflow says that a step has ended before its pod does.
#[test]
fn a_pod_is_waited_for_but_not_for_long() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-dag-pods.json");
    let run = run(&list["items"][0]);
    seen.workflow(run.clone(), now);
    let without = seen.due(now, MANY);
    let steps = run.nodes.values().filter(|node| node.kind.is_step()).count();
    assert_eq!(without.len(), run.nodes.len() + 1 - steps);
    let pods: Vec<Pod> = list["items"].as_array().unwrap().iter().filter_map(Pod::read).collect();
    seen.pod(pods[0].clone());
    let one = seen.due(now, MANY);
    assert_eq!(one.len(), 1);
    assert!(!one[0].span.events.is_empty());
    seen.pod_gone(pods[0].clone());
    let late = seen.due(now + Duration::from_secs(6), MANY);
    assert_eq!(late.len(), steps - 1);
    assert!(late.iter().all(|due| due.span.events.is_empty()));
}

#[test]
fn what_runs_again_is_sent_again_by_another_id() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let mut list = recorded("node-retry-pods.json");
    told(&mut seen, &list, now);
    let first = seen.due(now, MANY);
    seen.arrived(&keys(&first));
    // As `argo retry` does it: the failed pod, what is around it and the Workflow begin anew; what succeeded stays.
    let status = &mut list["items"][0]["status"];
    let later = "2030-01-01T00:00:00Z";
    status["startedAt"] = later.into();
    status["finishedAt"] = later.into();
    for node in status["nodes"].as_object_mut().unwrap().values_mut() {
        if node["type"] == "Retry" || node["phase"] == "Failed" {
            node["startedAt"] = later.into();
            node["finishedAt"] = later.into();
            node["phase"] = "Succeeded".into();
        }
    }
    told(&mut seen, &list, now);
    let again = seen.due(now + Duration::from_secs(6), MANY);
    assert_eq!(again.len(), 4, "two attempts, the node around them, the Workflow");
    let ids = |due: &[Due]| due.iter().map(|due| due.span.id.as_str().to_owned()).collect::<BTreeSet<_>>();
    assert!(ids(&first).is_disjoint(&ids(&again)));
    for due in &again {
        let link = due.span.links.iter().find(|link| link.role == "first run").unwrap();
        assert!(ids(&first).contains(link.to.span.as_str()), "{}", due.span.name);
    }
    // What is below the Workflow is below its second span.
    let root = again.iter().find(|due| due.key.node.is_empty()).unwrap();
    assert!(again.iter().any(|due| due.span.parent.as_ref() == Some(&root.span.id)));
}

#[test]
fn a_deleted_workflow_is_sent_as_far_as_it_is_known_or_counted() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-dag-pods.json");
    let whole = told(&mut seen, &list, now);
    seen.gone(&whole.uid, now);
    let due = seen.due(now, MANY);
    assert_eq!(due.len(), whole.nodes.len() + 1);
    seen.arrived(&keys(&due));
    assert_eq!((seen.sizes(), seen.take_missed()), ((0, 0), 0));

    // More of them than are kept.
    for n in 0..1_100 {
        let mut list = list.clone();
        list["items"][0]["metadata"]["uid"] = format!("uid-{n}").into();
        let run = run(&list["items"][0]);
        seen.workflow(run.clone(), now);
        seen.gone(&run.uid, now);
    }
    assert_eq!(seen.sizes().0, 1_000);
    assert_eq!(seen.take_missed(), 100 * (whole.nodes.len() as u64 + 1));
}

/// Its commands may have spans already, which need what they are in.
#[test]
fn what_runs_when_its_workflow_is_deleted_ends_with_it() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let run = told(&mut seen, &halfway(&recorded("node-dag-pods.json")), now);
    let first = seen.due(now, MANY);
    assert!(first.len() <= run.nodes.len());
    seen.ledger.at(4_000_000_000);
    seen.gone(&run.uid, now);
    let rest = seen.due(now, MANY);
    assert_eq!(first.len() + rest.len(), run.nodes.len() + 1);
    for due in &rest {
        assert_eq!(
            (due.span.error.as_deref(), due.span.end),
            (Some("the Workflow was deleted"), Some(4_000_000_000 * SECOND))
        );
    }
    seen.arrived(&keys(&first));
    seen.arrived(&keys(&rest));
    assert_eq!((seen.sizes(), seen.take_missed(), seen.take_uncounted()), ((0, 0), 0, 2));
}

#[test]
fn a_list_tells_what_is_not_there_any_more() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-dag-pods.json");
    let whole = told(&mut seen, &list, now);
    let due = seen.due(now, MANY);
    seen.arrived(&keys(&due));
    seen.listing();
    seen.workflow(whole.clone(), now);
    seen.listed(now);
    assert_eq!(seen.sizes().0, 1);
    seen.listing();
    seen.listed(now);
    assert_eq!(seen.sizes().0, 0);
}

/// A trace that admission did not take: only what leads to a failed step whose policy keeps it.
#[test]
fn of_a_trace_that_is_not_taken_only_the_failure_is_sent() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    let list = recorded("node-retry-pods.json");
    let items = list["items"].as_array().unwrap();
    let run = run(&items[0]);
    for mut pod in items.iter().filter_map(Pod::read) {
        let told = pod.told.as_mut().unwrap();
        told.context.as_mut().unwrap().sampled = false;
        assert!(told.keep_failed);
        seen.pod(pod);
    }
    seen.workflow(run, now);
    let names: BTreeSet<String> = seen.due(now, MANY).into_iter().map(|due| due.key.node).collect();
    // Two attempts failed; the third did not, and is left out.
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(seen.sizes(), (1, 1));
}

#[test]
fn a_workflow_that_never_began_has_no_span() {
    let (mut seen, now) = (Seen::default(), Instant::now());
    seen.workflow(run(&json!({"kind": "Workflow", "metadata": {"uid": "u", "name": "w"}, "status": {}})), now);
    assert!(seen.due(now, MANY).is_empty());
}

mod counting;
mod pods;
mod series;
