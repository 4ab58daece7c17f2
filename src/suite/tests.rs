use std::fs;
use std::path::Path;

use super::coverage::Coverage;
use super::load::{self, Expects, Loaded};
use super::{Failure, Outcome, run, update};

const POLICY: &str = "apiVersion: stepspan.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: tried}
spec:
  match: {when: ['template != \"never\"']}
  correlation:
    repo: {from: [{label: repo}, {parameter: repo}], label: repo}
";

const WORKFLOW: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: ci, uid: 7b0c1f5e-3d52-4c0a-9b1e-5f2a8c64d901}
spec:
  entrypoint: main
  arguments: {parameters: [{name: repo, value: shop}]}
  templates:
  - {name: main, steps: [[{name: a, template: run}, {name: b, template: run}, {name: c, template: never}]]}
  - {name: run, container: {image: i, command: [make]}}
  - {name: never, container: {image: i, command: [make]}}
";

fn suite(folder: &Path, cases: &str) -> Result<Loaded, Vec<String>> {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("policy.yaml", POLICY);
    write("ci.yaml", WORKFLOW);
    write("tests.yaml", &format!("apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\ncases:\n{cases}"));
    let shown = |mistakes: Vec<load::Mistake>| {
        mistakes.iter().map(|mistake| mistake.to_string().replace(&format!("{}/", folder.display()), "")).collect()
    };
    load::load(&folder.join("tests.yaml"), Expects::Something).map_err(shown)
}

fn outcomes(cases: &str) -> (Vec<Outcome>, Coverage) {
    let folder = tempfile::tempdir().unwrap();
    let suite = suite(folder.path(), cases).unwrap();
    let mut coverage = Coverage::of(&suite.policies);
    let outcomes = suite.cases.iter().map(|(line, case)| {
        let (outcome, looked) = run::case(&suite, *line, case);
        if let Some(looked) = &looked {
            coverage.add(looked);
        }
        outcome
    });
    (outcomes.collect(), coverage)
}

fn failures(expect: &str) -> Vec<Failure> {
    let (mut outcomes, _) = outcomes(&format!("- {{name: x, input: {{file: ci.yaml, step: a}}, expect: {expect}}}\n"));
    outcomes.remove(0).failures
}

#[test]
fn what_holds_passes() {
    for expect in [
        "{outcome: injected, policies: [tried], containers: {main: injected}}",
        "{values: {repo: shop}}",
        "{values: {repo: {value: shop, source: parameter/repo}}}",
        "{env: {main: {OTEL_SERVICE_NAME: agent-steps, NOT_THERE: null}}}",
        "{env: {main: {OTEL_SERVICE_NAME: {decision: added}}}}",
        "{contains: {metadata: {labels: {repo: shop}}, spec: {containers: [{name: main, volumeMounts: [{mountPath: /stepspan, readOnly: true}]}]}}}",
        "{absent: [/metadata/labels/nothing]}",
        "{operations: {min: 1, max: 99}, growth: {max: 9000}, warnings: []}",
    ] {
        assert_eq!(failures(expect), [], "{expect}");
    }
}

/// Expectations that fail: what is told of each, what was expected, what was found.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("{outcome: skipped}", "outcome", "skipped", "injected"),
    ("{reason: no-policy}", "reason", "no-policy", "none"),
    ("{policies: [other]}", "policies", "other", "tried"),
    ("{containers: {main: sidecar}}", "containers.main", "sidecar", "injected"),
    ("{containers: {other: injected}}", "containers.other", "injected", "no such container"),
    ("{values: {repo: other}}", "values.repo", "other", "shop"),
    ("{values: {repo: null}}", "values.repo", "none", "shop"),
    ("{values: {repo: {source: label/repo}}}", "values.repo.source", "label/repo", "parameter/repo"),
    ("{values: {pr: '1'}}", "values.pr", "a value", "no policy that matches has this key"),
    ("{env: {main: {OTEL_SERVICE_NAME: x}}}", "env.main.OTEL_SERVICE_NAME", "x", "agent-steps"),
    ("{env: {main: {OTEL_SERVICE_NAME: {decision: kept}}}}", "env.main.OTEL_SERVICE_NAME", "kept", "added"),
    ("{contains: {metadata: {labels: {repo: x}}}}", "contains.metadata.labels.repo", "x\n", "shop\n"),
    (
        "{contains: {spec: {containers: [{name: gone}]}}}",
        "contains.spec.containers[gone]",
        "name: gone\n",
        "no such element",
    ),
    ("{absent: [/metadata/labels/repo]}", "absent /metadata/labels/repo", "nothing", "shop\n"),
    ("{growth: {max: 10}}", "growth", "at most 10", ""),
    ("{warnings: [x]}", "warnings", "x", ""),
];

