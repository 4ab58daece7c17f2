//! Expectations that would hold whatever is found, and those that only seemed to be about what they name.

use std::fs;

use super::{failures, outcomes, refused, suite};
use crate::suite::Failure;
use crate::suite::load::{self, Expects};

/// A Workflow that says nothing of a repository.
pub(super) const BARE: &str = "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {name: ci, namespace: ci}, spec: {entrypoint: run, templates: [{name: run, container: {image: i, command: [make]}}]}}";

/// A pod that is none of ours.
pub(super) const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {restartPolicy: Never, hostAliases: [{ip: '10.0.0.1'}], containers: [{name: web, image: web, resources: {limits: {example.com/gpu: 1}}, env: [{name: A, value: first}, {name: A, value: second}, {name: S, valueFrom: {secretKeyRef: {name: shop, key: token}}}, {name: U, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}, {name: E}], volumeMounts: [{name: work, mountPath: /a}, {name: work, mountPath: /b, readOnly: true}]}]}}";

fn of(manifest: &str, expect: &str) -> Vec<Failure> {
    outcomes(&format!("- {{name: x, input: {{manifest: {manifest}}}, expect: {expect}}}\n")).0.remove(0).failures
}

#[test]
fn what_would_hold_whatever_is_found_is_a_mistake_at_its_line() {
    const ALWAYS: &str = "it holds whatever is found";
    let folder = tempfile::tempdir().unwrap();
    for (expect, at, message) in [
        ("contains: {spec: {containers: [{name: main, env: []}]}}", "contains.spec.containers[0].env", ALWAYS),
        ("contains: {spec: {restartPolicy: Never, volumes: []}}", "contains.spec.volumes", ALWAYS),
        ("contains: {spec: {volumes: [{name: work, emptyDir: []}]}}", "contains.spec.volumes[0].emptyDir", ALWAYS),
        ("operations: {min: 0}", "operations", ALWAYS),
        ("growth: {min: 0}", "growth", ALWAYS),
        ("growth: {min: 0, max: null}", "growth", "expected a whole number, or a map"),
        ("operations: []", "operations", "expected a whole number, or a map"),
        ("operations: [1, 100]", "operations", "expected a whole number, or a map"),
        ("values: {repo: []}", "values.repo", "null, or a map with `value`"),
        ("values: {repo: [shop]}", "values.repo", "null, or a map with `value`"),
        ("env: {main: {X: [null, added]}}", "env.main.X", "or a map with `decision`"),
        ("env: {main: {X: {decision: added, value: null}}}", "env.main.X", "`value`, a text"),
        (
            "absent: [/metadata/annotations/stepspan.dev/status]",
            "absent[0]",
            "write /metadata/annotations/stepspan.dev~1status",
        ),
        ("absent: [/spec/nodeSelector/kubernetes.io/os]", "absent[0]", "write /spec/nodeSelector/kubernetes.io~1os"),
        ("absent: [/spec/containers/main/env]", "absent[0]", "/spec/containers is a list, and \"main\" no index"),
        ("absent: ['/spec/initContainers/-']", "absent[0]", "\"-\" no index"),
        ("absent: [/spec/containers/01]", "absent[0]", "\"01\" no index"),
        ("absent: [/spec/containers/1/env/X]", "absent[0]", "/spec/containers/1/env is a list"),
    ] {
        refused(folder.path(), expect, at, message);
    }
}

/// A struct would take a list for its fields, in their order.
#[test]
fn a_list_is_no_map() {
    let folder = tempfile::tempdir().unwrap();
    for (case, at) in [
        ("{name: x, input: [ci.yaml], expect: {outcome: injected}}", "cases[0].input"),
        ("{name: x, input: {file: ci.yaml}, expect: [injected]}", "cases[0].expect"),
        ("{name: x, input: {file: ci.yaml}, context: [], expect: {outcome: injected}}", "cases[0].context"),
        ("[x, {file: ci.yaml}, null, {outcome: injected}]", "cases[0]"),
    ] {
        let said = suite(folder.path(), &format!("- {case}\n")).unwrap_err();
        assert_eq!(said, [format!("tests.yaml:4: {at}: invalid type: list, expected a map")], "{case}");
    }
    let text = "apiVersion: stepspan.dev/v1alpha1\nkind: PolicyTest\ncontext: []\ncases: []\n";
    fs::write(folder.path().join("tests.yaml"), text).unwrap();
    let said = load::load(&folder.path().join("tests.yaml"), Expects::Something).unwrap_err();
    assert_eq!((said[0].line, &*said[0].message), (Some(3), "context: invalid type: list, expected a map"));
}

