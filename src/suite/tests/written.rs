//! What is written for people: expectations, policies and suites.

use std::fs;
use std::path::Path;

use super::hollow::{BARE, POD};
use super::{WRONG, suite};
use crate::suite::load::{self, Expects};
use crate::suite::{Failure, run, scaffold, update};

/// The text of a suite after an update, and what then does not hold.
fn updated(cases: &str) -> (String, Vec<Failure>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tests.yaml");
    drop(suite(folder.path(), cases));
    let before = fs::read_to_string(&path).unwrap();
    let loaded = load::load(&path, Expects::Anything).unwrap();
    let looked =
        loaded.cases.iter().enumerate().filter_map(|(at, (line, case))| Some((at, run::case(&loaded, *line, case).1?)));
    let after = update::rewrite(&before, &looked.collect::<Vec<_>>()).unwrap().text;
    fs::write(&path, &after).unwrap();
    let loaded = load::load(&path, Expects::Something).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{after}"));
    let failures = loaded.cases.iter().flat_map(|(line, case)| run::case(&loaded, *line, case).0.failures).collect();
    (after, failures)
}

#[test]
fn an_update_makes_every_expectation_hold_and_keeps_what_stood_beside_it() {
    for (expect, ..) in WRONG.iter().chain([&("{pod: {apiVersion: v1}}", "", "", "")]) {
        let (text, failures) = updated(&format!(
            "- name: x  # a comment\n  input: {{file: ci.yaml, step: a}}\n  expect: {expect}  # why\n"
        ));
        assert_eq!(failures, [], "{text}");
        assert!(text.contains("x  # a comment") && text.contains("# why"), "{text}");
    }
    let (text, _) = updated(
        "- name: x\n  input: {file: ci.yaml, step: a}\n  expect:\n    outcome: skipped  # not yet\n    values:\n      repo: wrong\n",
    );
    assert!(text.ends_with("  expect:\n    outcome: injected  # not yet\n    values:\n      repo: shop\n"), "{text}");
}

#[test]
fn an_update_writes_what_a_case_does_not_say_yet() {
    for case in [
        "- name: x\n  input: {file: ci.yaml, step: a}\n",
        "- name: x\n  expect:\n  input: {file: ci.yaml, step: a}\n",
        "- {name: x, input: {file: ci.yaml, step: a}}\n",
    ] {
        let (text, failures) = updated(case);
        assert_eq!(failures, [], "{text}");
        assert!(text.contains("outcome: injected") && text.contains("source: parameter/repo"), "{text}");
    }
}

/// Comments, flow style and line breaks stay: values change where they stand.
#[test]
fn an_update_changes_the_smallest_values() {
    let before = "- name: x
  input: {file: ci.yaml, step: a}
  expect:
    values:
      repo: {value: '41', source: parameter/repo}  # p
    policies:
      # the one
      - wrong
    contains:
      metadata:
        labels: {repo: x}  # as text
        annotations: {stepspan.dev/status: none}
";
    let (after, failures) = updated(before);
    assert_eq!(failures, []);
    let fresh = before.replace("'41'", "shop").replace("wrong", "tried").replace("repo: x}", "repo: shop}");
    assert!(after.ends_with(&fresh.replace("status: none", "status: injected")), "{after}");
}

