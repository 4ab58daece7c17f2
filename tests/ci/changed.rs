//! Which manifests the action looks at.

use super::repository::{POLICY, Repository, TEMPLATE, USES, WORKFLOW, utf_16};

/// Refers to the other template, and is referred to.
const BETWEEN: &str = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: between, namespace: ci}\nspec:\n  templates:\n  - name: a\n    \
                       steps: [[{name: s, templateRef: {name: shared, template: a}}]]\n";

/// The template so that no step of it can be injected.
fn spoilt() -> String {
    TEMPLATE.replace("[make]", "[make], args: [\"$(STEPSPAN_CONFIG)\"]")
}

#[test]
fn what_refers_to_a_changed_template_is_looked_at_too() {
    let repository = Repository::new();
    repository.write("flows/tpl.yaml", TEMPLATE).write("flows/between.yaml", BETWEEN);
    repository.write("flows/uses.yaml", USES.replace("name: shared", "name: between")).commit();
    repository.write("flows/tpl.yaml", spoilt()).commit();
    let (code, out, summary) = repository.act(&[]);
    let told = "::error file=flows/uses.yaml,line=1,title=stepspan not-injected::";
    assert!(code == 1 && out.contains(told), "{out}");
    let told = "**1 changed manifests, 2 because of changed templates: dry-run: found something**";
    assert!(summary.contains(told), "{summary}");

    repository.remove("flows/tpl.yaml").commit();
    let (code, out, summary) = repository.act(&[]);
    let told = "**0 changed manifests, 2 because of changed templates: dry-run: bad input**";
    assert!(code == 2 && summary.contains(told), "{summary}");
    assert!(
        out.contains("::error file=flows/uses.yaml,") && out.contains("shared is not among the given files"),
        "{out}"
    );
}

#[test]
fn a_template_that_is_given_from_elsewhere_counts_as_one_that_is_not() {
    let repository = Repository::new();
    repository.write("templates/deep/tpl.yaml", TEMPLATE).write("flows/uses.yaml", USES).commit();
    let environment = [("MANIFESTS", "flows"), ("WITH", "templates")];
    let (code, _, summary) = repository.act(&environment);
    assert!(code == 0 && summary.contains("- 1 changed manifests: dry-run: good\n"), "{summary}");
    repository.write("templates/deep/tpl.yaml", spoilt()).commit();
    let (code, _, summary) = repository.act(&environment);
    let told = "**0 changed manifests, 1 because of changed templates: dry-run: found something**";
    assert!(code == 1 && summary.contains(told), "{summary}");
}

#[test]
fn a_changed_workflow_may_refer_to_templates_that_did_not_change() {
    let repository = Repository::new();
    repository.write("flows/deep/tpl.yaml", TEMPLATE).write("flows/uses.yaml", USES);
    // Of one that cannot be read there is no word until somebody changes it.
    repository.write("flows/broken.yaml", "kind: WorkflowTemplate\nspec: [\n").commit();
    repository.write("flows/uses.yaml", USES.replace('7', "8")).commit();
    for (variable, value) in
        [("WITH", ""), ("WITH", "flows/deep/tpl.yaml"), ("WITH", "flows/deep"), ("MANIFESTS", "flows")]
    {
        let (code, out, summary) = repository.act(&[(variable, value)]);
        assert_eq!((code, out.contains("::error ")), (0, false), "{variable}={value}: {out}");
        assert!(summary.contains("- 1 changed manifests: dry-run: good\n"), "{variable}={value}: {summary}");
    }
}

#[test]
fn whatever_holds_a_workflow_or_means_to_is_looked_at() {
    let repository = Repository::new();
    let files = [
        ("wide.yaml", utf_16(WORKFLOW), 2),
        ("beside-a-policy.yaml", format!("{}---\n{WORKFLOW}", POLICY.replace("name: p}", "name: q}")).into_bytes(), 1),
        ("next-line.yaml", "kind:\n  Workflow\napiVersion:\n  argoproj.io/v1alpha1\nspec: [\n".into(), 2),
        ("a-list.json", br#"{"apiVersion": "v1", "items": [{,}], "kind": "List"}"#.into(), 2),
        ("indented.yaml", format!("  {}{{", WORKFLOW.replace('\n', "\n  ")).into_bytes(), 2),
        ("behind-others.yaml", format!("image: busybox\n---\n{WORKFLOW}").into_bytes(), 2),
        ("no-version.yaml", "kind: Workflow\nmetadata: {name: a}\n".into(), 2),
    ];
    for (name, text, exit) in files {
        let file = format!("flows/{name}");
        repository.write(&file, text).commit();
        let (code, out, summary) = repository.act(&[]);
        assert!(summary.contains("- **1 changed manifests: dry-run: "), "{name}: {summary}");
        assert!(code == exit && out.contains(&format!("::error file={file},line=")), "{name}: {out}");
    }
}

#[test]
fn what_others_review_is_passed_over() {
    let repository = Repository::new();
    let application =
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec: {project: shop}\n";
    let action = "on: push\njobs:\n  a:\n    steps:\n    - run: |\n        kubectl create -f - <<END\n        apiVersion: argoproj.io/v1alpha1\n        kind: Workflow\n        END\n";
    let files = [
        ("application.yaml", application.as_bytes().to_vec()),
        ("application-of-helm.yaml", application.replace("shop", "{{ .Values.project }}").into_bytes()),
        ("action.yaml", action.into()),
        (
            "deployments.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n"
                .into(),
        ),
        (
            "openapi.json",
            br#"{"definitions": {"a": {"x-kinds": [{"group": "", "kind": "Pod", "version": "v1"}]}}}"#.into(),
        ),
        ("elsewhere.yaml", "apiVersion: example.com/v1\nkind: Workflow\nmetadata: {name: a}\n".into()),
        ("values-of-windows.yaml", utf_16("image: busybox\n")),
    ];
    for (name, text) in files {
        repository.write(&format!("flows/{name}"), text).commit();
        let (code, out, summary) = repository.act(&[]);
        assert_eq!((code, out.contains("::error ")), (0, false), "{name}: {out}");
        assert!(summary.contains("- no manifest of a pod or Workflow has changed\n"), "{name}: {summary}");
    }
}

#[test]
fn the_script_can_be_run_in_a_folder_of_the_repository() {
    let repository = Repository::new();
    for (file, text) in
        [("policies/team/policy.yaml", POLICY), ("flows/old.yaml", WORKFLOW), ("flows/tpl.yaml", TEMPLATE)]
    {
        repository.write(&format!("shop/{file}"), text);
    }
    repository.write("shop/flows/uses.yaml", USES).commit();
    repository.write("shop/flows/tpl.yaml", spoilt()).commit();
    let (code, out, summary) = repository.act_in("shop", &[("TESTS", "optional")]);
    let told = "::error file=flows/uses.yaml,line=1,title=stepspan not-injected::";
    assert!(code == 1 && out.contains(told), "{out}{summary}");
    assert!(summary.contains("1 changed manifests, 1 because of changed templates: dry-run"), "{summary}");
}
