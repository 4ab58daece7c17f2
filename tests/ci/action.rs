//! The action's script: lint, tests, what a change of policies does, what it hands on.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stepspan::yaml;

use super::ROOT;
use super::repository::{POLICY, Repository, SUITE, WORKFLOW};

#[test]
fn the_action_looks_at_what_changed_alone() {
    let repository = Repository::new();
    let good = WORKFLOW.replace("repo: shop", "repo: shop, pr: \"7\"");
    repository.write("flows/new.yaml", good).commit();
    let (code, out, summary) = repository.act(&[]);
    assert_eq!((code, out.contains("::error")), (0, false), "{out}");
    for part in ["policies: lint: good", "policies: test: good", "1 changed manifests: dry-run: good", "injected"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    repository.write("flows/values.yaml", "image: other\n").commit();
    let (code, _, summary) = repository.act(&[("BASE", "HEAD~1")]);
    assert!(code == 0 && summary.contains("no manifest of a pod or Workflow has changed"), "{summary}");
}

#[test]
fn the_action_annotates_what_is_wrong_and_loses_no_exit_code() {
    let repository = Repository::new();
    // Without anything to compare with, all manifests count: the one of the first commit lacks what is required.
    let (code, out, summary) = repository.act(&[]);
    assert!(code == 1 && out.contains("::error file=flows/old.yaml,line=1,title=stepspan not-injected::"), "{out}");
    assert!(summary.contains("**1 changed manifests: dry-run: found something**"), "{summary}");

    repository.write("policies/team/tests.yaml", SUITE.replace("missing-pr", "opted-out")).commit();
    let (code, out, _) = repository.act(&[]);
    let told =
        "::error file=policies/team/tests.yaml,line=4,title=the step has no pull request::reason: expected opted-out";
    assert!(code == 1 && out.contains(told), "{out}");

    repository
        .write("policies/team/tests.yaml", SUITE)
        .write("policies/team/policy.yaml", POLICY.replace("include: [ci]", "include: []"));
    repository.commit();
    let (code, out, _) = repository.act(&[("SARIF", "lint.sarif")]);
    assert!(
        code == 1
            && out.contains("::error file=policies/team/policy.yaml,line=5,col=24,title=stepspan unreachable-policy::"),
        "{out}"
    );
    let sarif: Value = serde_json::from_str(&repository.read("lint.sarif")).unwrap();
    let found = &sarif["runs"][0]["results"][0];
    assert_eq!(found["ruleId"], "unreachable-policy");
    assert_eq!(found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "policies/team/policy.yaml");
    assert_eq!(found["locations"][0]["physicalLocation"]["region"]["startLine"], 5);

    repository.write("policies/team/policy.yaml", POLICY).write("flows/broken.yaml", "kind: Pod\nspec: [\n").commit();
    let (code, out, _) = repository.act(&[]);
    assert!(code == 2 && out.contains("::error file=flows/broken.yaml,line=") && out.contains("bad-input"), "{out}");
}

#[test]
fn a_change_of_policies_alone_shows_what_becomes_of_each_step() {
    let repository = Repository::new();
    let workflow = WORKFLOW.replace("[make]", r#"["\n````\n::error::text\n"]"#);
    repository.write("flows/old.yaml", workflow).commit();
    repository
        .write("policies/team/policy.yaml", POLICY.replace(", required: true", ""))
        .write("policies/team/tests.yaml", SUITE.replace("reason: missing-pr", "outcome: injected"));
    repository.commit();
    let (code, out, summary) = repository.act(&[]);
    assert_eq!(code, 0, "a difference is no failure: {out}{summary}");
    assert!(summary.contains("- policies: what their change does: 1 changed, 0 the same\n"), "{summary}");
    let block = summary.split("\n`````diff\n--- ci/ci").nth(1).unwrap_or_else(|| panic!("no longer fence: {summary}"));
    let (block, rest) = block.split_once("\n`````\n").unwrap();
    let [old, new] = [0, 1].map(|line| block.lines().nth(line).unwrap());
    assert!(old.contains("missing-pr") && new.starts_with("+++ ci/ci") && new.contains("injected"), "{block}");
    assert!(block.contains("\n+    - /stepspan/stepspan-shim\n") && block.contains("````"), "{block}");
    assert!(rest.contains("no manifest of a pod or Workflow has changed"), "{rest}");
    // The text of a manifest is in the log too, where GitHub's runner must not take it for a command.
    let (before, after) = out.split_once("::error::text").unwrap();
    let token = before.rsplit("::stop-commands::").next().unwrap().lines().next().unwrap();
    assert!(after.contains(&format!("\n::{token}::\n")), "{out}");
}

#[test]
fn policies_that_are_new_or_gone_or_did_not_load_are_compared_with_none() {
    let repository = Repository::new();
    let policies = |text: &str| {
        repository.write("policies/team/policy.yaml", text).write("policies/team/tests.yaml", SUITE).commit();
    };
    let broken = POLICY.replace("spec:", "spek:");
    policies(&broken);
    let (code, _, summary) = repository.act(&[]);
    assert!(code == 2 && summary.contains("or what they are given, do not load**"), "{summary}");
    policies(POLICY);
    let (code, _, summary) = repository.act(&[]);
    let told = "what their change does: 1 changed, 0 the same (the policies before did not load: compared with none)";
    assert!(code == 0 && summary.contains(told), "{summary}");
    repository.remove("policies").commit();
    let (code, _, summary) = repository.act(&[]);
    assert!(code == 2 && summary.contains("what their change does: 1 changed, 0 the same\n"), "{summary}");
    policies(POLICY);
    let (code, _, summary) = repository.act(&[]);
    assert!(code == 0 && summary.contains("1 changed, 0 the same (there was no policy before)"), "{summary}");
    let (code, out, summary) = repository.act(&[("WITH", "templates")]);
    assert_eq!(code, 2, "what cannot be compared is no good news: {out}{summary}");
}

#[test]
fn of_a_difference_too_long_for_a_summary_the_steps_are_shown() {
    let repository = Repository::new();
    for number in 0..80 {
        repository.write(&format!("flows/{number}.yaml"), WORKFLOW.replace("name: ci,", &format!("name: w{number},")));
    }
    repository.commit();
    repository.write("policies/team/policy.yaml", POLICY.replace(", required: true", "")).commit();
    let (_, out, summary) = repository.act(&[]);
    assert!(out.len() > 150_000 && summary.len() < 20_000, "{} of {}", summary.len(), out.len());
    for part in ["81 changed, 0 the same (too much to show", "\n--- ci/w0 ", "\n+++ ci/w79 "] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
}

#[test]
fn no_test_at_all_fails_unless_it_is_said_to_be_meant() {
    let repository = Repository::new();
    repository.remove("policies/team/tests.yaml").commit();
    let (code, out, summary) = repository.act(&[]);
    let told =
        "\n::error file=policies/team/policy.yaml,title=stepspan test::no suite tries this policy: put a tests.yaml";
    assert!(code == 1 && out.contains(told), "{out}");
    assert!(summary.contains("- **policies: test: there is none: put a tests.yaml"), "{summary}");
    let (code, _, summary) = repository.act(&[("TESTS", "optional")]);
    assert!(code == 0 && summary.contains("- policies: test: there is none yet\n"), "{summary}");
    let (code, _, summary) = repository.act(&[("TESTS", "sometimes")]);
    assert!(code == 2 && summary.contains("tests: expected required or optional, found sometimes"), "{summary}");
    let (head, _) = SUITE.split_once("cases:").unwrap();
    repository.write("policies/team/tests.yaml", format!("{head}cases: []\n")).commit();
    let (code, _, summary) = repository.act(&[("TESTS", "optional")]);
    assert!(code > 0 && summary.contains("- **policies: test: "), "a suite without a case is none: {summary}");
}

#[test]
fn each_policy_has_a_suite_beside_it_or_is_told() {
    let repository = Repository::new();
    let policy =
        |name: &str| POLICY.replace("name: p}", &format!("name: {name}}}")).replace("[ci]", &format!("[{name}]"));
    repository.write("policies/other/policy.yaml", policy("other")).write("policies/b, c/b.yml", policy("b"));
    // A suite is for all policies of its folder; inputs are no policies.
    repository.write("policies/team/more.json", yaml::read(&policy("more"), 1).unwrap().to_string());
    repository.write("policies/other/inputs/flow.yaml", WORKFLOW).commit();
    let only = ("MANIFESTS", "flows");
    let (code, out, summary) = repository.act(&[only]);
    assert_eq!((code, out.matches("::error ").count()), (1, 2), "{out}");
    for file in ["policies/other/policy.yaml", "policies/b%2C c/b.yml"] {
        let told = format!("\n::error file={file},title=stepspan test::no suite tries this policy: put a tests.yaml");
        assert!(out.contains(&told), "{file}: {out}");
    }
    let told = "- **policies: test: no suite is beside policies/b, c/b.yml, policies/other/policy.yaml**\n";
    assert!(summary.contains(told), "{summary}");
    let (code, _, summary) = repository.act(&[only, ("TESTS", "optional")]);
    assert!(code == 0 && summary.contains("- policies: test: good\n"), "{summary}");
    let named = "policies/team/policy.yaml\npolicies/other/policy.yaml";
    let (code, _, summary) = repository.act(&[only, ("POLICIES", named)]);
    assert!(code == 1 && summary.contains("no suite is beside policies/other/policy.yaml**"), "{summary}");
}

#[test]
fn a_change_of_policies_is_no_failure_where_each_manifest_is_refused() {
    let repository = Repository::new();
    let inline = "manifest: {apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {name: a, namespace: ci}, spec: {entrypoint: a, \
                  templates: [{name: a, container: {image: busybox, command: [make]}}]}}";
    repository.write("policies/team/tests.yaml", SUITE.replace("file: ../../flows/old.yaml", inline));
    repository.write("flows/old.yaml", "kind: Pod\nspec: [\n").commit();
    repository.write("policies/team/policy.yaml", POLICY.replace("name: p}", "name: other}")).commit();
    let (code, out, summary) = repository.act(&[]);
    assert_eq!((code, out.contains("::error ")), (0, false), "whoever changes the manifest is told: {out}{summary}");
    let line = summary.lines().find(|line| line.contains("what their change does")).unwrap();
    assert!(line.contains(", 1 refused") && out.contains("error: flows/old.yaml:2:7: "), "{summary}{out}");
}

#[test]
fn the_action_takes_a_policy_s_file_and_no_folder_that_is_not_there() {
    let repository = Repository::new();
    repository.write("readme.md", "").commit();
    let (code, out, summary) = repository.act(&[("POLICIES", "policies/team/policy.yaml")]);
    assert!(code == 0 && out.contains("::group::policies: test"), "{out}");
    assert!(summary.contains("policies: test: good"), "{summary}");
    let (code, _, summary) = repository.act(&[("MANIFESTS", "flow")]);
    assert!(code == 2 && summary.contains("manifests: a folder holds no file of this repository"), "{summary}");
    let (code, _, summary) = repository.act(&[("BASE", "gone")]);
    assert!(code == 1 && summary.contains("everything counts as changed: gone is not there"), "{summary}");
}

#[test]
fn the_action_hands_on_every_input_to_a_script_that_is_there() {
    let action = yaml::read(&fs::read_to_string(Path::new(ROOT).join("action.yml")).unwrap(), 1).unwrap();
    let steps = action["runs"]["steps"].as_array().unwrap();
    let all = action["runs"].to_string();
    for (input, described) in action["inputs"].as_object().unwrap() {
        assert!(all.contains(&format!("inputs.{input}")) && described["description"].is_string(), "{input}");
    }
    let script = steps.iter().find_map(|step| step["run"].as_str()?.strip_prefix("\"$GITHUB_ACTION_PATH/")).unwrap();
    let text = fs::read_to_string(Path::new(ROOT).join(script.trim_end_matches('"'))).unwrap();
    for (variable, _) in steps.last().unwrap()["env"].as_object().unwrap() {
        assert!(text.contains(&format!("{variable}:-")) || text.contains(&format!("{variable}-}}")), "{variable}");
    }
}
