//! `dry-run` as a program.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan::yaml;

const STAGING: &str = "tests/cmd/dry-run.in/staging.yaml";

const WORKFLOW: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: ci-, namespace: build}\nspec:\n  \
                        entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: a, templateRef: {name: shared, template: run}}]]}\n";
const TEMPLATE: &str = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: shared, namespace: build}\nspec:\n  \
                        templates: [{name: run, container: {image: i, command: [make]}}]\n";

/// Starts the program, and writes its input.
fn start(args: &[&str], input: &[u8]) -> (Child, JoinHandle<()>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    (child, thread::spawn(move || drop(stdin.write_all(&input))))
}

fn stepspan(args: &[&str], input: &[u8]) -> Output {
    let (child, writer) = start(args, input);
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn dry_run(args: &[&str], input: &[u8]) -> Output {
    stepspan(&[&["dry-run"][..], args].concat(), input)
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
    // As the API server answers: what its items are, a list says once.
    let mut bare = one.clone();
    bare.as_object_mut().unwrap().retain(|key, _| key != "apiVersion" && key != "kind");
    let typed = json!({"apiVersion": "v1", "items": [bare], "kind": "PodList", "metadata": {}});
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
        serde_json::to_vec_pretty(&typed).unwrap(),
        typed.to_string().into_bytes(),
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

/// Runs the program for a reader that goes away after the first line; its exit code, and what it says besides.
fn unread(args: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let (mut child, writer) = start(args, input);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.ends_with('\n'), "{args:?}: {first}");
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap())
}

/// As `head` has; what stands in the rest of the input counts all the same.
#[test]
fn a_reader_that_has_seen_enough_is_no_error_and_hides_none() {
    let good = lines((0..1000).map(|i| pod(&format!("step-{i}"))));
    assert_eq!(unread(&["dry-run", "-", "-o", "yaml"], &good), (Some(0), String::new()));
    let compared = unread(&["diff", "-", "--policy-new", STAGING], &good);
    assert_eq!(compared, (Some(1), "1000 changed, 0 the same\n".to_owned()));
    let mut arm = pod("arm");
    arm["spec"]["nodeSelector"] = json!({"kubernetes.io/arch": "arm64"});
    let failing = [&good[..], &lines([arm])].concat();
    let (code, said) = unread(&["dry-run", "-"], &failing);
    assert_eq!((code, said.as_str()), (Some(1), "1000 injected, 1 could not be injected\n"));
    let bad = [&good[..], b"{\"apiVersion\": \"v2\", \"kind\": \"Pod\"}\n"].concat();
    for args in [
        &["dry-run", "-", "-o", "json"][..],
        &["dry-run", "-", "-o", "junit"],
        &["explain", "-"],
        &["diff", "-", "--policy-new", STAGING, "-o", "json"],
    ] {
        let (code, said) = unread(args, &bad);
        assert!(
            code == Some(2) && said.starts_with("error: stdin:1001: Pod of apiVersion \"v2\""),
            "{args:?}: {code:?} {said}"
        );
    }
}

/// What has to be looked at twice, for what Workflows refer to, and can be read once.
#[test]
fn a_pipe_is_read_once_under_whatever_name() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("flow.yaml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let text = format!("{WORKFLOW}---\n{TEMPLATE}");
    for path in ["/dev/stdin", "/dev/fd/0", fifo.to_str().unwrap()] {
        for (args, code, printed) in [
            (&["dry-run", path, "-o", "summary"][..], 0, "  injected"),
            (&["explain", path], 0, "  injected"),
            (&["diff", path, "--policy-new", STAGING], 1, "  injected"),
        ] {
            let other = fifo.to_str() == Some(path);
            let writer = other.then(|| {
                let (fifo, text) = (fifo.clone(), text.clone());
                thread::spawn(move || fs::write(fifo, text).unwrap())
            });
            let output = stepspan(args, if other { b"" } else { text.as_bytes() });
            if let Some(writer) = writer {
                writer.join().unwrap();
            }
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.code() == Some(code) && shown.contains(printed), "{args:?}: {output:?}");
        }
    }
}

