//! What the action cannot do is told by an annotation, with the reason.

use super::repository::{POLICY, Repository};

#[test]
fn whatever_fails_is_an_annotation_with_its_reason() {
    let repository = Repository::new();
    repository.write("policies/team/policy.yaml", POLICY.replace("{namespaces: {include: [ci]}}", "{}"));
    repository.write("empty/readme.md", "").write("broken/a.yaml", "a: [\n").commit();
    let cases = [
        (2, "WITH", "nothere", "bad-input::with: --with nothere: No such file"),
        (2, "WITH", "empty", "bad-input::with: empty holds no *.yaml, *.yml or *.json"),
        (2, "WITH", "broken", "bad-input::with: --with broken/a.yaml: "),
        (2, "SARIF", "nothere/lint.sarif", "bad-input::sarif: tee: nothere/lint.sarif: No such file"),
        (2, "SARIF", "/dev/full", "bad-input::sarif: tee: /dev/full: No space left"),
        (2, "POLICIES", "nothere", "bad-input::policies: lint: nothere: cannot read"),
        (2, "FAIL_ON", "anything", "bad-input::policies: lint: invalid value 'anything'"),
        (2, "MANIFESTS", "nothere", "bad-input::manifests: a folder holds no file of this repository"),
        (2, "TESTS", "sometimes", "bad-input::tests: expected required or optional"),
        (2, "STEPSPAN", "nothere", "bad-input::nothere cannot be run: "),
        (
            2,
            "GITHUB_STEP_SUMMARY",
            "nothere/summary.md",
            "bad-input::nothere/summary.md: the summary cannot be written",
        ),
        // What is found is a warning, which fails no check by itself.
        (1, "FAIL_ON", "warning", "found::policies: lint: 1 policy: 0 errors, 1 warning"),
    ];
    for (exit, variable, value, told) in cases {
        let (code, out, summary) = repository.act(&[("MANIFESTS", "flows"), (variable, value)]);
        assert!(out.contains(&format!("::error title=stepspan {told}")), "{variable}={value}: {out}{summary}");
        assert_eq!(code, exit, "{variable}={value}: {out}");
    }
}

#[test]
fn a_program_that_falls_over_is_bad_input() {
    let repository = Repository::new();
    // A program that has a version, and refuses all else in its own way.
    let (code, out, _) = repository.act(&[("STEPSPAN", "timeout"), ("MANIFESTS", "flows/old.yaml"), ("BASE", "gone")]);
    for part in ["policies: lint", "policies: test", "1 changed manifests: dry-run"] {
        let told = format!("::error title=stepspan bad-input::{part}: timeout: invalid time interval");
        assert!(out.contains(&told), "{part}: {out}");
    }
    assert!(code == 2 && out.contains("%0Ait ended with 125\n"), "{out}");
}

#[test]
fn without_a_policy_there_is_no_sarif() {
    let repository = Repository::new();
    let (code, out, _) =
        repository.act(&[("POLICIES", ""), ("SARIF", "lint.sarif"), ("MANIFESTS", "flows/values.yaml")]);
    assert!(
        code == 2 && out.contains("::error title=stepspan bad-input::sarif: the built-in policy is not linted"),
        "{out}"
    );
}
