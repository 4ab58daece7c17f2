//! On runs that a real controller left (`tests/runs`), and on made ones that none would.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::node::Node;
use super::pod::Pod;
use super::span::{Span, Value};
use super::status::rfc3339;
use super::*;
use crate::identity::{SpanId, TraceId};

fn recorded(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs").join(name).with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every run that is kept, by its file.
fn all() -> Vec<(String, Run)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs");
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let object = recorded(&name);
        if object["kind"] == "Workflow" {
            runs.push((name, Run::read(&object).unwrap()));
        }
    }
    assert!(runs.len() >= 20, "{}", runs.len());
    runs
}

/// A run with its pods.
fn with_pods(name: &str) -> (Run, Known) {
    let list = recorded(name);
    let items = list["items"].as_array().unwrap();
    let pods = items.iter().filter_map(Pod::read).map(|pod| (pod.node_id.clone(), pod));
    (Run::read(&items[0]).unwrap(), Known { pods: pods.collect(), ..Known::default() })
}

fn spans(run: &Run, known: &Known) -> Vec<Span> {
    Spans::of(run, &Tree::of(run), known).all()
}

fn text<'s>(span: &'s Span, key: &str) -> &'s str {
    match span.attribute(key) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn of_node<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| text(span, "argo.node.name") == name).unwrap()
}

#[test]
fn every_node_is_one_span_and_every_parent_is_there() {
    for (name, run) in all() {
        let spans = spans(&run, &Known::default());
        assert_eq!(spans.len(), run.nodes.len() + 1, "{name}");
        let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
        assert_eq!(ids.len(), spans.len(), "{name}");
        for span in &spans[1..] {
            assert!(ids.contains(span.parent.as_ref().unwrap().as_str()), "{name}: {}", span.name);
            assert!(span.end.is_some_and(|end| end >= span.start), "{name}: {}", span.name);
            assert_eq!(span.trace, TraceId::of_workflow(&run.uid));
        }
        assert_eq!(spans[0].parent, None);
    }
}

/// Argo's own rule says in which template a node is: all that stands between the two is a group, a loop or a retry.
#[test]
fn a_node_is_in_its_template() {
    for (name, run) in all() {
        let tree = Tree::of(&run);
        for node in run.nodes.values() {
            let mut around = tree.parent(node);
            while around.is_some_and(|parent| Some(&parent.id) != node.boundary.as_ref()) {
                let between = around.unwrap();
                assert_eq!(between.boundary, node.boundary, "{name}: {}", node.name);
                around = tree.parent(between);
            }
            assert_eq!(around.map(|parent| &parent.id), node.boundary.as_ref(), "{name}: {}", node.name);
        }
    }
}

#[test]
fn groups_loops_and_attempts_hold_what_is_theirs() {
    let tree = |name: &str| {
        let run = Run::read(&recorded(name)).unwrap();
        let tree = Tree::of(&run);
        let parents = run.nodes.values().filter_map(|node| Some((node.name.clone(), tree.parent(node)?.name.clone())));
        let stem = run.name.clone();
        parents.map(|(a, b)| (a.replace(&stem, "*"), b.replace(&stem, "*"))).collect::<BTreeMap<_, _>>()
    };
    let failing = tree("node-failing");
    assert_eq!(failing["*[0].by-code"], "*[0]");
    assert_eq!(failing["*[0]"], "*");
    let retry = tree("node-retry");
    assert_eq!(retry["*(1)"], "*");
    let set = tree("node-container-set");
    assert_eq!(set["*.compile"], "*");
    let nested = tree("api-retry-in-loop");
    let attempts: Vec<_> = nested.iter().filter(|(name, _)| name.ends_with(")(0)")).collect();
    assert!(
        !attempts.is_empty() && attempts.iter().all(|(name, parent)| *name == &format!("{parent}(0)")),
        "{nested:?}"
    );
}

#[test]
fn an_attempt_is_linked_to_the_one_before() {
    let run = Run::read(&recorded("node-retry")).unwrap();
    let spans = spans(&run, &Known::default());
    let attempt = |n: u32| of_node(&spans, &format!("flaky({n})"));
    assert!(attempt(0).links.is_empty());
    for n in [1, 2] {
        let [link] = attempt(n).links.as_slice() else { panic!("{:?}", attempt(n).links) };
        assert_eq!((link.role, &link.to.span), ("previous attempt", &attempt(n - 1).id));
        assert_eq!(attempt(n).attribute("argo.node.attempt"), Some(&Value::Int(n.into())));
    }
    assert_eq!(attempt(1).error.as_deref(), Some("main: Error (exit code 7)"));
    assert_eq!(text(attempt(1), "error.type"), "7");
    assert_eq!(attempt(1).attribute("process.exit.code"), Some(&Value::Int(7)));
    assert_eq!((attempt(2).error.as_deref(), attempt(2).name.as_str()), (None, "flaky(2)"));
}

