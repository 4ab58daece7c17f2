//! What CI systems, shells and kubectl are given: the action's script on a real repository, completions, man pages, the plugin's name.

use std::env;
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
const SUITE: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\ncases:\n- name: the step has no pull request\n  input: {file: ../../flows/old.yaml}\n  expect: {reason: missing-pr}\n";

/// A repository of one commit, in which everything but its workflow is good. Policies have folders of their own, as `stepspan init` makes them.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("policies/team/policy.yaml", POLICY).write("policies/team/tests.yaml", SUITE);
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

    fn remove(&self, path: &str) -> &Self {
        self.git(&["rm", "-r", "--quiet", path]);
        self
    }

    /// Runs lines of a shell as GitLab does, with the program on the path; its exit code and what it printed.
    fn shell(&self, lines: &str, args: &[&str]) -> (i32, String) {
        let folder = Path::new(PROGRAM).parent().unwrap().display();
        let mut command = Command::new("bash");
        command.current_dir(self.0.path()).args(["-eo", "pipefail", "-c", lines, "shell"]).args(args);
        command.env("PATH", format!("{folder}:{}", env::var("PATH").unwrap()));
        let done = command.env("CI_MERGE_REQUEST_DIFF_BASE_SHA", "HEAD~1").output().unwrap();
        (done.status.code().unwrap(), shown(&done))
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap()
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

    repository.write("policies/team/tests.yaml", &SUITE.replace("missing-pr", "opted-out")).commit();
    let (code, out, _) = repository.act(&[]);
    let told =
        "::error file=policies/team/tests.yaml,line=4,title=the step has no pull request::reason: expected opted-out";
    assert!(code == 1 && out.contains(told), "{out}");

    repository
        .write("policies/team/tests.yaml", SUITE)
        .write("policies/team/policy.yaml", &POLICY.replace("include: [ci]", "include: []"));
    repository.commit();
    let (code, out, _) = repository.act(&[("SARIF", "lint.sarif")]);
    assert!(
        code == 1
            && out.contains("::error file=policies/team/policy.yaml,line=5,col=24,title=stepspan unreachable-policy::"),
        "{out}"
    );
    let sarif: Value =
        serde_json::from_str(&fs::read_to_string(repository.0.path().join("lint.sarif")).unwrap()).unwrap();
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
    repository.write("flows/old.yaml", &workflow).commit();
    repository
        .write("policies/team/policy.yaml", &POLICY.replace(", required: true", ""))
        .write("policies/team/tests.yaml", &SUITE.replace("reason: missing-pr", "outcome: injected"));
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
    let token = before.split("::stop-commands::").nth(1).unwrap().lines().next().unwrap();
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
        repository.write(&format!("flows/{number}.yaml"), &WORKFLOW.replace("name: ci,", &format!("name: w{number},")));
    }
    repository.commit();
    repository.write("policies/team/policy.yaml", &POLICY.replace(", required: true", "")).commit();
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
    assert!(code == 1 && out.contains("\n::error title=stepspan test::there is none: put a tests.yaml"), "{out}");
    assert!(summary.contains("- **policies: test: there is none: put a tests.yaml"), "{summary}");
    let (code, _, summary) = repository.act(&[("TESTS", "optional")]);
    assert!(code == 0 && summary.contains("- policies: test: there is none yet\n"), "{summary}");
    let (code, _, summary) = repository.act(&[("TESTS", "sometimes")]);
    assert!(code == 2 && summary.contains("tests: expected required or optional, found sometimes"), "{summary}");
    let (head, _) = SUITE.split_once("cases:").unwrap();
    repository.write("policies/team/tests.yaml", &format!("{head}cases: []\n")).commit();
    let (code, _, summary) = repository.act(&[("TESTS", "optional")]);
    assert!(code > 0 && summary.contains("- **policies: test: "), "a suite without a case is none: {summary}");
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
    assert_eq!(strings(&job["script"]).iter().map(|line| calls(line, "stepspan", PROGRAM)).sum::<usize>(), 4);
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
    repository.write("workflows/a.yaml", WORKFLOW).write("workflows/b.yaml", &good.replace("name: ci,", "name: b,"));
    repository.write("templates/limits.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: limits}\n").commit();
    repository.write("policies/team/policy.yaml", &POLICY.replace(", required: true", "")).commit();
    let (code, out) = repository.shell(&script, &[]);
    assert!(code == 1 && repository.read("suites.xml").contains("<failure"), "{out}");
    assert!(repository.read("steps.xml").contains("<testcase"), "the line behind a failing one is run: {out}");
    assert!(repository.read("policies.diff").contains("missing-pr"), "{out}");
    let artifacts = &job["artifacts"];
    assert_eq!(strings(&artifacts["reports"]["junit"]), ["suites.xml", "steps.xml"]);
    assert_eq!((artifacts["when"].as_str(), strings(&artifacts["paths"])), (Some("always"), vec!["policies.diff"]));

    repository.write("policies/team/tests.yaml", &SUITE.replace("reason: missing-pr", "outcome: injected"));
    let (code, out) = repository.shell(&script, &[]);
    assert_eq!(code, 0, "a difference is no failure: {out}");
}

#[test]
fn the_hook_lints_whatever_holds_a_policy_and_nothing_else() {
    let hooks = parsed(".pre-commit-hooks.yaml");
    let entry = format!("{} \"$@\"", hooks[0]["entry"].as_str().unwrap());
    let repository = Repository::new();
    let unreachable = POLICY.replace("include: [ci]", "include: []");
    let other = POLICY.replace("name: p}", "name: q}").replace("include: [ci]", "include: [build]");
    repository.write("policies/team.yaml", &unreachable).write("a b.yml", &other);
    repository.write("p.json", &yaml::read(&unreachable, 1).unwrap().to_string());
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
