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

/// What goes wrong in CI is read there: why, and what no case tries.
#[test]
fn machines_are_told_why_and_what_is_not_tried() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/test.in");
    let run = |args: &[&str]| {
        let done = stepspan(&folder, args);
        assert_eq!(done.status.code(), Some(1), "{args:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let rules = "3 of 4 rules tried (75 %); not tried: agent-steps: repo: label/repo";
    let junit = run(&["test", "shop", "-o", "junit"]);
    assert!(junit.contains("&#10;why: repo = acme-widgets from workflowLabel/repo&#10;"), "{junit}");
    assert!(junit.contains(&format!("    <system-out>{rules}</system-out>\n  </testsuite>")), "{junit}");
    let github = run(&["test", "shop", "-o", "github"]);
    assert!(github.contains("%0Awhy: repo = acme-widgets from workflowLabel/repo%0A"), "{github}");
    let notice = "::notice file=shop/tests.yaml,line=1,title=stepspan test%3A not tried::";
    assert!(github.contains(&format!("\n{notice}{}\n", rules.replace('%', "%25"))), "{github}");
    // A part of the cases says nothing of all rules.
    for format in ["junit", "github"] {
        let part = run(&["test", "shop", "-k", "complain", "-o", format]);
        assert!(part.contains("why: injected") && !part.contains("not tried"), "{part}");
    }
}

#[test]
fn coverage_is_not_asked_of_a_part_of_the_cases() {
    let done = stepspan(Path::new(env!("CARGO_MANIFEST_DIR")), &["test", "policies", "-k", "a", "--min-coverage", "1"]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: --min-coverage with -k: ") && told.contains("\n  hint: "), "{told}");
    assert!(done.stdout.is_empty());
}

/// A List is read as the manifests in it, by `init` and by what it writes.
#[test]
fn a_scaffold_is_made_of_a_list_too() {
    let folder = tempfile::tempdir().unwrap();
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: argoproj.io/v1alpha1\n  kind: Workflow\n  metadata: {name: w}\n  spec: {entrypoint: m, \
                templates: [{name: m, steps: [[{name: a, templateRef: {name: shared, template: t}}]]}]}\n- apiVersion: argoproj.io/v1alpha1\n  kind: WorkflowTemplate\n  \
                metadata: {name: shared}\n  spec: {templates: [{name: t, container: {image: i, command: [make]}}]}\n";
    fs::write(folder.path().join("list.yaml"), list).unwrap();
    let done = stepspan(folder.path(), &["init", "--from", "list.yaml", "--into", "p"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let done = stepspan(folder.path(), &["test", "p"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(String::from_utf8_lossy(&done.stderr).contains("1 passed, 0 failed"));
}

/// What can be read once is kept beside the suite, each under a name of its own.
#[test]
fn a_scaffold_of_pipes_keeps_what_it_read() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/workflows/dag.yaml");
    let first = fs::read_to_string(&sample).unwrap();
    let second = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: other}\nspec:\n  entrypoint: alone\n  templates:\n  \
                  - {name: alone, container: {image: i, command: [make]}}\n";
    let writers = [("a", first.clone()), ("b", second.to_owned())].map(|(name, text)| {
        let fifo = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        std::thread::spawn(move || fs::write(fifo, text).unwrap())
    });
    let done = stepspan(folder.path(), &["init", "--from", "a", "b", "--into", "new"]);
    for writer in writers {
        writer.join().unwrap();
    }
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for (name, text) in [("new/workflow.yaml", first.as_str()), ("new/workflow-2.yaml", second)] {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
    }
    assert!(stepspan(folder.path(), &["test", "new"]).status.success());
}

/// One that has no name any more, as what a shell takes from its script.
#[test]
fn a_file_that_no_suite_could_name_is_told_by_the_name_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/workflows/dag.yaml");
    fs::copy(sample, folder.path().join("one.yaml")).unwrap();
    let script = "exec 3< one.yaml; rm one.yaml; exec \"$0\" init --from /dev/fd/3 --into new";
    let mut command = Command::new("bash");
    let done =
        command.args(["-c", script, env!("CARGO_BIN_EXE_stepspan")]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(2) && said.contains("error: /dev/fd/3: "), "{said}");
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
