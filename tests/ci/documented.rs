//! What docs/ci.md and .pre-commit-hooks.yaml say, run.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stepspan::yaml;

use super::repository::{POLICY, Repository, SUITE, TEMPLATE, USES, WORKFLOW, shown, utf_16};
use super::{PROGRAM, ROOT};

/// A YAML file of this repository.
fn parsed(file: &str) -> Value {
    yaml::read(&fs::read_to_string(Path::new(ROOT).join(file)).unwrap(), 1).unwrap()
}

/// The examples in docs/ci.md: the workflow, the job of GitLab, the hooks.
fn documented() -> Vec<Value> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/ci.md")).unwrap();
    text.split("```yaml\n").skip(1).map(|block| yaml::read(block.split("```").next().unwrap(), 1).unwrap()).collect()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// Asserts that each call of a program in a line of a shell names a command and options that are there; how many calls there are.
fn calls(line: &str, program: &str, path: &str) -> usize {
    let pieces = line.split(['|', '&', ';']).map(|piece| piece.trim().trim_start_matches("exec "));
    let calls: Vec<Vec<&str>> = pieces
        .map(|piece| piece.split_whitespace().collect())
        .filter(|words: &Vec<&str>| words[..].first() == Some(&program))
        .collect();
    for words in &calls {
        let help =
            Command::new(path).args([words[1], if program == "cargo" { "-h" } else { "--help" }]).output().unwrap();
        assert!(help.status.success(), "{line}");
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(shown(&help).contains(flag), "{line}: {flag}");
        }
    }
    calls.len()
}

#[test]
fn the_documented_configurations_name_commands_that_are_there() {
    let blocks = documented();
    let action = parsed("action.yml");
    let uses = &blocks[0]["jobs"]["stepspan"]["steps"][1];
    for (input, _) in uses["with"].as_object().unwrap() {
        assert!(action["inputs"].get(input).is_some(), "{input}");
    }
    let job = &blocks[1]["stepspan"];
    assert_eq!(strings(&job["script"]).iter().map(|line| calls(line, "stepspan", PROGRAM)).sum::<usize>(), 5);
    // The image has Rust alone, so the job has to install the program first.
    let install = strings(&job["before_script"])[0];
    assert!(install.starts_with("cargo install ") && calls(install, "cargo", env!("CARGO")) == 1, "{install}");
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    assert!(install.contains("--features cli ") && manifest.contains("\ncli = ["), "{install}");

    let hooks = parsed(".pre-commit-hooks.yaml");
    let hooks = hooks.as_array().unwrap();
    for hook in hooks {
        assert_eq!(calls(hook["entry"].as_str().unwrap(), "stepspan", PROGRAM), 1, "{hook}");
        assert_eq!(strings(&hook["types_or"]), ["yaml", "json"], "policies and inputs are either");
    }
    let named = blocks[2]["repos"][0]["hooks"].as_array().unwrap();
    assert!(named.iter().all(|named| hooks.iter().any(|hook| hook["id"] == named["id"])));
}

#[test]
fn the_job_of_gitlab_leaves_all_reports_whatever_fails() {
    let job = &documented()[1]["stepspan"];
    let script = strings(&job["script"]).join("\n");
    let repository = Repository::new();
    let good = WORKFLOW.replace("repo: shop", "repo: shop, pr: \"7\"");
    repository.write("workflows/a.yaml", WORKFLOW).write("workflows/b.yaml", good.replace("name: ci,", "name: b,"));
    repository.write("templates/limits.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: limits}\n").commit();
    repository.write("policies/team/policy.yaml", POLICY.replace(", required: true", "")).commit();
    let (code, out) = repository.shell(&script, &[]);
    assert!(code == 1 && repository.read("suites.xml").contains("<failure"), "{out}");
    assert!(repository.read("steps.xml").contains("<testcase"), "the line behind a failing one is run: {out}");
    assert!(repository.read("policies.diff").contains("missing-pr"), "{out}");
    let artifacts = &job["artifacts"];
    assert_eq!(strings(&artifacts["reports"]["junit"]), ["suites.xml", "steps.xml"]);
    assert_eq!((artifacts["when"].as_str(), strings(&artifacts["paths"])), (Some("always"), vec!["policies.diff"]));

    repository.write("policies/team/tests.yaml", SUITE.replace("reason: missing-pr", "outcome: injected"));
    let (code, out) = repository.shell(&script, &[]);
    assert_eq!(code, 0, "a difference is no failure: {out}");
}

