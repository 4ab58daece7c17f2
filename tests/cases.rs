//! A folder `tests/cases/<case>` is a test: `input.yaml` or `input.json`, with `policy.yaml` and `context.yaml` where it has them,
//! gives `expected.yaml` (the patched pods) and `expected.decisions.json` (why). `ACCEPT=1` rewrites what is expected.
//!
//! Whatever the case, three things hold: the patch applied by another implementation gives the same pod, reviewing the
//! result again changes nothing, and YAML read back is the same JSON.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stepspan::yaml;

#[test]
fn every_case_gives_what_is_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases.iter().filter_map(|case| try_case(case).err()).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn try_case(folder: &Path) -> Result<(), String> {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let input = ["input.yaml", "input.json"].into_iter().find(|f| folder.join(f).exists()).expect("an input");
    let patched = dry_run(folder, input, "yaml");
    let lines = dry_run(folder, input, "patch");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    agrees_with_json_patch(folder, input, &patched, &lines).map_err(|why| format!("{name}: {why}"))?;
    is_idempotent(folder, &patched).map_err(|why| format!("{name}: {why}"))?;
    let decisions: Vec<&Value> = lines.iter().map(|line| &line["decisions"]).collect();
    let decisions = serde_json::to_string_pretty(&decisions).unwrap() + "\n";
    expect(&folder.join("expected.yaml"), &patched)?;
    expect(&folder.join("expected.decisions.json"), &decisions)
}

fn dry_run(folder: &Path, input: &str, output: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    command.current_dir(folder).args(["dry-run", input, "-o", output]);
    // The image that a release puts in is not what a case is about.
    for (flag, file) in [("--policy", "policy.yaml"), ("--context", "context.yaml")] {
        if folder.join(file).exists() {
            command.args([flag, file]);
        }
    }
    if !folder.join("context.yaml").exists() {
        command.args(["--image", "registry.example/stepspan:test"]);
    }
    let done = command.output().unwrap();
    assert!(
        matches!(done.status.code(), Some(0 | 1)),
        "{}: {}",
        folder.display(),
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

/// The objects of an input, as they are reviewed.
fn objects(folder: &Path, input: &str) -> Vec<Value> {
    let text = fs::read(folder.join(input)).unwrap();
    let documents = yaml::documents(text.as_slice()).map(|d| d.unwrap().read().unwrap());
    let objects = documents.flat_map(|mut document| match document["kind"].as_str() {
        Some("AdmissionReview") => vec![document["request"]["object"].take()],
        Some("PodList") => {
            let mut items = document["items"].as_array().unwrap().clone();
            for item in &mut items {
                item["apiVersion"] = "v1".into();
                item["kind"] = "Pod".into();
            }
            items
        }
        _ => vec![document],
    });
    objects.collect()
}

fn agrees_with_json_patch(folder: &Path, input: &str, patched: &str, lines: &[Value]) -> Result<(), String> {
    let read = |d: Result<yaml::Document, _>| -> Value { d.unwrap().read().unwrap() };
    let ours: Vec<Value> = yaml::documents(patched.as_bytes()).map(read).collect();
    let before = objects(folder, input);
    if (ours.len(), lines.len()) != (before.len(), before.len()) {
        return Err(format!("{} objects, {} patched, {} decided", before.len(), ours.len(), lines.len()));
    }
    for ((mut theirs, ours), line) in before.into_iter().zip(&ours).zip(lines) {
        let patch: json_patch::Patch = serde_json::from_value(line["patch"].clone()).unwrap();
        json_patch::patch(&mut theirs, &patch).map_err(|error| error.to_string())?;
        if theirs != *ours {
            return Err(format!("{}: json-patch makes another pod of it", line["pod"]));
        }
    }
    Ok(())
}

/// Law 3: a second look changes nothing.
fn is_idempotent(folder: &Path, patched: &str) -> Result<(), String> {
    let again = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    fs::write(again.path(), patched).unwrap();
    let second = dry_run(folder, again.path().to_str().unwrap(), "yaml");
    if second == patched { Ok(()) } else { Err("a second review changes the pod again".to_owned()) }
}

fn expect(file: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("ACCEPT").is_some_and(|v| v == "1") {
        fs::write(file, found).unwrap();
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    let diff = similar_diff(&expected, found);
    Err(format!("{} is not as expected (ACCEPT=1 rewrites it):\n{diff}", file.display()))
}

fn similar_diff(expected: &str, found: &str) -> String {
    similar::TextDiff::from_lines(expected, found).unified_diff().context_radius(2).to_string()
}