#[test]
fn what_was_not_run_says_why_and_is_no_failure() {
    let run = Run::read(&recorded("api-dag-depends-logic")).unwrap();
    let spans = spans(&run, &Known::default());
    let omitted = spans.iter().find(|span| text(span, "argo.node.phase") == "Omitted").unwrap();
    assert_eq!(text(omitted, "cicd.pipeline.task.run.result"), "skip");
    assert_eq!(text(omitted, "argo.node.message"), "omitted: depends condition not met");
    assert_eq!((omitted.error.as_deref(), omitted.end), (None, Some(omitted.start)));
}

#[test]
fn packed_nodes_are_the_same_run() {
    let plain = recorded("node-failing");
    let mut packed = plain.clone();
    let nodes = packed["status"]["nodes"].take();
    packed["status"].as_object_mut().unwrap().remove("nodes");
    packed["status"]["compressedNodes"] = pack(nodes.to_string().as_bytes()).into();
    assert_eq!(Run::read(&packed), Run::read(&plain));

    packed["status"]["compressedNodes"] = "?".into();
    assert!(matches!(Run::read(&packed), Err(Unreadable::Compressed(_))));
    packed["status"]["compressedNodes"] = pack(&vec![b' '; 33 << 20]).into();
    assert_eq!(Run::read(&packed), Err(Unreadable::Compressed("more than 32 MiB".into())));
    packed["status"]["compressedNodes"] = "".into();
    packed["status"]["offloadNodeStatusVersion"] = "fnv:123".into();
    assert_eq!(Run::read(&packed), Err(Unreadable::Offloaded));
    packed["metadata"]["uid"].take();
    assert_eq!(Run::read(&packed), Err(Unreadable::NoUid));
    assert_eq!(Run::read(&json!({"kind": "Pod"})), Err(Unreadable::Kind("Pod".into())));
}

#[test]
fn what_somebody_wrote_hinders_nothing_and_takes_no_room() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let text = format!(
        r#"{{"a":{{"name":{deep},"displayName":7,"phase":["x"],"children":[{{}},"b","",[]],"daemoned":"yes","startedAt":"soon",
        "outputs":{{"exitCode":{{}},"parameters":{deep}}},"nodeFlag":1,"message":"{}"}},"b":{deep},"c":null}}"#,
        "ä".repeat(5_000)
    );
    let run = |nodes: &str| {
        let workflow = json!({"kind": "Workflow", "metadata": {"uid": "u"}, "status": {"compressedNodes": pack(nodes.as_bytes())}});
        Run::read(&workflow)
    };
    let nodes = run(&text).unwrap().nodes;
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(nodes["b"], Node { id: "b".into(), ..Node::default() });
    let a = Node { id: "a".into(), children: vec!["b".into()], message: "ä".repeat(2_048), ..Node::default() };
    assert_eq!(nodes["a"], a);

    let many = |count: usize, node: &str| {
        let nodes: Vec<String> = (0..count).map(|at| format!("\"{at}\":{node}")).collect();
        run(&format!("{{{}}}", nodes.join(",")))
    };
    assert_eq!(many(100_000, "{}").map(|run| run.nodes.len()), Ok(100_000));
    assert_eq!(many(100_001, "{}"), Err(Unreadable::TooMany));
    assert_eq!(many(2, &json!({"children": vec!["x"; 600_000]}).to_string()), Err(Unreadable::TooMany));
}

fn pack(bytes: &[u8]) -> String {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap())
}

#[test]
fn a_node_that_runs_again_has_an_id_of_its_own_and_leads_to_the_first() {
    let run = Run::read(&recorded("node-failing")).unwrap();
    let again = run.nodes.values().find(|node| node.name == "failing[0].by-code").unwrap();
    let first = again.started.unwrap() - 60_000_000_000;
    let firsts = [(again.id.clone(), first), (String::new(), run.started.unwrap() - 60_000_000_000)];
    let known = Known { firsts: firsts.into(), ..Known::default() };
    let spans = spans(&run, &known);
    let span = of_node(&spans, &again.name);
    // The text of design: H("node/" + UID + "/" + node id + "/" + startedAt).
    let hashed = format!("node/{}/{}/{}", run.uid, again.id, rfc3339(again.started.unwrap()));
    assert_eq!(span.id.as_str(), crate::identity::h(&hashed, 16));
    assert_eq!(span.links[0].role, "first run");
    assert_eq!(span.links[0].to.span, SpanId::of_node(&run.uid, &again.id));
    let (root, below) = (&spans[0], of_node(&spans, "failing"));
    assert_eq!(root.links[0].to.span, SpanId::of_workflow(&run.uid));
    assert_eq!(below.parent.as_ref(), Some(&root.id));
    assert_ne!(root.id, SpanId::of_workflow(&run.uid));
}

