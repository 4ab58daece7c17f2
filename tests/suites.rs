//! The suites of the policies that come with stepspan.

use std::path::Path;
use std::process::{Command, Output};

use std::fs;

#[test]
fn every_case_of_the_shipped_policies_passes() {
    let done = Command::new(env!("CARGO_BIN_EXE_stepspan"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["test", "policies", "--min-coverage", "30"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(String::from_utf8_lossy(&done.stderr).contains("7 passed, 0 failed"));
}

fn stepspan(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stepspan")).current_dir(folder).args(args).output().unwrap()
}

/// What `init` makes of a Workflow passes as it is, says nothing that `lint` minds, and covers each step once.
#[test]
fn a_scaffold_of_any_sample_passes_its_own_tests_and_lint() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/workflows");
    let mut made = 0;
    for entry in fs::read_dir(samples).unwrap() {
        let sample = entry.unwrap().path();
        if sample.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("flows")).unwrap();
        fs::copy(&sample, folder.path().join("flows/one.yaml")).unwrap();
        let done = stepspan(folder.path(), &["init", "--from", "flows/one.yaml", "--into", "policies/one"]);
        let what = || format!("{}: {}", sample.display(), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{}", what());
        let suite = fs::read_to_string(folder.path().join("policies/one/tests.yaml")).unwrap();
        assert!(suite.contains("file: ../../flows/one.yaml") && suite.contains("outcome: "), "{suite}");
        for check in ["test", "lint"] {
            let done = stepspan(folder.path(), &[check, "policies"]);
            assert!(done.status.success(), "{check} {}: {}", sample.display(), String::from_utf8_lossy(&done.stdout));
        }
        let again = stepspan(folder.path(), &["init", "--from", "flows/one.yaml", "--into", "policies/one"]);
        assert_eq!(again.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));
        made += 1;
    }
    assert!(made >= 5, "{made}");
}

#[test]
fn nothing_is_made_of_what_is_no_workflow() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pod.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n").unwrap();
    let done = stepspan(folder.path(), &["init", "--from", "pod.yaml", "--into", "new"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("pod.yaml: there is no Workflow"));
    assert!(!folder.path().join("new").exists());
}

/// An update changes what does not hold, in the file itself, and nothing else of it.
#[test]
fn an_update_leaves_a_suite_that_passes() {
    let folder = tempfile::tempdir().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/workflows");
    fs::copy(samples.join("dag.yaml"), folder.path().join("dag.yaml")).unwrap();
    let policy = include_str!("../policies/agent-steps/policy.yaml");
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let before = "# Ours.\napiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\ncases:\n  - name: style  # the first\n    input: {file: dag.yaml, step: style}\n    \
                  expect: {outcome: skipped, values: {repo: other}}  # to be seen\n  - name: tests\n    input: {file: dag.yaml, step: tests}\n    expect: {outcome: injected}\n";
    let suite = folder.path().join("tests.yaml");
    fs::write(&suite, before).unwrap();
    assert_eq!(stepspan(folder.path(), &["test"]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&suite).unwrap(), before);
    let done = stepspan(folder.path(), &["test", "--update"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(String::from_utf8_lossy(&done.stderr).contains("tests.yaml: 2 expectations written"));
    let after = before.replace("skipped", "injected").replace("other", "shop-api");
    assert_eq!(fs::read_to_string(&suite).unwrap(), after);
    let again = stepspan(folder.path(), &["test", "--update"]);
    assert!(again.status.success() && !String::from_utf8_lossy(&again.stderr).contains("written"));
}
