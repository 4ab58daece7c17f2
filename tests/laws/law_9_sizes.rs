//! Law 9, sizes: at most 3 KiB a step container and 4 KiB a pod beyond the correlation values.
//!
//! Growth is the difference of the texts `{metadata, spec}` before and after. Not counted are, once for each place they stand in,
//! correlation values (in labels, annotations and the configuration, as escaped there), and what the policy itself spells out:
//! `env.set`, `labels`, `annotations`, `headersFrom` and `caBundle`. What is removed from a pod does not make room.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::law_9_values::config;
use crate::case::{Case, list, shimmed, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;

const CONTAINER: usize = 3 * 1024;
const POD: usize = 4 * 1024;

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn growth_is_bounded(bytes in rows()) {
        bounded(&Case::of(&bytes));
    }

    #[test]
    fn growth_is_bounded_under_the_embedded_policy(bytes in rows()) {
        let case = Case { policies: Vec::new(), ..Case::of(&bytes) };
        bounded(&case);
    }

    #[test]
    fn every_value_written_is_cut(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        let old = case.pod["metadata"]["annotations"].clone();
        for (key, value) in after["metadata"]["annotations"].as_object().into_iter().flatten() {
            let written = value.as_str().unwrap();
            let ours = old.get(key) != Some(value) && key != "stepspan.dev/ca-bundle";
            prop_assert!(!ours || (written.len() <= 1024 && !written.chars().any(char::is_control)), "{key}: {written}");
        }
        for i in shimmed(&case.pod, &after) {
            let config = config(&after["spec"]["containers"][i]);
            for (key, value) in &config.attributes {
                prop_assert!(value.len() <= 256 && !value.chars().any(char::is_control), "{key}: {value}");
            }
        }
    }
}

#[test]
fn recorded_pods_grow_little() {
    for (name, pod) in recorded() {
        let grown = bounded(&Case::plain(pod));
        println!("{name}: {grown:?}");
    }
}

/// A member's step name is cut as a whole.
#[test]
fn a_long_step_name_of_a_member_is_cut() {
    let mut pod = recorded().into_iter().find(|(name, _)| *name == "container-set-3.7").unwrap().1;
    pod["metadata"]["annotations"]["note"] = json!("n".repeat(2_000));
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
        "spec": {"correlation": {"stepName": {"from": [{"annotation": "note"}]}}}});
    let case = Case { policies: vec![policy], ..Case::plain(pod) };
    let after = case.run().after;
    for i in [1, 2, 3] {
        let container = &after["spec"]["containers"][i];
        let config = config(container);
        let (_, step) = config.attributes.iter().find(|(k, _)| k == "stepName").unwrap();
        assert_eq!(step.len(), 256);
        assert!(step.ends_with(&format!(".{}", text(container, "name"))));
    }
}

/// Growth of each step container, then of the pod's rest.
fn bounded(case: &Case) -> (Vec<usize>, usize) {
    let outcome = case.run();
    let values = &outcome.reviewed.decision.values;
    let spelled = spelled_out(case);
    let mut grown = Vec::new();
    for i in shimmed(&case.pod, &outcome.after) {
        let (before, after) = (&case.pod["spec"]["containers"][i], &outcome.after["spec"]["containers"][i]);
        let config = config(after);
        let carried: usize = config.attributes.iter().map(|(_, v)| 2 * json!(v).to_string().len()).sum();
        let removed = |e: &&Value| text(e, "name").starts_with("STEPSPAN_");
        let gone: usize = list(before, "env").iter().filter(removed).map(|e| e.to_string().len()).sum();
        let growth = (after.to_string().len() + gone).saturating_sub(before.to_string().len() + carried + spelled);
        assert!(growth <= CONTAINER, "{} grew by {growth}", text(after, "name"));
        grown.push(growth);
    }
    let mut rest = 0;
    for field in ["labels", "annotations"] {
        let old = &case.pod["metadata"][field];
        for (key, value) in outcome.after["metadata"][field].as_object().into_iter().flatten() {
            let correlated = values.iter().any(|v| {
                let name = key.strip_prefix("stepspan.dev/").or(key.strip_prefix("acme.io/")).unwrap_or(key);
                name == v.key || v.value.as_deref().is_some_and(|v| Some(v) == value.as_str())
            });
            if old.get(key) != Some(value) {
                rest += key.len() + 8 + if correlated { 0 } else { value.to_string().len() };
            }
        }
    }
    for field in ["volumes", "initContainers"] {
        let length = |pod: &Value| list(&pod["spec"], field).iter().map(|x| x.to_string().len() + 1).sum::<usize>();
        rest += length(&outcome.after) - length(&case.pod);
    }
    let rest = rest.saturating_sub(spelled);
    assert!(rest <= POD, "the pod grew by {rest}");
    (grown, rest)
}

/// Texts that the policies spell out themselves.
fn spelled_out(case: &Case) -> usize {
    let fields = [("env", "set"), ("otlp", "headersFrom"), ("otlp", "caBundle")];
    let of = |p: &Value| {
        let spec = &p["spec"];
        let named: usize = fields.iter().map(|(a, b)| 2 * spec[a][b].to_string().len()).sum();
        named + spec["labels"].to_string().len() + spec["annotations"].to_string().len()
    };
    case.policies.iter().map(of).sum()
}