#[test]
fn null_expects_that_no_source_gives_a_value() {
    for expect in ["{source: null}", "{value: null, source: null}", "null"] {
        assert_eq!(of(BARE, &format!("{{values: {{repo: {expect}}}}}")), [], "{expect}");
        assert!(!failures(&format!("{{values: {{repo: {expect}}}}}")).is_empty(), "{expect}");
    }
}

#[test]
fn a_variable_from_elsewhere_is_no_text() {
    for (variable, expected, found) in [
        ("S: ''", "", "from the Secret shop, key token"),
        ("S: null", "none", "from the Secret shop, key token"),
        ("U: x", "x", "from the field metadata.uid"),
    ] {
        let all = of(POD, &format!("{{env: {{web: {{{variable}}}}}}}"));
        assert_eq!(all.len(), 1, "{variable}: {all:?}");
        assert_eq!((&*all[0].expected, &*all[0].found), (expected, found), "{variable}");
    }
    assert_eq!(of(POD, "{env: {web: {A: second, E: '', GONE: null}}}"), []);
    assert_eq!(failures("{env: {main: {STEPSPAN_POD_UID: ''}}}")[0].found, "from the field metadata.uid");
}

/// A volume may be mounted twice, and a variable written twice: the kubelet takes the last.
#[test]
fn of_elements_with_one_name_the_one_that_fits_is_meant() {
    let of_container =
        |part: &str| of(POD, &format!("{{contains: {{spec: {{containers: [{{name: web, {part}}}]}}}}}}"));
    for part in [
        "volumeMounts: [{name: work, mountPath: /a}]",
        "volumeMounts: [{name: work, mountPath: /b}]",
        "volumeMounts: [{name: work, readOnly: true}, {name: work, mountPath: /a}]",
        "env: [{name: A, value: second}]",
    ] {
        assert_eq!(of_container(part), [], "{part}");
    }
    for (part, what, found) in [
        ("env: [{name: A, value: first}]", "env[A].value", "second\n"),
        ("volumeMounts: [{name: work, mountPath: /c}]", "volumeMounts[work].mountPath", "/a\n"),
        ("volumeMounts: [{name: work, mountPath: /a, readOnly: true}]", "volumeMounts[work].readOnly", "nothing"),
    ] {
        let all = of_container(part);
        assert_eq!(all.len(), 1, "{part}: {all:?}");
        let what = format!("contains.spec.containers[web].{what}");
        assert_eq!((&*all[0].what, &*all[0].found), (&*what, found), "{part}");
    }
}

/// That one is empty is no part of it: a volume is of that kind, or is not there.
#[test]
fn an_empty_dir_is_a_part() {
    let pod = POD.replace(
        "restartPolicy: Never",
        "volumes: [{name: work, emptyDir: {sizeLimit: 1Gi}}, {name: c, configMap: {name: c}}]",
    );
    let of_volume =
        |name: &str| of(&pod, &format!("{{contains: {{spec: {{volumes: [{{name: {name}, emptyDir: {{}}}}]}}}}}}"));
    assert_eq!(of_volume("work"), []);
    let all = of_volume("c");
    assert_eq!((all.len(), &*all[0].what, &*all[0].found), (1, "contains.spec.volumes[c].emptyDir", "nothing"));
}

/// What is not known of all pods shows at the pod itself.
#[test]
fn a_pointer_to_nowhere_fails_where_the_pod_shows_it() {
    for (pointer, why) in [
        (
            "/spec/containers/0/resources/limits/example.com/gpu",
            "a / in a key is written ~1: write /spec/containers/0/resources/limits/example.com~1gpu",
        ),
        (
            "/spec/hostAliases/first",
            "/spec/hostAliases is a list, and \"first\" no index into it: its first element is 0",
        ),
        ("/spec/containers/0/image/tag", "/spec/containers/0/image is no map and no list: nothing stands below it"),
    ] {
        let all = of(POD, &format!("{{absent: [{pointer}]}}"));
        assert_eq!(all.len(), 1, "{pointer}: {all:?}");
        assert_eq!((&*all[0].what, &*all[0].found), (&*format!("absent {pointer}"), why));
    }
    assert_eq!(of(POD, "{absent: [/spec/containers/7/image, /spec/nothing/at/all, /metadata/labels/a.b~1c]}"), []);
}
