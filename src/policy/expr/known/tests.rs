use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use crate::argo::StepPod;
use crate::json::Json;
use crate::policy::expr::{EvalError, Expression, Scope};

fn why(source: &str) -> Option<String> {
    Expression::compile(source).unwrap().never_true()
}

fn places(source: &str) -> Vec<String> {
    Expression::compile(source).unwrap().unguarded().into_iter().map(|(place, _)| place).collect()
}

#[test]
fn what_no_pod_of_argo_can_be_is_told_with_its_reason() {
    for (source, reason) in [
        ("false", "it says `false`"),
        ("pod.kind == 'Deployment'", "`pod.kind` is always \"Pod\", not \"Deployment\""),
        ("pod.kind != 'Pod'", "`pod.kind` is always \"Pod\""),
        ("pod.metadata.labels.pr == 42", "`pod.metadata.labels.pr` is a text, and `==` compares it with a number"),
        (
            "pod.metadata.labels.?repo.orValue('') == 'octo/shop'",
            "`pod.metadata.labels.repo` is the value of a label, which can't be \"octo/shop\"",
        ),
        ("has(pod.status.phase)", "no pod of Argo has `pod.status.phase` when it is admitted"),
        (
            "has(pod.metadata.labels.a) && pod.status.phase == 'Running'",
            "no pod of Argo has `pod.status.phase` when it is admitted",
        ),
        (
            "!('workflows.argoproj.io/workflow' in pod.metadata.labels)",
            "every pod of Argo has `pod.metadata.labels['workflows.argoproj.io/workflow']`",
        ),
        (
            "namespaceName == 'CI_runs'",
            "`namespaceName` is a name of lower-case letters, digits and -, which can't be \"CI_runs\"",
        ),
        (
            "namespaceName.startsWith('ci_')",
            "`namespaceName` is a name of lower-case letters, digits and -, in which \"ci_\" can't stand",
        ),
        (
            "pod.metadata.ownerReferences[0].kind in ['Job', 'CronJob']",
            "`pod.metadata.ownerReferences[0].kind` can be none of the list",
        ),
        ("template in []", "`template` can be none of the list"),
        ("pod.metadata.labels.size > 3", "`pod.metadata.labels.size` is a text, and `>` compares it with a number"),
        ("workflow.status == 'x'", "no pod of Argo has `workflow.status` when it is admitted"),
        ("template", "it is a text, not a condition"),
        ("true ? pod.kind == 'Job' : true", "`pod.kind` is always \"Pod\", not \"Job\""),
        ("!(pod.kind == 'Pod' || template == 'a')", "`pod.kind` is always \"Pod\""),
        ("1 == 2", "`==` compares two constants, and never holds"),
        ("'a' == 'b' || true == false", "`==` compares two constants, and never holds"),
        ("template == 'a' && 2 > 3", "`>` compares two constants, and never holds"),
        ("!(1.5 < 2.5)", "`<` compares two constants, and always holds"),
        (
            "pod.metadata.labels['workflows.argoproj.io/completed'] == 'true'",
            "`pod.metadata.labels['workflows.argoproj.io/completed']` is always \"false\", not \"true\"",
        ),
    ] {
        assert_eq!(why(source).as_deref(), Some(reason), "{source}");
    }
}

