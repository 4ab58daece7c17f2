//! What CI systems, shells and kubectl are given: the action's script on a real repository, completions, man pages, the plugin's name.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use stepspan::yaml;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stepspan");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const WORKFLOW: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: ci, namespace: ci, labels: {repo: shop}}\nspec:\n  entrypoint: a\n  \
                        templates:\n  - name: a\n    container: {image: busybox, command: [make]}\n";
const POLICY: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n  match: {namespaces: {include: [ci]}}\n  \
                      correlation: {pr: {from: [{workflowLabel: pr}], required: true}, repo: {from: [{workflowLabel: repo}]}}\n";
const SUITE: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\ncases:\n- name: the step has no pull request\n  input: {file: ../flows/old.yaml}\n  expect: {reason: missing-pr}\n";

/// A repository of one commit, in which everything but its workflow is good.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("policies/policy.yaml", POLICY).write("policies/tests.yaml", SUITE);
        repository.write("flows/old.yaml", WORKFLOW).write("flows/values.yaml", "image: busybox\n");
        repository.commit();
        repository
    }

    fn write(&self, file: &str, text: &str) -> &Self {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "-m", "change"]);
    }

    fn git(&self, args: &[&str]) {
        let done = Command::new("git").current_dir(self.0.path()).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs the action's script; its exit code, what it printed, and its summary.
    fn act(&self, environment: &[(&str, &str)]) -> (i32, String, String) {
        let summary = self.0.path().join(".git/summary.md");
        let mut command = Command::new(Path::new(ROOT).join("scripts/action"));
        command.current_dir(self.0.path()).env("STEPSPAN", PROGRAM).env("POLICIES", "policies");
        command.env("GITHUB_STEP_SUMMARY", &summary).envs(environment.iter().copied());
        let done = command.output().unwrap();
        let text = fs::read_to_string(&summary).unwrap();
        fs::remove_file(summary).unwrap();
        (done.status.code().unwrap(), shown(&done), text)
    }
}

fn shown(done: &Output) -> String {
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn the_action_looks_at_what_changed_alone() {
    let repository = Repository::new();
    let good = WORKFLOW.replace("repo: shop", "repo: shop, pr: \"7\"");
    repository.write("flows/new.yaml", &good).commit();
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

    repository.write("policies/tests.yaml", &SUITE.replace("missing-pr", "opted-out")).commit();
    let (code, out, _) = repository.act(&[]);
    let told = "::error file=policies/tests.yaml,line=4,title=the step has no pull request::reason: expected opted-out";
    assert!(code == 1 && out.contains(told), "{out}");

    repository
        .write("policies/tests.yaml", SUITE)
        .write("policies/policy.yaml", &POLICY.replace("include: [ci]", "include: []"));
    repository.commit();
    let (code, out, _) = repository.act(&[("SARIF", "lint.sarif")]);
    assert!(
        code == 1 && out.contains("::error file=policies/policy.yaml,line=5,title=stepspan unreachable-policy::"),
        "{out}"
    );
    let sarif: Value =
        serde_json::from_str(&fs::read_to_string(repository.0.path().join("lint.sarif")).unwrap()).unwrap();
    let found = &sarif["runs"][0]["results"][0];
    assert_eq!(found["ruleId"], "unreachable-policy");
    assert_eq!(found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "policies/policy.yaml");
    assert_eq!(found["locations"][0]["physicalLocation"]["region"]["startLine"], 5);

    repository.write("policies/policy.yaml", POLICY).write("flows/broken.yaml", "kind: Pod\nspec: [\n").commit();
    let (code, out, _) = repository.act(&[]);
    assert!(code == 2 && out.contains("::error file=flows/broken.yaml,line=") && out.contains("bad-input"), "{out}");
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

#[test]
fn the_documented_configurations_name_commands_that_are_there() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/ci.md")).unwrap();
    let blocks: Vec<Value> = text
        .split("```yaml\n")
        .skip(1)
        .map(|block| yaml::read(block.split("```").next().unwrap(), 1).unwrap())
        .collect();
    let action = yaml::read(&fs::read_to_string(Path::new(ROOT).join("action.yml")).unwrap(), 1).unwrap();
    let uses = &blocks[0]["jobs"]["stepspan"]["steps"][1];
    for (input, _) in uses["with"].as_object().unwrap() {
        assert!(action["inputs"].get(input).is_some(), "{input}");
    }
    let hooks = yaml::read(&fs::read_to_string(Path::new(ROOT).join(".pre-commit-hooks.yaml")).unwrap(), 1).unwrap();
    let mut commands: Vec<&str> =
        hooks.as_array().unwrap().iter().map(|hook| hook["entry"].as_str().unwrap()).collect();
    commands.extend(blocks[1]["stepspan"]["script"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()));
    assert_eq!(commands.len(), 5);
    for command in commands {
        let words: Vec<&str> = command.split(' ').take_while(|word| *word != ">").collect();
        let help = Command::new(PROGRAM).args([words[1], "--help"]).output().unwrap();
        assert!(words[0] == "stepspan" && help.status.success(), "{command}");
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(shown(&help).contains(flag), "{command}: {flag}");
        }
    }
    let ids: Vec<&Value> = hooks.as_array().unwrap().iter().map(|hook| &hook["id"]).collect();
    let named = blocks[2]["repos"][0]["hooks"].as_array().unwrap();
    assert!(named.iter().all(|hook| ids.contains(&&hook["id"])));
}

#[test]
fn bash_completes_with_what_is_printed() {
    let script = r#"source <("$0" completions bash) && COMP_WORDS=(stepspan li) COMP_CWORD=1 && _stepspan stepspan li stepspan && echo "${COMPREPLY[@]}""#;
    let done = Command::new("bash").args(["-c", script, PROGRAM]).output().unwrap();
    assert_eq!(shown(&done).trim(), "lint", "{}", String::from_utf8_lossy(&done.stderr));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let done = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        assert!(done.status.success() && shown(&done).contains("dry-run"), "{shell}");
    }
}

#[test]
fn each_command_has_a_man_page_with_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    assert!(Command::new(PROGRAM).arg("man").arg(&into).status().unwrap().success());
    let help = shown(&Command::new(PROGRAM).arg("--help").output().unwrap());
    let commands =
        help.split("Commands:").nth(1).unwrap().lines().skip(1).map_while(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|name| *name != "help").collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let page = fs::read_to_string(into.join(format!("stepspan-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains("help"), "{command}");
    }
    assert!(fs::read_to_string(into.join("stepspan.1")).unwrap().contains("stepspan"));
}

#[test]
fn under_the_name_of_a_kubectl_plugin_usage_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-stepspan");
    std::os::unix::fs::symlink(PROGRAM, &plugin).unwrap();
    let help = Command::new(&plugin).args(["lint", "--help"]).output().unwrap();
    assert!(shown(&help).contains("Usage: kubectl stepspan lint"), "{}", shown(&help));
    let help = Command::new(PROGRAM).args(["lint", "--help"]).output().unwrap();
    assert!(shown(&help).contains("Usage: stepspan lint"));
}
