//! What a case starts from: files of `with`, namespaces, Lists, AdmissionReviews, contexts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::hollow::BARE;
use super::{POLICY, suite};
use crate::suite::load::{self, Expects, Mistake};
use crate::suite::{Outcome, laws, run, scaffold};

const TEMPLATE: &str = "- apiVersion: argoproj.io/v1alpha1
  kind: WorkflowTemplate
  metadata: {name: shared}
  spec: {templates: [{name: t, container: {image: i, command: [make]}}]}
";
const REFERS: &str = "- apiVersion: argoproj.io/v1alpha1
  kind: Workflow
  metadata: {name: w}
  spec: {entrypoint: m, templates: [{name: m, steps: [[{name: a, templateRef: {name: shared, template: t}}]]}]}
";

fn list(items: &[&str]) -> String {
    format!("apiVersion: v1\nkind: List\nitems:\n{}", items.concat())
}

/// What the cases of a suite come to, with such files beside it.
fn tried(files: &[(&str, &str)], head: &str, cases: &str) -> Result<Vec<Outcome>, Vec<Mistake>> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("policy.yaml", POLICY);
    for (name, text) in files {
        write(name, text);
    }
    write("tests.yaml", &format!("apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\n{head}cases:\n{cases}"));
    let suite = load::load(&folder.path().join("tests.yaml"), Expects::Something)?;
    Ok(suite.cases.iter().map(|(line, case)| run::case(&suite, *line, case).0).collect())
}

/// What is found in place of what the first failure of each case expects; empty where it passes.
fn found(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome.failures.first().map_or("", |failure| failure.found.as_str())).collect()
}

/// A template without a namespace is in that of the input, in a List or not.
#[test]
fn files_of_with_are_in_the_namespace_of_the_input() {
    let elsewhere = REFERS.replace("{name: w}", "{name: w, namespace: other}");
    let [template, refers, elsewhere] = [TEMPLATE, REFERS, elsewhere.as_str()].map(|item| list(&[item]));
    let files = [("shared.yaml", &*template), ("w.yaml", &*refers), ("other.yaml", &*elsewhere)];
    let cases = "- {name: in ci, input: {file: w.yaml, step: a, namespace: ci}, expect: {outcome: injected}}
- {name: in none, input: {file: w.yaml, step: a}, expect: {outcome: injected}}
- {name: in another, input: {file: other.yaml, step: a}, expect: {outcome: injected}}
- {name: there too, input: {file: other.yaml, step: a, namespace: other}, expect: {outcome: injected}}
";
    let outcomes = tried(&files, "with: [shared.yaml]\n", cases).unwrap();
    let found = found(&outcomes);
    assert_eq!([found[0], found[1], found[3]], ["", "", ""]);
    assert!(found[2].ends_with("is not among the given files (`with` of the suite gives more)"), "{found:?}");
}

#[test]
fn items_of_a_list_are_manifests_of_their_own() {
    let both = list(&[REFERS, TEMPLATE]);
    let typed = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowList", "items": [{
        "metadata": {"name": "w"},
        "spec": {"entrypoint": "m", "templates": [{"name": "m", "container": {"image": "i", "command": ["make"]}}]},
    }]});
    let cases = format!(
        "- {{name: file, input: {{file: both.yaml, step: a}}, expect: {{outcome: injected}}}}\n- {{name: inline, input: {{manifest: {typed}}}, expect: {{outcome: injected}}}}\n"
    );
    assert_eq!(found(&tried(&[("both.yaml", both.as_str())], "", &cases).unwrap()), ["", ""]);
    let manifests = load::documents(Path::new("both.yaml"), both.as_bytes()).unwrap();
    let made = scaffold::scaffold(&[("both.yaml".to_owned(), manifests)]).unwrap();
    assert_eq!((made.cases.len(), &made.cases[0]["input"]["step"]), (1, &Value::from("a")));
    let none =
        "- {name: x, input: {manifest: {kind: Service, apiVersion: v1}, step: a}, expect: {outcome: injected}}\n";
    assert!(found(&tried(&[], "", none).unwrap())[0].starts_with("there is no step in it"));
}

/// A suite's own words for what no option of `test` gives, and for `init` its own.
#[test]
fn what_is_missing_is_told_by_where_it_would_be_given() {
    let manifests = load::documents(Path::new("w.yaml"), list(&[REFERS]).as_bytes()).unwrap();
    let refused = scaffold::scaffold(&[("w.yaml".to_owned(), manifests)]).unwrap_err().to_string();
    assert!(refused.ends_with("(--from gives more)"), "{refused}");
}

/// The second look is of the same operation: of what is no creation nothing is patched, in either.
#[test]
fn the_law_of_a_second_look_asks_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let created = suite(folder.path(), "- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n");
    let created = created.unwrap();
    let pod = run::case(&created, 1, &created.cases[0].1).1.unwrap().before;
    let loaded = |operation: &str, expect: Value| {
        let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
        let request = json!({"uid": "u", "kind": kind, "operation": operation, "namespace": "default", "object": pod});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let cases = json!([{"name": "x", "input": {"manifest": review}, "expect": expect}]);
        suite(folder.path(), &format!("  {cases}\n")).unwrap()
    };
    let update = loaded("UPDATE", json!({"outcome": "skipped", "reason": "not-create"}));
    assert_eq!(run::case(&update, 1, &update.cases[0].1).0.failures, []);
    let create = loaded("CREATE", json!({"outcome": "injected"}));
    let (outcome, looked) = run::case(&create, 1, &create.cases[0].1);
    assert_eq!(outcome.failures, []);
    let mut looked = looked.unwrap();
    looked.after = looked.before.clone();
    let failures = laws::failures(&looked, &create.policies, &create.context);
    assert_eq!(failures.iter().map(|failure| &*failure.what).collect::<Vec<_>>(), ["law: idempotent"]);
}

/// A context of a case's own replaces the suite's, and leaves the Namespaces of `with` that it does not name.
#[test]
fn a_case_s_own_context_keeps_the_namespaces_of_with() {
    let policy = POLICY.replace("{when: ['template != \"never\"']}", "{namespaceSelector: {matchLabels: {team: a}}}");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ci, labels: {team: a}}\n";
    let cases = format!(
        "- {{name: suite, input: {{manifest: {BARE}}}, expect: {{outcome: injected}}}}
- {{name: empty, input: {{manifest: {BARE}}}, context: {{}}, expect: {{outcome: injected}}}}
- {{name: another, input: {{manifest: {BARE}}}, context: {{namespaces: {{b: {{team: b}}}}}}, expect: {{outcome: injected}}}}
- {{name: over it, input: {{manifest: {BARE}}}, context: {{namespaces: {{ci: {{team: b}}}}}}, expect: {{reason: no-policy}}}}
"
    );
    let files = [("policy.yaml", policy.as_str()), ("namespace.yaml", namespace)];
    assert_eq!(found(&tried(&files, "with: [namespace.yaml]\n", &cases).unwrap()), [""; 4]);
}

#[test]
fn a_suite_is_one_document() {
    let case = "- {name: x, input: {file: ci.yaml, step: a}, expect: {outcome: injected}}\n";
    let said = tried(&[], "", &format!("{case}---\nkind: PolicyTest\n")).unwrap_err();
    assert!(said[0].line.is_some() && said[0].message.contains("a second document starts here, and a suite is one"));
    assert!(!said[0].message.contains("---"), "{said:?}");
}
