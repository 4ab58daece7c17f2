use serde_json::Value;

use super::{HEAD, found};
use crate::argo::StepPod;
use crate::json::Json;
use crate::lint::conditions::ON_EVERY_POD;
use crate::policy::expr::{Expression, Scope};

const TIER: &str = "pod.metadata.labels.tier != 'system'";

/// How many keys a spec is told to read without asking for them.
fn unguarded(spec: &str) -> usize {
    found(&format!("{HEAD}{spec}")).iter().filter(|(id, _)| *id == "unguarded-key").count()
}

fn when(conditions: &[&str]) -> usize {
    unguarded(&format!("  match: {{when: {conditions:?}}}\n"))
}

#[test]
fn a_key_that_a_selector_asks_for_is_there() {
    let told =
        |selector: &str, condition: &str| unguarded(&format!("  match:\n    {selector}\n    when: [{condition:?}]\n"));
    for selector in [
        "podSelector: {matchLabels: {tier: gold}}",
        "podSelector: {matchExpressions: [{key: tier, operator: Exists}]}",
        "podSelector: {matchExpressions: [{key: tier, operator: In, values: [gold, system]}]}",
    ] {
        assert_eq!(told(selector, TIER), 0, "{selector}");
    }
    for selector in [
        "podSelector: {matchLabels: {team: gold}}",
        "podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [gold]}]}",
        "podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}",
        "namespaceSelector: {matchLabels: {tier: gold}}",
    ] {
        assert_eq!(told(selector, TIER), 1, "{selector}");
    }
    let prefixed = "pod.metadata.labels['a.b/tier'] != 'system'";
    assert_eq!(told("podSelector: {matchLabels: {a.b/tier: gold}}", prefixed), 0);
    assert_eq!(told("podSelector: {matchLabels: {tier: gold}}", prefixed), 1);
    assert_eq!(told("namespaceSelector: {matchLabels: {tier: gold}}", "namespaceLabels.tier != 'system'"), 0);
    assert_eq!(told("podSelector: {matchLabels: {tier: gold}}", "namespaceLabels.tier != 'system'"), 1);
}

#[test]
fn a_condition_guards_those_behind_it_and_the_sources() {
    assert_eq!(when(&["'tier' in pod.metadata.labels", TIER]), 0);
    assert_eq!(when(&["has(pod.metadata.labels.tier)  // asked for", "template == 'a'", TIER]), 0);
    assert_eq!(when(&[TIER, "'tier' in pod.metadata.labels"]), 1);
    assert_eq!(when(&["has(pod.metadata.labels.team)", TIER]), 1);
    assert_eq!(when(&["has(pod.metadata.labels.tier) || template == 'a'", TIER]), 1);
    // Told once: behind the first the key is there.
    assert_eq!(when(&[TIER, "pod.metadata.labels.tier != 'gold'"]), 1);
    let source = |condition: &str| {
        unguarded(&format!(
            "  match: {{when: [{condition:?}]}}\n  correlation: {{a: {{from: [{{cel: pod.metadata.labels.tier}}]}}}}\n"
        ))
    };
    assert_eq!(source("has(pod.metadata.labels.tier)"), 0);
    assert_eq!(source(TIER), 1);
    assert_eq!(source("has(pod.metadata.labels.team)"), 1);
}

#[test]
fn what_every_pod_has_needs_no_guard() {
    for condition in [
        "pod.spec.priority > 3",
        "size(pod.spec.tolerations) > 2",
        "pod.status == {}",
        "pod.metadata.ownerReferences[0].controller",
        "pod.metadata.ownerReferences[0].blockOwnerDeletion",
        "pod.metadata.annotations['kubectl.kubernetes.io/default-container'] == 'main'",
    ] {
        assert_eq!(when(&[condition]), 0, "{condition}");
        // It is for the list of them alone that it is not told.
        assert_eq!(Expression::compile(condition).unwrap().unguarded().len(), 1, "{condition}");
    }
    for condition in ["pod.spec.initContainers.exists(c, c.name == 'x')", "pod.spec.activeDeadlineSeconds > 3"] {
        assert_eq!(when(&[condition]), 1, "{condition}");
    }
}

#[test]
fn what_every_pod_has_all_recorded_pods_have() {
    let conditions: Vec<Expression> = ON_EVERY_POD.iter().map(|text| Expression::compile(text).unwrap()).collect();
    let mut pods = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let review: Value = serde_json::from_str(line).unwrap();
            let request = &review["request"];
            let raw = Json::from(&request["object"]);
            if StepPod::read(&raw, request["namespace"].as_str().unwrap_or_default()).is_none() {
                continue;
            }
            pods += 1;
            for condition in &conditions {
                assert_eq!(condition.test(&Scope::of_pod(&raw)), Ok(true), "{condition:?}");
            }
        }
    }
    assert!(pods >= 30, "{pods}");
}