/// What is written says something, and what held is not written anew.
#[test]
fn an_update_writes_nothing_that_would_be_a_mistake() {
    for (manifest, expect, written) in [
        (POD, "{operations: {min: 3}}", "expect: {operations: 0}"),
        (BARE, "{values: {repo: {source: label/repo}}}", "expect: {values: {repo: {source: null}}}"),
        (
            POD,
            "{contains: {spec: {containers: [{name: gone}], restartPolicy: Never}}}",
            "expect: {contains: {spec: {restartPolicy: Never}}}",
        ),
        (
            POD,
            "{contains: {spec: {containers: [{name: web, image: other, volumeMounts: [{name: work, mountPath: /b}]}]}}}",
            "{name: web, image: web, volumeMounts: [{name: work, mountPath: /b}]}",
        ),
    ] {
        let (text, failures) = updated(&format!("- name: x\n  input: {{manifest: {manifest}}}\n  expect: {expect}\n"));
        assert_eq!(failures, [], "{text}");
        assert!(text.contains(written), "{text}");
    }
    // No text can be expected of a variable from elsewhere: that is left to whoever wrote it.
    let (text, failures) = updated(&format!(
        "- name: x\n  input: {{manifest: {POD}}}\n  expect: {{env: {{web: {{S: text, A: first}}}}}}\n"
    ));
    assert!(text.ends_with("expect: {env: {web: {S: text, A: second}}}\n"), "{text}");
    assert_eq!(failures.iter().map(|failure| &*failure.what).collect::<Vec<_>>(), ["env.web.S"]);
}

/// An anchor's text is that of others too: its case is named, and the rest is written.
#[test]
fn a_case_with_an_anchor_is_left_to_be_changed_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let cases = "- {name: one, input: {file: ci.yaml, step: a}, expect: &e {outcome: skipped}}
- {name: two, input: {file: ci.yaml, step: b}, expect: *e}
- {name: three, input: {file: ci.yaml, step: b}, expect: {outcome: skipped}}
";
    let loaded = suite(folder.path(), cases).unwrap();
    let before = fs::read_to_string(folder.path().join("tests.yaml")).unwrap();
    let looked: Vec<_> =
        loaded.cases.iter().map(|(line, case)| run::case(&loaded, *line, case).1.unwrap()).enumerate().collect();
    let done = update::rewrite(&before, &looked).unwrap();
    assert_eq!(done.refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
    assert!(done.refused[1].1.to_string().contains("comes from an anchor at line 4"), "{:?}", done.refused);
    let changed = before.replace(
        "three, input: {file: ci.yaml, step: b}, expect: {outcome: skipped}",
        "three, input: {file: ci.yaml, step: b}, expect: {outcome: injected}",
    );
    assert_eq!((done.text, done.changed), (changed, 1));
}

fn scaffolded(workflows: &str) -> scaffold::Scaffold {
    let manifests = load::documents(Path::new("flows.yaml"), workflows.as_bytes()).unwrap();
    scaffold::scaffold(&[("flows.yaml".to_owned(), manifests)]).unwrap()
}

/// Workflows of one file whose templates have one name, and even their own, have a case each, which finds its step.
#[test]
fn each_workflow_of_a_file_has_its_cases() {
    let flow = |name: &str, namespace: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}, namespace: {namespace}, uid: 7b0c1f5e-3d52-4c0a-9b1e-5f2a8c64d901}}\nspec:\n  entrypoint: run\n  templates: [{{name: run, container: {{image: i, command: [make]}}}}]\n---\n"
        )
    };
    for flows in [flow("one", "a") + &flow("two", "a"), flow("one", "a") + &flow("one", "b")] {
        let made = scaffolded(&flows);
        assert_eq!((made.cases.len(), made.left_out.len()), (2, 0), "{made:?}");
        assert_ne!(made.cases[0]["name"], made.cases[1]["name"]);
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("flows.yaml", &flows), ("policy.yaml", &made.policy), ("tests.yaml", &made.suite())] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let suite = load::load(&folder.path().join("tests.yaml"), Expects::Anything).unwrap();
        for (line, case) in &suite.cases {
            assert!(run::case(&suite, *line, case).1.is_some(), "{flows}\n{}", made.suite());
        }
    }
    // Of two that are one to every name, none can be meant.
    let twice = flow("one", "a") + &flow("one", "a") + &flow("two", "a");
    let made = scaffolded(&twice);
    assert_eq!((made.cases.len(), made.left_out.len()), (1, 2), "{made:?}");
}