#[test]
fn what_cannot_be_at_once_or_be_empty_is_told_too() {
    for (source, reason) in [
        (
            "pod.metadata.labels.a == 'x' && has(inputs.b) && 'y' == pod.metadata.labels.a",
            "`pod.metadata.labels.a` would have to be \"x\" and \"y\" at once",
        ),
        (
            "pod.metadata.labels.?a.orValue('') in ['x', 'y'] && pod.metadata.labels.?a.orValue('') == 'z'",
            "`pod.metadata.labels.a.orValue(\"\")` would have to be one of [\"x\", \"y\"] and \"z\" at once",
        ),
        ("pod.spec.priority == 1 && pod.spec.priority == 2", "`pod.spec.priority` would have to be 1 and 2 at once"),
        ("size(pod.spec.containers) == 0", "`pod.spec.containers` is never empty"),
        ("1 > pod.spec.containers.size()", "`pod.spec.containers` is never empty"),
        ("!(size(pod.metadata.ownerReferences) > 0)", "`pod.metadata.ownerReferences` is never empty"),
        ("size(pod.spec.volumes) < 0", "a size is never below 0"),
        (
            "'bad key!' in pod.metadata.labels",
            "no pod of Argo has `pod.metadata.labels['bad key!']` when it is admitted",
        ),
        (
            "pod.metadata.annotations['a/b/c'] == 'x'",
            "no pod of Argo has `pod.metadata.annotations['a/b/c']` when it is admitted",
        ),
        ("'-a' in namespaceLabels", "no pod of Argo has `namespaceLabels['-a']` when it is admitted"),
    ] {
        assert_eq!(why(source).as_deref(), Some(reason), "{source}");
    }
}

#[test]
fn what_may_be_is_not_told() {
    for source in [
        "true",
        "1 == 1 || 1 == 2",
        "1 < 2",
        "pod.metadata.labels['workflows.argoproj.io/completed'] != 'true'",
        "!('tier' in pod.metadata.labels) || pod.metadata.labels.tier != 'system'",
        "pod.metadata.labels.?tier.orValue('') == 'gold'",
        "pod.kind == 'Job' || template == 'build'",
        "namespaceName in ['CI', 'ci']",
        "pod.spec.containers.exists(c, c.image.startsWith('x'))",
        "pod.spec.?nodeSelector.?disk.orValue('none') == 'ssd'",
        "has(pod.spec.nodeSelector) && pod.spec.priority > 3",
        "size(pod.metadata.labels) == 3",
        "pod.metadata.labels.a == 'x' || pod.metadata.labels.a == 'y'",
        "pod.metadata.labels.a == 'x' && pod.metadata.labels.b == 'y'",
        "pod.metadata.labels.a in ['x', 'y'] && pod.metadata.labels.a == 'y'",
        "pod.metadata.labels.?a.orValue('x') == 'x' && pod.metadata.labels.?a.orValue('y') == 'y'",
        "pod.spec.priority == 1 && pod.spec.priority == 1.0",
        "size(pod.spec.containers) == 1 || size(pod.spec.containers) > 2",
        "size(pod.spec.volumes) == 0",
        "'A.b/c' in pod.metadata.annotations",
        "'a b' in workflow.annotations",
        "(template == 'a' ? 'x' : 'y') == 'x'",
        "inputs.n == '3' && int(inputs.n) > 2",
        "container == '' || container == 'main'",
        "pod.metadata.annotations['a/b'].matches('^[a-z]+$')",
    ] {
        assert_eq!(why(source), None, "{source}");
    }
}

