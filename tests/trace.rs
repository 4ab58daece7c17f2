//! `trace` as a program: what a Collector takes, and where the input comes from.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const RUNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs");

fn trace(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    let command = command.arg("trace").args(args).current_dir(RUNS);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The spans of a request.
fn spans(request: &Value) -> &Vec<Value> {
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap()
}

#[test]
fn json_is_a_request_a_line_for_each_workflow() {
    let done = trace(&["-o", "json", "node-dag.json", "node-failing.json"], b"");
    assert!(done.status.success());
    let requests: Vec<Value> = text(&done.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(requests.iter().map(|request| spans(request).len()).collect::<Vec<_>>(), [6, 9]);
    let failed = spans(&requests[1]).iter().filter(|span| span["status"]["code"] == 2).count();
    // The four commands and the one after them, its group, the template, the Workflow.
    assert_eq!(failed, 4 + 1 + 3);
    let ids = |span: &Value| (span["traceId"].as_str().unwrap().len(), span["spanId"].as_str().unwrap().len());
    assert!(spans(&requests[0]).iter().all(|span| ids(span) == (32, 16)));
}

/// What `kubectl get workflow,pod -o json` and `-o yaml` print.
#[test]
fn lists_and_yaml_are_read_as_kubectl_prints_them() {
    let list = std::fs::read(format!("{RUNS}/node-retry-pods.json")).unwrap();
    let of_file = trace(&["node-retry-pods.json"], b"");
    let of_stdin = trace(&["-"], &list);
    assert_eq!(text(&of_file.stdout), text(&of_stdin.stdout));
    assert!(text(&of_file.stdout).contains("────"), "waiting is shown: {}", text(&of_file.stdout));
    let mut yaml = Vec::new();
    stepspan::yaml::write(&serde_json::from_slice(&list).unwrap(), &mut yaml).unwrap();
    assert_eq!(text(&trace(&["-"], &yaml).stdout), text(&of_file.stdout));
}

#[test]
fn what_goes_on_is_drawn_as_far_as_it_is_known_and_not_exported() {
    let mut run: Value = serde_json::from_slice(&std::fs::read(format!("{RUNS}/node-failing.json")).unwrap()).unwrap();
    run["status"]["phase"] = "Running".into();
    for node in run["status"]["nodes"].as_object_mut().unwrap().values_mut() {
        if node["type"] == "Steps" || node["name"] == "failing[1].last" || node["name"] == "failing[1]" {
            node["phase"] = "Running".into();
            node["finishedAt"] = Value::Null;
        }
    }
    let table = text(&trace(&["-"], run.to_string().as_bytes()).stdout);
    assert!(table.contains("Running for ") && table.contains("●") && table.contains("╍"), "{table}");
    let request: Value =
        serde_json::from_slice(&trace(&["-", "-o", "json"], run.to_string().as_bytes()).stdout).unwrap();
    // Neither the Workflow, nor its template, nor the second group, nor what is in it.
    assert_eq!(spans(&request).len(), 9 - 4);
}

#[test]
fn colours_are_for_terminals_and_texts_cannot_use_them() {
    let mut run: Value = serde_json::from_slice(&std::fs::read(format!("{RUNS}/node-retry.json")).unwrap()).unwrap();
    let nodes = run["status"]["nodes"].as_object_mut().unwrap();
    let failed = nodes.values_mut().find(|node| node["phase"] == "Failed").unwrap();
    failed["message"] = "\u{1b}[31m\u{202e}gone\nfake ✓".into();
    failed["displayName"] = "\u{1b}]8;;http://x\u{7}a".into();
    let input = run.to_string();
    let plain = text(&trace(&["-"], input.as_bytes()).stdout);
    assert!(!plain.contains('\u{1b}') && !plain.contains('\u{202e}'), "{plain}");
    assert!(plain.contains("\\u{1b}[31m\\u{202e}gone\\nfake"), "{plain}");
    let coloured = text(&trace(&["-", "--color", "always"], input.as_bytes()).stdout);
    assert!(coloured.contains("\u{1b}[32m"), "{coloured}");
}
