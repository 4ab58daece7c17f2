use std::fs;
use std::path::Path;

use super::coverage::Coverage;
use super::load::{self, Expects, Loaded};
use super::{Failure, Outcome, run};

mod hollow;
mod inputs;
mod written;

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
    ("{env: {gone: {NOT_THERE: null}}}", "env.gone", "a container", "no such container"),
    ("{values: {repo: {value: null}}}", "values.repo", "none", "shop"),
    ("{values: {repo: {source: null}}}", "values.repo.source", "none", "parameter/repo"),
    ("{values: {repo: {value: shop, source: null}}}", "values.repo.source", "none", "parameter/repo"),
    ("{policies: []}", "policies", "none", "tried"),
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
    assert!(said[1].starts_with("tests.yaml:5: cases[1].expect.outcom: unknown field `outcom`"), "{said:?}");
    assert_eq!(said[2], "tests.yaml:7: cases[3]: another case has the name \"c\"");
    fs::write(folder.path().join("other.yaml"), "kind: Pod\n").unwrap();
    assert!(load::load(&folder.path().join("other.yaml"), Expects::Something).is_err());
}

#[test]
fn what_no_case_tries_is_named() {
    let (_, coverage) = outcomes("- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n");
    assert_eq!(coverage.missing().collect::<Vec<_>>(), ["tried: match.when[0] refuses", "tried: repo: label/repo"]);
    let (_, coverage) = outcomes("- {name: x, input: {file: ci.yaml, step: c}, expect: {reason: no-policy}}\n");
    let all = ["tried: match", "tried: repo: label/repo", "tried: repo: parameter/repo"];
    assert_eq!(coverage.missing().collect::<Vec<_>>(), all);
    assert_eq!((coverage.count(), coverage.percent()), ((4, 1), 25));
}

/// Two policies with the same key and source: what one gives is nothing tried of the other.
#[test]
fn a_source_is_tried_for_the_policy_that_asks_it() {
    let folder = tempfile::tempdir().unwrap();
    let cases = "- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n";
    drop(suite(folder.path(), cases));
    let other = POLICY
        .replace("name: tried", "name: other")
        .replace("{when: ['template != \"never\"']}", "{templates: [no-such]}");
    fs::write(folder.path().join("policy.yaml"), format!("{POLICY}---\n{other}")).unwrap();
    let suite = load::load(&folder.path().join("tests.yaml"), Expects::Something).unwrap();
    let mut coverage = Coverage::of(&suite.policies);
    let (line, case) = &suite.cases[0];
    coverage.add(&run::case(&suite, *line, case).1.unwrap());
    let missing: Vec<_> = coverage.missing().collect();
    let of_other = ["other: match", "other: repo: label/repo", "other: repo: parameter/repo"];
    assert_eq!(missing[..3], of_other);
    assert_eq!(missing[3..], ["tried: match.when[0] refuses", "tried: repo: label/repo"]);
}

/// Holds a suite whose one case has such an expectation to being refused for it, at its line.
fn refused(folder: &Path, expect: &str, at: &str, message: &str) {
    let case = format!("- name: x\n  input: {{file: ci.yaml, step: a}}\n  expect:\n    {expect}\n");
    let said = suite(folder, &case).unwrap_err();
    assert!(said[0].starts_with(&format!("tests.yaml:7: cases[0].expect.{at}: ")), "{expect}: {said:?}");
    assert!(said.len() == 1 && said[0].contains(message), "{expect}: {said:?}");
}