#[test]
fn a_look_up_needs_a_guard_on_either_side() {
    for (source, expected) in [
        ("pod.metadata.labels.tier == 'gold'", vec!["pod.metadata.labels.tier"]),
        ("pod.metadata.labels['a/b'] == 'gold'", vec!["pod.metadata.labels['a/b']"]),
        ("'tier' in pod.metadata.labels && pod.metadata.labels.tier == 'gold'", vec![]),
        ("pod.metadata.labels.tier == 'gold' && has(pod.metadata.labels.tier)", vec![]),
        ("!('tier' in pod.metadata.labels) || pod.metadata.labels.tier != 'system'", vec![]),
        ("'tier' in pod.metadata.labels || pod.metadata.labels.tier != 'system'", vec!["pod.metadata.labels.tier"]),
        ("has(inputs.a) ? inputs.a == 'x' : inputs.b == 'y'", vec![]),
        ("has(inputs.a) ? template == 'x' : inputs.a == 'y'", vec!["inputs.a"]),
        ("pod.metadata.labels.?tier.orValue('') == 'gold'", vec![]),
        ("pod.metadata.labels.?tier.hasValue() && pod.metadata.labels.tier == 'gold'", vec![]),
        ("pod.metadata.labels['workflows.argoproj.io/workflow'] == 'a'", vec![]),
        ("has(pod.spec.nodeSelector.disk)", vec!["pod.spec.nodeSelector"]),
        ("workflow.parameters.pr == '1' || workflow.parameters.pr == '2'", vec!["workflow.parameters.pr"]),
        ("(has(inputs.a) && has(inputs.b)) && inputs.a == inputs.b", vec![]),
        ("(has(inputs.a) || has(inputs.b)) && inputs.a == 'x'", vec!["inputs.a"]),
        ("!(!has(inputs.a) || inputs.a == 'x')", vec![]),
        ("pod.spec.containers[0].image == 'x'", vec![]),
        // The other side decides.
        ("pod.metadata.labels.tier == 'a' || namespaceName == 'ci'", vec![]),
        ("pod.metadata.labels.tier == 'a' || true", vec![]),
        ("!(pod.metadata.labels.tier == 'a' && namespaceName == 'ci')", vec![]),
        ("namespaceName == 'ci' ? pod.metadata.labels.tier == 'a' : true", vec![]),
        ("(pod.metadata.labels.tier == 'a' || template == 'b') && has(inputs.a)", vec![]),
        ("(pod.metadata.labels.tier == 'a' || template == 'b') && inputs.a == 'x'", vec!["inputs.a"]),
        ("pod.metadata.labels.tier == 'a' || has(pod.metadata.labels.tier)", vec!["pod.metadata.labels.tier"]),
        ("pod.metadata.labels.tier == 'a' || pod.kind == 'Job'", vec!["pod.metadata.labels.tier"]),
        ("namespaceName == 'ci' ? pod.metadata.labels.tier == 'a' : false", vec!["pod.metadata.labels.tier"]),
        ("pod.metadata.labels.tier.matches('^a')", vec!["pod.metadata.labels.tier"]),
        ("pod.metadata.labels.tier in ['a', 'b']", vec!["pod.metadata.labels.tier"]),
        ("template in [pod.metadata.labels.tier]", vec!["pod.metadata.labels.tier"]),
        ("pod.spec.initContainers.exists(c, c.name == 'x')", vec!["pod.spec.initContainers"]),
        // On every pod of a step.
        ("pod.metadata.labels['workflows.argoproj.io/completed'] == 'false'", vec![]),
        ("pod.metadata.annotations['workflows.argoproj.io/node-id'] != ''", vec![]),
        ("pod.metadata.annotations['workflows.argoproj.io/node-name'].startsWith('a')", vec![]),
    ] {
        assert_eq!(places(source), expected, "{source}");
    }
    for (source, advice) in [
        ("inputs.a == ''", "write has(inputs.a) && ..., or inputs.?a.orValue('')"),
        ("pod.spec.hostNetwork", "write has(pod.spec.hostNetwork) && ..., or pod.spec.?hostNetwork.orValue(false)"),
        ("pod.spec.priority > 3", "write has(pod.spec.priority) && ..., or pod.spec.?priority.orValue(0)"),
        (
            "size(pod.spec.initContainers) > 0",
            "write has(pod.spec.initContainers) && ..., or pod.spec.?initContainers.orValue([])",
        ),
        (
            "'disk' in pod.spec.nodeSelector",
            "write has(pod.spec.nodeSelector) && ..., or pod.spec.?nodeSelector.orValue({})",
        ),
    ] {
        assert_eq!(Expression::compile(source).unwrap().unguarded()[0].1, advice, "{source}");
    }
}

/// Pods as a real API server showed them to the webhook.
fn recorded() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");
    let mut pods = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let mut review: Value = serde_json::from_str(line).unwrap();
            if review["request"]["kind"]["kind"] == "Pod" {
                let namespace = review["request"]["namespace"].as_str().unwrap().to_owned();
                pods.push((namespace, review["request"]["object"].take()));
            }
        }
    }
    assert!(pods.len() >= 30, "{}", pods.len());
    pods
}