#[test]
fn what_does_not_hold_is_told() {
    for (expect, what, expected, found) in WRONG {
        let all = failures(expect);
        assert_eq!(all.len(), 1, "{expect}: {all:?}");
        assert_eq!((all[0].what.as_str(), all[0].expected.as_str()), (*what, *expected), "{expect}");
        assert!(found.is_empty() || all[0].found == *found, "{expect}: {all:?}");
    }
    let pod = failures("{pod: {apiVersion: v1}}");
    assert!(pod[0].expected == "apiVersion: v1\n" && pod[0].found.contains("kind: Pod"));
}

#[test]
fn a_step_has_to_be_named_where_there_are_several() {
    let of = |input: &str| {
        outcomes(&format!("- {{name: x, input: {input}, expect: {{outcome: injected}}}}\n")).0.remove(0).failures
    };
    let found = |input: &str| of(input).first().map(|failure| failure.found.clone()).unwrap_or_default();
    assert_eq!(found("{file: ci.yaml, step: 'ci[0].b'}"), "");
    assert_eq!(found("{file: ci.yaml}"), "there are several steps, and `step` names none: ci[0].a, ci[0].b, ci[0].c");
    assert_eq!(found("{file: ci.yaml, step: z}"), "there is no step \"z\"; there are ci[0].a, ci[0].b, ci[0].c");
    assert!(found("{file: gone.yaml}").contains("no such file or folder"));
    assert_eq!(found("{}"), "an input has either `file` or `manifest`");
    assert!(found("{manifest: {kind: Service, apiVersion: v1}}").starts_with("there is no step in it"));
}

#[test]
fn mistakes_of_a_suite_have_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let of = |cases: &str| suite(folder.path(), cases).unwrap_err();
    let said = of(
        "- {name: a, input: {}, expect: {}}\n- {name: b, input: {}, expect: {outcom: x}}\n- {name: c, input: {}, expect: {reason: x}}\n- {name: c, input: {}, expect: {reason: z}}\n",
    );
    assert_eq!(said[0], "tests.yaml:4: cases[0]: \"a\" expects nothing (`stepspan test --update` writes what is)");
    assert!(said[1].starts_with("tests.yaml:5: cases[1]: unknown field `outcom`"), "{said:?}");
    assert_eq!(said[2], "tests.yaml:7: cases[3]: another case has the name \"c\"");
    fs::write(folder.path().join("other.yaml"), "kind: Pod\n").unwrap();
    assert!(load::load(&folder.path().join("other.yaml"), Expects::Something).is_err());
}

#[test]
fn what_no_case_tries_is_named() {
    let (_, coverage) = outcomes("- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n");
    assert_eq!(coverage.missing().collect::<Vec<_>>(), ["repo: label/repo", "tried: match.when[0] refuses"]);
    let (_, coverage) = outcomes("- {name: x, input: {file: ci.yaml, step: c}, expect: {reason: no-policy}}\n");
    assert_eq!(coverage.missing().collect::<Vec<_>>(), ["tried: match"]);
}

/// A case that expects little still fails where a law does.
#[test]
fn laws_are_looked_at_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let suite =
        suite(folder.path(), "- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n").unwrap();
    let (line, case) = &suite.cases[0];
    let (_, looked) = run::case(&suite, *line, case);
    let mut looked = looked.unwrap();
    looked.after["spec"]["containers"][1]["command"][0] = "/bin/sh".into();
    looked.before["metadata"]["labels"]["kept"] = "yes".into();
    let what: Vec<String> = super::laws::failures(&looked, &suite.policies, &suite.context)
        .into_iter()
        .map(|failure| failure.what)
        .collect();
    assert_eq!(what, ["law: idempotent", "law: prefix of \"main\"", "law: label kept"].map(str::to_owned));
}

/// The text of a suite after an update, and what then does not hold.
fn updated(cases: &str) -> (String, Vec<Failure>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tests.yaml");
    drop(suite(folder.path(), cases));
    let before = fs::read_to_string(&path).unwrap();
    let loaded = load::load(&path, Expects::Anything).unwrap();
    let looked =
        loaded.cases.iter().enumerate().filter_map(|(at, (line, case))| Some((at, run::case(&loaded, *line, case).1?)));
    let (after, _) = update::rewrite(&before, &looked.collect::<Vec<_>>()).unwrap();
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
