//! `stepspan replay` on records made of what a real API server sent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use stepspan::admission::review;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::record::{Account, line};

const FOLDER: &str = "tests/cmd/replay.in";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A record of each recorded pod, under the embedded policy.
fn records() -> String {
    let policies = PolicySet::embedded(&Rules::default()).unwrap();
    let context = Context::default();
    let mut files: Vec<PathBuf> =
        fs::read_dir(root().join("tests/recorded")).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with("-pod.json"));
    files.sort();
    let record = |file: &PathBuf| {
        let body = fs::read(file).unwrap();
        let was = Account::of(&review(&body, &policies, &context));
        String::from_utf8(line(&body, &policies, &context, was, "2026-01-02T03:04:05Z").unwrap()).unwrap()
    };
    files.iter().map(record).collect()
}

#[test]
fn the_sample_records_are_what_the_webhook_writes_today() {
    let file = root().join(FOLDER).join("reviews.jsonl");
    if std::env::var_os("ACCEPT").is_some() {
        fs::write(&file, records()).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), records(), "ACCEPT=1 writes it anew");
}

fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stepspan"))
        .current_dir(root().join(FOLDER))
        .arg("replay")
        .args(args)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&replay(&[args, &["-o", "json"]].concat()).stdout).unwrap()
}

#[test]
fn the_policies_that_were_in_force_change_nothing() {
    let output = replay(&["--log", "reviews.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let twice = replay(&["--log", "reviews.jsonl", "--policy-new", "../../../policies/agent-steps/policy.yaml"]);
    assert_eq!(twice.status.code(), Some(0), "{twice:?}");
    assert!(stdout(&twice).contains("0 differ"), "{}", stdout(&twice));
}

#[test]
fn a_folder_is_read_with_what_was_rotated_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let all = records();
    let lines: Vec<&str> = all.lines().collect();
    let (old, rest) = lines.split_at(3);
    let (middle, new) = rest.split_at(3);
    for (name, lines) in [("r.jsonl.10", old), ("r.jsonl.2", middle), ("r.jsonl", new)] {
        fs::write(folder.path().join(name), lines.join("\n") + "\n").unwrap();
    }
    fs::write(folder.path().join(".hidden"), "no record\n").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = replay(&["--log", path, "-o", "records"]);
    assert_eq!(stdout(&output), all);
    assert_eq!(json(&["--log", path])["reviews"], lines.len());
}

#[test]
fn a_line_that_is_none_is_told_with_its_place_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.jsonl");
    let all = records();
    let first = all.lines().next().unwrap();
    let other = first.replacen("\"v\":1", "\"v\":7", 1);
    fs::write(&file, format!("{first}\n\nnot json\n{other}\n{first}\n{}", &first[..100])).unwrap();
    let output = replay(&["--log", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("2 reviews of 1 template"), "{}", stdout(&output));
    let told = String::from_utf8_lossy(&output.stderr);
    // The line is that of the file, the column that of the line.
    assert!(told.contains("r.jsonl:3: not a record: column ") && !told.contains(" at line "), "{told}");
    assert!(told.contains("r.jsonl:4: a record of form 7, this stepspan reads form 1"), "{told}");
    assert!(
        told.contains("note: ") && told.contains("r.jsonl:6: passed over: the last line is still being written"),
        "{told}"
    );
    // The records themselves are no quieter about what is none.
    let records = replay(&["--log", file.to_str().unwrap(), "-o", "records"]);
    assert_eq!(records.status.code(), Some(2));
    assert_eq!(stdout(&records), format!("{first}\n{first}\n"));
    assert_eq!(String::from_utf8_lossy(&records.stderr), told);
}

#[test]
fn a_line_that_is_too_long_is_told_with_its_place_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.jsonl");
    let all = records();
    let first = all.lines().next().unwrap();
    let long = "x".repeat(20 << 20);
    fs::write(&file, format!("{first}\n{long}\n{first}\nnot json\n{long}\n{first}\n{long}")).unwrap();
    for (format, printed) in
        [("text", "3 reviews of 1 template".to_owned()), ("records", format!("{first}\n{first}\n{first}\n"))]
    {
        let output = replay(&["--log", file.to_str().unwrap(), "-o", format]);
        assert_eq!(output.status.code(), Some(2), "{format}");
        assert!(stdout(&output).contains(&printed), "{}", stdout(&output));
        let told = String::from_utf8_lossy(&output.stderr);
        for place in ["2: over 8 MiB", "4: not a record", "5: over 8 MiB", "7: over 8 MiB"] {
            assert!(told.contains(&format!("r.jsonl:{place}")), "{told}");
        }
        assert_eq!(told.lines().count(), 4, "{told}");
    }
}

#[test]
fn of_many_lines_that_are_none_the_first_are_told_and_the_rest_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.jsonl");
    let all = records();
    fs::write(&file, format!("{}{}\n", "none\n".repeat(23), all.lines().next().unwrap())).unwrap();
    for format in ["text", "records"] {
        let output = replay(&["--log", file.to_str().unwrap(), "-o", format]);
        assert_eq!(output.status.code(), Some(2), "{format}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((told.lines().count(), told.lines().last()), (21, Some("error: 3 lines more")), "{told}");
    }
}

#[test]
fn no_record_is_a_failure() {
    for text in ["", "\n\n"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.jsonl");
        fs::write(&file, text).unwrap();
        for output in ["text", "json", "records"] {
            let done = replay(&["--log", file.to_str().unwrap(), "-o", output]);
            assert_eq!(done.status.code(), Some(2));
            assert!(String::from_utf8_lossy(&done.stderr).contains("no record"), "{done:?}");
        }
    }
}

#[test]
fn what_a_policy_reads_beyond_is_told_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("p.yaml");
    let spec = "{apiVersion: stepspan.dev/v1alpha1, kind: InjectionPolicy, metadata: {name: p}, spec: SPEC}";
    for (of, reads) in [
        (
            "{match: {when: [\"pod.spec.restartPolicy == 'Never'\"]}}",
            "more of the pod than its metadata (match.when[0])",
        ),
        ("{correlation: {x: {from: [{parameter: secret}]}}}", "parameter/secret (correlation.x)"),
        ("{correlation: {x: {from: [{value: a}, {parameter: secret}]}}}", ""),
        ("{match: {namespaces: {include: [nowhere]}, when: [\"pod.spec.restartPolicy == 'Never'\"]}}", ""),
        ("{correlation: {x: {from: [{env: TOKEN}]}}}", "env/TOKEN (correlation.x)"),
    ] {
        fs::write(&policy, spec.replace("SPEC", of)).unwrap();
        let told = json(&["--log", "reviews.jsonl", "--policy", policy.to_str().unwrap()]);
        let gaps = told["gaps"].as_array().unwrap();
        assert_eq!(gaps.first().map_or("", |gap| gap["reads"].as_str().unwrap()), reads, "{told}");
        assert_eq!(gaps.is_empty(), told["notReplayable"] == 0, "{told}");
        let sum = ["same", "differ", "notReplayable"].map(|field| told[field].as_u64().unwrap()).iter().sum::<u64>();
        assert_eq!(told["reviews"], sum);
    }
}