#[test]
fn the_job_of_gitlab_looks_into_folders_and_takes_a_base_that_does_not_load() {
    let script = strings(&documented()[1]["stepspan"]["script"]).join("\n");
    let repository = Repository::new();
    let suite = SUITE.replace("../../flows/old.yaml", "../../workflows/deep/er/a.yml");
    repository
        .write("policies/team/tests.yaml", suite)
        .write("policies/team/policy.yaml", POLICY.replace("spec:", "spek:"));
    let deep = "workflows/deep/er/a.yml";
    repository
        .write(deep, WORKFLOW)
        .write("templates/deep/t.yaml", TEMPLATE)
        .write("workflows/uses.yaml", USES)
        .commit();
    repository.write("policies/team/policy.yaml", POLICY).commit();
    let (code, out) = repository.shell(&script, &[]);
    let steps = repository.read("steps.xml");
    assert!(code == 1 && steps.contains(deep) && steps.contains("missing-pr"), "{out}{steps}");
    assert!(repository.read("policies.diff").contains("+++ ci/uses"), "compared with none: {out}");

    repository.write(deep, WORKFLOW.replace("repo: shop", "repo: shop, pr: \"7\""));
    let (code, out) = repository.shell(&script, &[]);
    assert_eq!(code, 1, "the suite no longer holds: {out}");
    let suite = repository.read("policies/team/tests.yaml").replace("reason: missing-pr", "outcome: injected");
    let (code, out) = repository.write("policies/team/tests.yaml", suite).shell(&script, &[]);
    assert_eq!(code, 0, "a base that does not load is no failure: {out}");
}

#[test]
fn the_hook_lints_whatever_holds_a_policy_and_nothing_else() {
    let hooks = parsed(".pre-commit-hooks.yaml");
    let entry = format!("{} \"$@\"", hooks[0]["entry"].as_str().unwrap());
    let repository = Repository::new();
    let unreachable = POLICY.replace("include: [ci]", "include: []");
    let other = POLICY.replace("name: p}", "name: q}").replace("include: [ci]", "include: [build]");
    repository.write("policies/team.yaml", &unreachable).write("a b.yml", other);
    repository.write("p.json", yaml::read(&unreachable, 1).unwrap().to_string());
    let others = ["flows/old.yaml", "flows/values.yaml", "policies/team/tests.yaml"];
    assert_eq!(repository.shell(&entry, &others), (0, String::new()));
    let (code, out) = repository.shell(&entry, &[&others[..], &["a b.yml", "policies/team/policy.yaml"]].concat());
    assert_eq!(code, 0, "{out}");
    for policy in ["policies/team.yaml", "p.json"] {
        let (code, out) = repository.shell(&entry, &["--fail-on", "error", "flows/values.yaml", policy]);
        assert!(code == 1 && out.contains(policy) && !out.contains("values.yaml"), "{out}");
    }
}

#[test]
fn the_hook_is_not_green_on_a_policy_that_is_hard_to_recognise() {
    let hooks = parsed(".pre-commit-hooks.yaml");
    let entry = format!("{} \"$@\"", hooks[0]["entry"].as_str().unwrap());
    let repository = Repository::new();
    let misspelt = POLICY.replace("InjectionPolicy", "InjectonPolicy");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", misspelt.trim_end().replace('\n', "\n  "));
    let policies = [
        ("misspelt.yaml", misspelt.clone()),
        ("misspelt.json", serde_json::to_string_pretty(&yaml::read(&misspelt, 1).unwrap()).unwrap()),
        ("other-version.yaml", POLICY.replace("stepspan.dev/", "stepspan.example/")),
        ("next-line.yaml", POLICY.replace("kind: ", "kind:\n  ").replace("spec:", "spek:")),
        ("list.yaml", list),
    ];
    for (file, text) in policies {
        let (code, out) = repository.write(file, text).shell(&entry, &["flows/values.yaml", file]);
        assert!(code == 1 && out.contains(file), "{file}: {out}");
    }
    let (code, _) = repository.write("wide.yaml", utf_16(POLICY)).shell(&entry, &["wide.yaml"]);
    assert_eq!(code, 2);
    let others = [
        ("flow.yaml", WORKFLOW.replace("repo: shop", "repo: shop, stepspan.dev/agent: a")),
        ("suite.yaml", SUITE.to_owned()),
        ("crd.yaml", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec:\n  names:\n    kind: InjectionPolicy\n".to_owned()),
    ];
    for (file, text) in others {
        assert_eq!(repository.write(file, text).shell(&entry, &[file]), (0, String::new()), "{file}");
    }
}