/// A list whose layout is kubectl's is taken apart; the rest of it has to be right all the same.
#[test]
fn what_stands_behind_the_items_of_a_list_is_looked_at() {
    let list = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec: {containers: [{name: a, image: a}]}\n";
    for (rest, code, said) in [
        ("kind: List\n", 0, "0 injected, 1 skipped\n"),
        ("kind: [\n- kind: Pod\n  foo: \"\n", 2, "error: stdin:"),
        ("kind: List\nitems: []\n", 2, "error: stdin:8:1: key \"items\""),
    ] {
        let output = dry_run(&["-", "-o", "summary"], format!("{list}{rest}").as_bytes());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && text.contains(said), "{rest}: {text}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("default/a"), "{rest}");
    }
    let anchored = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec: &s {containers: [{name: a, image: a}]}\n- \
                    apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n  spec: *s\nkind: List\n";
    let output = dry_run(&["-", "-o", "summary"], anchored.as_bytes());
    assert_eq!((output.status.code(), newlines(&output.stdout)), (Some(0), 2), "{output:?}");
}

/// GitLab passes over all cases of one name but the first.
#[test]
fn no_two_cases_of_a_report_have_one_name() {
    let workflow = |steps: &str| {
        let of_ci = WORKFLOW.replace("templateRef: {name: shared, template: run}", steps);
        of_ci + "  - {name: run, container: {image: i, command: [make]}}\n"
    };
    let looped = workflow("template: run, withItems: [x, x, x]");
    let input = [looped.as_str(), &workflow("template: run"), "a: 1\n"].join("---\n");
    let folder = tempfile::tempdir().unwrap();
    let files = ["one.yaml", "two.yaml", "gone.yaml"].map(|name| folder.path().join(name).display().to_string());
    files[..2].iter().for_each(|file| fs::write(file, &input).unwrap());
    let [one, two, gone] = files.each_ref().map(String::as_str);
    let output = dry_run(&[one, two, gone, "-o", "junit"], b"");
    assert_eq!(output.status.code(), Some(2));
    let report = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> =
        report.split("<testcase name=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((names.len(), unique.len()), (11, 11), "{names:#?}");
    assert!(names.contains(&gone) && !names.contains(&"line 0"), "{names:#?}");
}

/// Whoever reads the last line has to find how much changes there, also where nothing could be compared.
#[test]
fn diff_counts_at_its_end_whatever_it_finds() {
    let broken = b"{\"apiVersion\": \"v2\", \"kind\": \"Pod\"}\n";
    let output = stepspan(&["diff", "-", "--policy-new", STAGING], broken);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().last()), (Some(2), Some("0 changed, 0 the same, 1 refused")));
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

/// A value of the run in whatever field marks the pod, injected or not; a step all of which is known bears no mark.
#[test]
fn a_pod_that_keeps_a_tag_is_marked() {
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "ci", "namespace": "ci", "uid": "7b0c1f5e-3d52-4c0a-9b1e-5f2a8c64d901"},
        "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "steps": [[{"name": "a", "template": "a"}], [{"name": "b", "template": "b"}]]},
            {"name": "a", "container": {"image": "i", "command": ["make"]}},
            {"name": "b", "inputs": {"parameters": [{"name": "p", "value": "{{workflow.status}}"}]},
             "container": {"image": "i", "command": ["make"], "args": ["{{inputs.parameters.p}}"]}},
        ]},
    });
    for (more, mark) in [(&["--policy", "policies"][..], "pod/field"), (&["--expand-only"], "input/p,pod/field")] {
        let output = dry_run(&[&["-", "-o", "json"], more].concat(), &lines([workflow.clone()]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let pods = list["items"].as_array().unwrap().iter();
        let marks: Vec<_> = pods.map(|pod| &pod["metadata"]["annotations"]["stepspan.dev/dynamic"]).collect();
        assert_eq!(marks, [&Value::Null, &json!(mark)], "{more:?}");
    }
}

#[test]
fn a_workflow_s_pods_are_printed_as_argo_creates_them() {
    // As Helm prints them: what is referred to comes last, among manifests of other kinds.
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
    let input = format!("---\n{service}---\n{WORKFLOW}---\n{TEMPLATE}");
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