/// Evaluates on every recorded pod that is a step.
fn on_recorded(expression: &Expression, pods: &[(String, Value)], mut check: impl FnMut(Result<bool, EvalError>)) {
    let labels = BTreeMap::from([("team".to_owned(), "build".to_owned())]);
    for (namespace, pod) in pods {
        let raw = Json::from(pod);
        let Some(step) = StepPod::read(&raw, namespace) else { continue };
        let scope = Scope {
            namespace,
            namespace_labels: Some(&labels),
            template: &step.template,
            container: "main",
            ..Scope::of_pod(&raw)
        };
        check(expression.test(&scope));
    }
}

fn expressions() -> impl Strategy<Value = String> {
    let place = prop::sample::select(vec![
        "pod.metadata.labels.repo",
        "pod.metadata.labels['workflows.argoproj.io/workflow']",
        "pod.metadata.labels['workflows.argoproj.io/completed']",
        "pod.metadata.annotations['workflows.argoproj.io/node-name']",
        "pod.metadata.labels.?pr.orValue('')",
        "pod.metadata.ownerReferences[0].kind",
        "pod.metadata.name",
        "pod.metadata.namespace",
        "pod.spec.serviceAccountName",
        "pod.spec.priority",
        "pod.status.phase",
        "pod.kind",
        "namespaceName",
        "namespaceLabels.team",
        "template",
        "container",
        "inputs.msg",
        "workflow.parameters.repo",
        "'shop-api'",
        "'Pod'",
        "'a/b'",
        "'false'",
        "'412'",
        "''",
        "0",
        "7",
        "true",
    ]);
    let compared = (place.clone(), prop::sample::select(vec!["==", "!=", "<", ">="]), place.clone())
        .prop_map(|(a, o, b)| format!("{a} {o} {b}"));
    let part = (place.clone(), prop::sample::select(vec!["startsWith", "contains", "endsWith"]), place.clone())
        .prop_map(|(a, f, b)| format!("({a}).{f}({b})"));
    let presence = prop::sample::select(vec![
        "has(pod.metadata.labels.repo)",
        "has(pod.status.phase)",
        "'pr' in pod.metadata.labels",
        "'workflows.argoproj.io/workflow' in pod.metadata.labels",
        "has(inputs.msg)",
        "has(pod.spec.nodeSelector)",
        "has(pod.metadata.uid)",
    ])
    .prop_map(str::to_owned);
    let among = (place, prop::sample::select(vec!["['Workflow', 'Job']", "['', 'main']", "[]", "[0, 7]"]))
        .prop_map(|(a, list)| format!("{a} in {list}"));
    let leaf = prop_oneof![4 => compared, 1 => part, 2 => presence, 1 => among];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_called_impossible_is_true_on_no_recorded_pod(source in expressions()) {
        thread_local!(static PODS: Vec<(String, Value)> = recorded());
        let Ok(expression) = Expression::compile(&source) else { return Ok(()) };
        if let Some(why) = expression.never_true() {
            PODS.with(|pods| on_recorded(&expression, pods, |found| assert_ne!(found, Ok(true), "{source}: {why}")));
        }
    }

    #[test]
    fn no_recorded_pod_is_taken_that_lacks_a_key_which_is_told(source in expressions()) {
        thread_local!(static PODS: Vec<(String, Value)> = recorded());
        let Ok(expression) = Expression::compile(&source) else { return Ok(()) };
        for (place, _) in expression.unguarded() {
            let there = Expression::compile(&format!("{place} == {place}")).unwrap();
            PODS.with(|pods| {
                let mut lacks = Vec::new();
                on_recorded(&there, pods, |found| lacks.push(found.is_err()));
                let mut lacks = lacks.into_iter();
                on_recorded(&expression, pods, |found| {
                    assert!(lacks.next() == Some(false) || found != Ok(true), "{source}: {place}");
                });
            });
        }
    }
}
