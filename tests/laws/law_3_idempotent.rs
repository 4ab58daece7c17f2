//! Law 3: reviewing the output again gives an empty patch, also when another webhook came in between.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::case::{Case, shimmed};
use crate::dice::{cases, rows};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_second_review_adds_nothing(bytes in rows()) {
        let case = Case::of(&bytes);
        settled(&case, |_| {});
    }

    #[test]
    fn a_second_review_after_another_webhook_adds_nothing(bytes in rows(), kind in 0..6usize) {
        let case = Case::of(&bytes);
        settled(&case, |pod| interfere(pod, kind));
    }
}

#[test]
fn recorded_pods_settle_at_once() {
    for (_, pod) in recorded() {
        settled(&Case::plain(pod.clone()), |_| {});
        for kind in 0..6 {
            settled(&Case::plain(pod.clone()), |pod| interfere(pod, kind));
        }
    }
}

/// A label that we wrote in safe form is no source of its own, also where the pod keeps no other trace of us.
#[test]
fn a_lossy_label_of_ours_does_not_feed_itself() {
    let mut pod = recorded().into_iter().find(|(name, _)| *name == "resource-4.1").unwrap().1;
    pod["metadata"]["annotations"]["stepspan.dev/l.repo"] = json!("acme/widgets of ünïcödé");
    let case = Case::plain(pod);
    let after = case.run().after;
    assert_eq!(after["metadata"]["annotations"]["stepspan.dev/repo"], "acme/widgets of ünïcödé");
    settled(&case, |_| {});
}

/// The status names a step container's reason, not that of a sidecar which another webhook put in front of it.
#[test]
fn a_sidecar_put_first_does_not_change_the_status() {
    let mut pod = recorded().remove(0).1;
    pod["spec"]["containers"][1]["command"] = json!(["make"]);
    let case = Case::plain(pod);
    assert_eq!(case.run().after["metadata"]["annotations"]["stepspan.dev/status"], "skipped: prefix-not-proven");
    settled(&case, |pod| interfere(pod, 0));
}

/// A pod that gets labels only has no structure of ours to be known by: what one policy writes, another may read.
#[test]
fn policies_that_read_what_others_write_settle_at_once() {
    let policy = |name: &str, spec: Value| json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": name}, "spec": spec});
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let sets = [
        vec![policy(
            "p",
            json!({"correlation": {
            "b": {"from": [{"value": "x"}], "label": "team"}, "a": {"from": [{"label": "team"}]}}}),
        )],
        vec![
            policy("p", json!({"labels": {"team": "x"}})),
            policy("q", json!({"match": {"podSelector": {"matchLabels": {"team": "x"}}}, "labels": {"more": "y"}})),
        ],
        vec![policy(
            "p",
            json!({"correlation": {
            "a": {"from": [{"value": "x"}], "annotation": "n"}, "b": {"from": [{"value": "y"}], "annotation": "n"}}}),
        )],
        vec![policy("p", json!({"annotations": {"traceparent": traceparent}, "traceContext": {"incoming": "parent"}}))],
    ];
    let pod = recorded().into_iter().find(|(name, _)| *name == "resource-4.1").unwrap().1;
    for policies in sets {
        let case = Case { policies, ..Case::plain(pod.clone()) };
        settled(&case, |_| {});
    }
}

fn settled(case: &Case, between: impl Fn(&mut Value)) {
    let first = case.run();
    let mut pod = first.after.clone();
    between(&mut pod);
    let second = case.run_on(&pod);
    let shim = shimmed(&case.pod, &first.after);
    assert_eq!(second.patch, json!([]), "shim in {shim:?}; first {}", first.patch);
}

/// What other webhooks do to pods.
fn interfere(pod: &mut Value, kind: usize) {
    let spec = &mut pod["spec"];
    match kind {
        0 => {
            let sidecar =
                json!({"name": "istio-proxy", "image": "proxy", "env": [{"name": "OTEL_SERVICE_NAME", "value": "x"}]});
            spec["containers"].as_array_mut().unwrap().insert(0, sidecar);
        }
        1 => {
            for container in spec["containers"].as_array_mut().unwrap() {
                if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
                    env.insert(0, json!({"name": "INJECTED", "value": "$(STEPSPAN_CONFIG)"}));
                    env.push(json!({"name": "OTEL_SERVICE_NAME", "value": "theirs"}));
                }
            }
        }
        2 => pod["metadata"]["labels"]["other-webhook"] = json!("was-here"),
        3 => {
            if let Some(init) = spec.get_mut("initContainers").and_then(Value::as_array_mut) {
                init.push(json!({"name": "istio-init", "image": "proxy"}));
            }
        }
        4 => {
            if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
                volumes.insert(0, json!({"name": "certs", "emptyDir": {}}));
            }
        }
        _ => spec["priorityClassName"] = json!("low"),
    }
}