/// What would hold of any pod is refused, where it stands; numbers and texts that are none are told in words of the file.
#[test]
fn what_says_nothing_or_is_of_no_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (expect, at, message) in [
        ("contains: {}", "contains", "it holds whatever is found"),
        ("contains: {metadata: {labels: {}}}", "contains.metadata.labels", "it holds whatever is found"),
        ("env: {main: {}}", "env", "it holds whatever is found"),
        ("env: {main: {X: null}, wait: {}}", "env.wait", "it holds whatever is found"),
        ("values: {repo: {}}", "values.repo", "it holds whatever is found"),
        ("operations: {}", "operations", "it holds whatever is found"),
        ("absent: [metadata.labels.repo]", "absent[0]", "is written as /metadata/labels/repo"),
        ("absent: [/a, /b~c]", "absent[1]", "no JSON pointer"),
        ("env: {main: {X: {}}}", "env.main.X", "expected a text (numbers in quotes), null, or a map with `decision`"),
        ("env: {main: {X: 1}}", "env.main.X", "expected a text (numbers in quotes)"),
        (
            "values: {repo: {sorce: x}}",
            "values.repo",
            "expected a text (numbers in quotes), null, or a map with `value`",
        ),
        ("operations: many", "operations", "expected a whole number, or a map with `min`"),
        ("warnings: none", "warnings", "expected a list"),
    ] {
        refused(folder.path(), expect, at, message);
    }
    let case = suite(folder.path(), "- {name: x, input: here}\n").unwrap_err();
    assert!(case[0].starts_with("tests.yaml:4: cases[0].input: ") && case[0].ends_with("expected a map"), "{case:?}");
    for (text, message) in [
        ("", "no suite in it"),
        ("kind: PolicyTest\ncases: [\n", ""),
        ("kind: PolicyTest\ncase: []\n", "case: unknown field"),
        ("kind: PolicyTest\nargo: [x]\n", "argo: invalid type"),
    ] {
        fs::write(folder.path().join("tests.yaml"), text).unwrap();
        let said = load::load(&folder.path().join("tests.yaml"), Expects::Something).unwrap_err();
        assert!(said[0].line.is_some() && said[0].message.contains(message), "{said:?}");
        assert!(!said[0].message.contains("struct"), "{said:?}");
    }
}

/// The order of keys is nothing that differs: a diff has the lines that do.
#[test]
fn a_diff_of_a_pod_shows_what_differs_alone() {
    let whole = outcomes("- {name: x, input: {file: ci.yaml, step: a}, expect: {pod: {}}}\n").0.remove(0);
    let mut expected = crate::yaml::read(&whole.failures[0].found, 1).unwrap();
    reverse(&mut expected);
    expected["spec"]["restartPolicy"] = "Sometimes".into();
    let case =
        serde_json::json!([{"name": "x", "input": {"file": "ci.yaml", "step": "a"}, "expect": {"pod": expected}}]);
    let failed = outcomes(&format!("  {case}\n")).0.remove(0).failures.remove(0);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, found) = (lines(&failed.expected), lines(&failed.found));
    assert_eq!(expected.len(), found.len());
    assert_eq!(expected.iter().zip(&found).filter(|(a, b)| a != b).count(), 1, "{failed:?}");
}

fn reverse(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            let mut all: Vec<_> = std::mem::take(fields).into_iter().rev().collect();
            for (_, value) in &mut all {
                reverse(value);
            }
            fields.extend(all);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(reverse),
        _ => {}
    }
}

/// An image is none of ours, whoever changes it.
#[test]
fn a_patch_touches_what_injection_needs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let suite =
        suite(folder.path(), "- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n").unwrap();
    let (line, case) = &suite.cases[0];
    for (path, allowed) in [
        ("/spec/containers/0/image", false),
        ("/spec/containers/0", false),
        ("/spec/containers/0/environment", false),
        ("/spec/containers/0/env/3", true),
        ("/spec/containers/0/volumeMounts", true),
        ("/spec/serviceAccountName", false),
        ("/spec/volumesFrom", false),
        ("/spec/volumes/-", true),
        ("/metadata/labelsets", false),
        ("/metadata/name", false),
        ("/metadata/annotations/a~1b", true),
    ] {
        let mut looked = run::case(&suite, *line, case).1.unwrap();
        looked.reviewed.patch.push(crate::patch::Op::replace(path, serde_json::json!("x")));
        let failures = super::laws::failures(&looked, &suite.policies, &suite.context);
        assert_eq!(failures.is_empty(), allowed, "{path}: {failures:?}");
    }
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