#[test]
fn pods_say_whose_the_steps_are_and_when_they_began() {
    let (run, known) = with_pods("node-dag-pods");
    let spans = spans(&run, &known);
    let steps: Vec<&Span> = spans.iter().filter(|span| text(span, "argo.node.type") == "Pod").collect();
    assert!(steps.len() >= 3 && known.pods.len() == steps.len());
    for span in &steps {
        let names: BTreeSet<&str> = span.events.iter().map(|event| event.name).collect();
        let all = ["pod.scheduled", "pod.initialized", "container.started", "container.ended"];
        assert_eq!(names, BTreeSet::from(all), "{}", span.name);
        assert!(span.events.is_sorted_by_key(|event| event.at));
        assert_eq!(text(span, "stepName"), span.name);
        assert!(!text(span, "k8s.pod.name").is_empty() && !text(span, "agent").is_empty());
    }
    // What all steps have in common is the Workflow's too; what each has of its own is not.
    assert_eq!(
        (text(&spans[0], "repo"), text(&spans[0], "prNumber")),
        (text(steps[0], "repo"), text(steps[0], "prNumber"))
    );
    assert!(!text(&spans[0], "repo").is_empty());
    assert_eq!(text(&spans[0], "stepName"), "");
}

#[test]
fn an_incoming_trace_is_linked_to_or_joined() {
    let (mut run, mut known) = with_pods("node-dag-pods");
    let foreign = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    run.incoming = crate::identity::TraceParent::read(foreign);
    let linked = spans(&run, &known);
    assert_eq!((linked[0].links[0].role, linked[0].links[0].to.to_string().as_str()), ("incoming", foreign));
    // A policy that says `parent` has put the pods into that trace.
    for pod in known.pods.values_mut() {
        let context = pod.told.as_mut().unwrap().context.as_mut().unwrap();
        context.trace = run.incoming.clone().unwrap().trace;
    }
    let joined = spans(&run, &known);
    assert_eq!(joined[0].parent.as_ref().map(SpanId::as_str), Some("00f067aa0ba902b7"));
    assert!(joined.iter().all(|span| span.trace.as_str() == "4bf92f3577b34da6a3ce929d0e0e4736"));
    assert!(joined[0].links.is_empty());
}

/// Nodes as nobody would write them: any parents, children, names and times.
fn any_run() -> impl Strategy<Value = Run> {
    let kinds = vec!["Pod", "Steps", "StepGroup", "DAG", "TaskGroup", "Retry", "Container", "Skipped", "New"];
    let phases = vec!["Pending", "Running", "Succeeded", "Failed", "Error", "Skipped", "Omitted", "New"];
    let id = "[a-d]{1,2}";
    let node = (
        prop::sample::select(kinds),
        prop::sample::select(phases),
        id,
        prop::collection::vec(id, 0..4),
        "[a-c](\\.|\\(|\\[0\\])?[a-c]?(\\([0-9]\\))?",
        prop::option::of(0i64..2_000_000_000),
        prop::option::of(0i64..2_000_000_000),
    );
    let at = |seconds: Option<i64>| seconds.map_or(Json::Null, |s| rfc3339(s.unsigned_abs() * 1_000_000_000).into());
    prop::collection::btree_map(id, node, 0..20).prop_map(move |nodes| {
        let nodes: serde_json::Map<String, Json> = nodes
            .into_iter()
            .map(|(id, (kind, phase, boundary, children, name, started, finished))| {
                let node = json!({
                    "name": name, "type": kind, "phase": phase, "boundaryID": boundary, "children": children,
                    "startedAt": at(started), "finishedAt": at(finished),
                });
                (id, node)
            })
            .collect();
        let object = json!({
            "kind": "Workflow", "metadata": {"uid": "u", "name": "a"},
            "status": {"phase": "Running", "startedAt": "2026-11-22T22:37:29Z", "nodes": nodes},
        });
        Run::read(&object).unwrap()
    })
}

proptest! {
    #[test]
    fn any_status_is_a_tree(run in any_run()) {
        let tree = Tree::of(&run);
        let mut seen = BTreeSet::new();
        let mut left: Vec<&Node> = tree.inside(None).to_vec();
        while let Some(node) = left.pop() {
            prop_assert!(seen.insert(node.id.as_str()), "{} twice", node.id);
            left.extend(tree.inside(Some(node)));
        }
        prop_assert_eq!(seen.len(), run.nodes.len());
        for span in Spans::of(&run, &tree, &Known::default()).all() {
            prop_assert!(span.end.is_none_or(|end| end >= span.start));
        }
    }
}
