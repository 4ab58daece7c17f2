//! `dry-run` as a program.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan::yaml;

fn dry_run(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    command.arg("dry-run").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn pod(name: &str) -> Value {
    let flags = ["--loglevel", "info", "--"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "ci",
            "labels": {"workflows.argoproj.io/workflow": "widgets-x7k2p", "repo": "acme-widgets"},
            "annotations": {"workflows.argoproj.io/node-id": name, "workflows.argoproj.io/node-name": "widgets-x7k2p.build"},
            "ownerReferences": [{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "widgets-x7k2p",
                "uid": "7b0c1f5e-3d52-4c0a-9b1e-5f2a8c64d901"}],
        },
        "spec": {
            "initContainers": [{"name": "init", "image": "argoexec"}],
            "containers": [{
                "name": "main", "image": "registry.example/tools/builder:2.4",
                "command": ["/var/run/argo/argoexec", "emissary", flags[0], flags[1], flags[2], "make"],
            }],
        },
    })
}

fn newlines(text: &[u8]) -> usize {
    text.split(|b| *b == b'\n').count() - 1
}

fn lines(pods: impl IntoIterator<Item = Value>) -> Vec<u8> {
    pods.into_iter().flat_map(|pod| (pod.to_string() + "\n").into_bytes()).collect()
}

#[test]
fn output_keeps_the_order_of_the_input_whatever_its_length() {
    let input = lines((0..3000).map(|i| pod(&format!("step-{i}"))));
    let output = dry_run(&["-", "-o", "json"], &input);
    assert!(output.status.success());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|p| p["metadata"]["name"].as_str().unwrap()).collect();
    assert!(names.iter().enumerate().all(|(i, name)| *name == format!("step-{i}")));
    assert_eq!((names.len(), list["kind"].as_str()), (3000, Some("List")));
}

#[test]
fn one_step_is_the_same_in_every_form_it_may_come_in() {
    let one = pod("step");
    let mut stream = Vec::new();
    yaml::write(&one, &mut stream).unwrap();
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "ci", "object": one}});
    let kubectl = json!({"apiVersion": "v1", "items": [one], "kind": "List", "metadata": {}});
    let mut yaml_list = Vec::new();
    yaml::write(&kubectl, &mut yaml_list).unwrap();
    let mut yaml_review = Vec::new();
    yaml::write(&review, &mut yaml_review).unwrap();
    let forms = [
        stream,
        serde_json::to_vec_pretty(&kubectl).unwrap(),
        one.to_string().into_bytes(),
        serde_json::to_vec_pretty(&json!({"apiVersion": "v1", "kind": "List", "items": [one]})).unwrap(),
        yaml_list,
        review.to_string().into_bytes(),
        yaml_review,
    ];
    let outputs: Vec<_> = forms.iter().map(|form| dry_run(&["-", "-o", "yaml"], form)).collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, outputs[0].stdout);
    }
    assert!(String::from_utf8_lossy(&outputs[0].stdout).contains("stepspan-init"));
}

#[test]
fn a_broken_document_among_many_costs_itself_only() {
    let mut input = Vec::new();
    yaml::write(&pod("first"), &mut input).unwrap();
    let broken_line = newlines(&input) + 2;
    input.extend_from_slice(b"---\nkind: Pod\n  apiVersion: v1\n---\n");
    yaml::write(&pod("last"), &mut input).unwrap();
    let output = dry_run(&["-", "-o", "patch"], &input);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(newlines(&output.stdout), 2);
    let said = String::from_utf8_lossy(&output.stderr);
    let (from, to) = (format!("error: stdin:{broken_line}:"), format!("error: stdin:{}:", broken_line + 1));
    assert!(said.starts_with(&from) || said.starts_with(&to), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let input = lines((0..5000).map(|i| pod(&format!("step-{i}"))));
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    command.args(["dry-run", "-", "-o", "yaml"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
        // Stays open: nobody may wait for its end.
        stdin
    });
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "apiVersion: v1\n");
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    drop(writer.join());
}

