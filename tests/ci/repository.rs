//! A repository to try scripts on.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{PROGRAM, ROOT};

/// Without what the policy requires.
pub(super) const WORKFLOW: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: ci, namespace: ci, labels: {repo: shop}}\nspec:\n  entrypoint: a\n  \
                        templates:\n  - name: a\n    container: {image: busybox, command: [make]}\n";
/// Requires a pull request.
pub(super) const POLICY: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n  match: {namespaces: {include: [ci]}}\n  \
                      correlation: {pr: {from: [{workflowLabel: pr}], required: true}, repo: {from: [{workflowLabel: repo}]}}\n";
/// Has the policy do so.
pub(super) const SUITE: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\ncases:\n- name: the step has no pull request\n  input: {file: ../../flows/old.yaml}\n  expect: {reason: missing-pr}\n";

/// Which makes no pod by itself.
pub(super) const TEMPLATE: &str = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: shared, namespace: ci}\nspec:\n  templates:\n  - name: a\n    \
                                   container: {image: busybox, command: [make]}\n";
/// Has a step by that template, and what the policy requires.
pub(super) const USES: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: uses, namespace: ci, labels: {pr: \"7\"}}\nspec:\n  entrypoint: all\n  \
                               templates:\n  - name: all\n    steps: [[{name: s, templateRef: {name: shared, template: a}}]]\n";

/// A repository of one commit, in which everything but its workflow is good. Policies have folders of their own, as `stepspan init` makes them.
pub(super) struct Repository(tempfile::TempDir);

impl Repository {
    pub(super) fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("policies/team/policy.yaml", POLICY).write("policies/team/tests.yaml", SUITE);
        repository.write("flows/old.yaml", WORKFLOW).write("flows/values.yaml", "image: busybox\n");
        repository.commit();
        repository
    }

    pub(super) fn write(&self, file: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(super) fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "-m", "change"]);
    }

    pub(super) fn remove(&self, path: &str) -> &Self {
        self.git(&["rm", "-r", "--quiet", path]);
        self
    }

    /// Runs lines of a shell as GitLab does, with the program on the path; its exit code and what it printed.
    pub(super) fn shell(&self, lines: &str, args: &[&str]) -> (i32, String) {
        let folder = Path::new(PROGRAM).parent().unwrap().display();
        let mut command = Command::new("bash");
        command.current_dir(self.0.path()).args(["-eo", "pipefail", "-c", lines, "shell"]).args(args);
        command.env("PATH", format!("{folder}:{}", env::var("PATH").unwrap()));
        let done = command.env("CI_MERGE_REQUEST_DIFF_BASE_SHA", "HEAD~1").output().unwrap();
        (done.status.code().unwrap(), shown(&done))
    }

    pub(super) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap()
    }

    fn git(&self, args: &[&str]) {
        let done = Command::new("git").current_dir(self.0.path()).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs the action's script; its exit code, what it printed, and its summary.
    pub(super) fn act(&self, environment: &[(&str, &str)]) -> (i32, String, String) {
        self.act_in("", environment)
    }

    /// The same, from a folder.
    pub(super) fn act_in(&self, folder: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
        let summary = self.0.path().join(".git/summary.md");
        let mut command = Command::new(Path::new(ROOT).join("scripts/action"));
        command.current_dir(self.0.path().join(folder)).env("STEPSPAN", PROGRAM).env("POLICIES", "policies");
        command.env("GITHUB_STEP_SUMMARY", &summary).envs(environment.iter().copied());
        let done = command.output().unwrap();
        let text = fs::read_to_string(&summary).unwrap_or_default();
        fs::write(summary, "").unwrap();
        (done.status.code().unwrap(), shown(&done), text)
    }
}

pub(super) fn shown(done: &Output) -> String {
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A text as editors of Windows save it.
pub(super) fn utf_16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}