#[test]
fn nothing_from_outside_reaches_the_terminal_raw() {
    let mut hostile = pod("step");
    hostile["metadata"]["labels"] = json!({"workflows.argoproj.io/workflow": "w\u{1b}[2J"});
    hostile["metadata"]["annotations"]["stepspan.dev/p.repo"] = json!("a\u{1b}]0;x\u{7}\r\u{202e}b");
    hostile["metadata"]["name"] = json!("a\u{1b}[31m\u{9b}b\nc");
    for output in [&["-"][..], &["-", "-o", "summary"], &["-", "-o", "diff"], &["-", "-o", "junit"]] {
        let shown = dry_run(output, &lines([hostile.clone(), json!({"kind": "\u{1b}[2J", "apiVersion": "v1"})]));
        for text in [shown.stdout, shown.stderr] {
            let text = String::from_utf8(text).unwrap();
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{output:?} {text:?}");
        }
    }
}

#[test]
fn colours_come_only_when_asked_for() {
    let input = lines([pod("step")]);
    assert!(!dry_run(&["-"], &input).stdout.contains(&0x1b));
    assert!(!dry_run(&["-", "--color", "never"], &input).stdout.contains(&0x1b));
    assert!(dry_run(&["-", "--color", "always"], &input).stdout.contains(&0x1b));
}

/// Texts that some reader of YAML takes for another type, or for syntax.
#[rustfmt::skip]
const HOSTILE: &[&str] = &[
    "yes", "no", "on", "off", "y", "n", "~", "null", "Null", "true", "0777", "0o17", "0x1F", "0b1", "1_000", "1e3",
    "1.0", ".5", ".inf", "-.NaN", "12:30:45", "2026-11-21", "- a", "a: b", "a #b", "#", "&a", "*a", "!t", "%", "@",
    "`", "'", "\"", "\\", "|", ">", "{{=x}}", "[1]", "{a: 1}", "", " ", " a", "a ", "a\nb", "a\n", "\na", "a\n\n",
    "\t", "a\tb", "\r\n", "---", "...", "<<", "=", "?", "? a", ":", "-", "$(X)", "1 ", "\u{85}", "\u{feff}",
    "\u{1b}", "é", "日本",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(HOSTILE).prop_map(|text| json!(text)),
        any::<String>().prop_map(|text| json!(text)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(|b| json!(b)),
        Just(Value::Null),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_output_changes_a_value_or_its_type(values in prop::collection::vec(scalar(), 40)) {
        let mut with = pod("step");
        let keys = values.iter().filter_map(Value::as_str).map(|text| (text.to_owned(), json!(text)));
        with["spec"]["futureKeys"] = Value::Object(keys.collect());
        with["spec"]["future"] = json!(values);
        let output = dry_run(&["-", "-o", "yaml"], &lines([with.clone()]));
        prop_assert!(output.status.success());
        let read = yaml::documents(output.stdout.as_slice()).next().unwrap().unwrap().read().unwrap();
        prop_assert_eq!(&read["spec"]["future"], &with["spec"]["future"]);
        prop_assert_eq!(&read["spec"]["futureKeys"], &with["spec"]["futureKeys"]);
        // As YAML again, and as JSON: the pod is the same, and injected already.
        let json = dry_run(&["-", "-o", "json"], &output.stdout);
        let list: Value = serde_json::from_slice(&json.stdout).unwrap();
        prop_assert_eq!(&list["items"][0], &read);
    }
}

#[test]
fn a_workflow_s_pods_are_printed_as_argo_creates_them() {
    let workflow = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: ci-, namespace: build}\nspec:\n  \
                    entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: a, templateRef: {name: shared, template: run}}]]}\n";
    let template = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: shared, namespace: build}\nspec:\n  \
                    templates: [{name: run, container: {image: i, command: [make]}}]\n";
    // As Helm prints them: what is referred to comes last, among manifests of other kinds.
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
    let input = format!("---\n{service}---\n{workflow}---\n{template}");
    let output = dry_run(&["-", "--expand-only", "-o", "json", "--argo", "4.1-initless"], input.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pod = &list["items"][0];
    assert_eq!(pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"], "ci-{{random}}[0].a");
    assert_eq!(pod["metadata"]["name"], "ci-{{random}}-run-{{hash}}");
    assert_eq!(pod["spec"]["containers"][1]["command"][0], "/argo-bin/bin/argoexec");
    assert!(pod["metadata"]["annotations"]["stepspan.dev/dynamic"].as_str().unwrap().contains("builtin/workflowName"));
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    let only_others = dry_run(&["-", "-o", "summary"], service.as_bytes());
    assert_eq!(only_others.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&only_others.stderr).contains("1 of other kinds passed over"));
}
