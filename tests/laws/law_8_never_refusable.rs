//! Law 8: a pod the API server admits without us it admits with us.

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::case::{Case, list, shimmed, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;
use crate::validation::{faults, is_label_value, is_qualified_name, quantity};

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn what_is_admitted_without_us_is_admitted_with_us(bytes in rows()) {
        admitted(&Case::of(&bytes));
    }

    #[test]
    fn our_resources_are_those_of_a_step(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        if let Some(ours) = list(&after["spec"], "initContainers").iter().find(|c| text(c, "name") == "stepspan-init") {
            resources(&after, ours);
        }
    }
}

#[test]
fn recorded_pods_are_admitted() {
    for (name, pod) in recorded() {
        assert_eq!(faults(&pod), Vec::<String>::new(), "{name}");
        admitted(&Case::plain(pod));
    }
}

#[test]
fn a_block_device_at_our_mount_path_is_not_met() {
    let mut pod = recorded().remove(0).1;
    let disk = json!({"name": "disk", "persistentVolumeClaim": {"claimName": "d"}});
    pod["spec"]["volumes"].as_array_mut().unwrap().push(disk);
    pod["spec"]["containers"][1]["volumeDevices"] = json!([{"name": "disk", "devicePath": "/stepspan"}]);
    admitted(&Case::plain(pod));
}

#[test]
fn a_mount_of_the_user_s_at_our_path_is_not_met() {
    for path in ["stepspan", "//stepspan", "/./stepspan/", "/x/../stepspan/y", "/stepspan-ca/..//stepspan"] {
        let mut pod = recorded().remove(0).1;
        let mount = json!({"name": "tmp-dir-argo", "mountPath": path});
        pod["spec"]["containers"][1]["volumeMounts"].as_array_mut().unwrap().push(mount);
        let case = Case::plain(pod);
        assert_eq!(case.run().after["spec"], case.pod["spec"], "{path}");
    }
    let mut pod = recorded().remove(0).1;
    let mount = json!({"name": "tmp-dir-argo", "mountPath": "/stepspan/../elsewhere"});
    pod["spec"]["containers"][1]["volumeMounts"].as_array_mut().unwrap().push(mount);
    let case = Case::plain(pod);
    assert_eq!(shimmed(&case.pod, &case.run().after), [1]);
}

#[test]
fn a_pod_full_of_annotations_is_left_alone() {
    for room in [0, 100, 1_000, 3_000] {
        let mut pod = recorded().remove(0).1;
        let used = pod["metadata"]["annotations"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| k.len() + v.as_str().unwrap().len());
        let used: usize = used.sum();
        pod["metadata"]["annotations"]["big"] = json!("x".repeat(256 * 1024 - used - 3 - room));
        admitted(&Case::plain(pod));
    }
}

fn admitted(case: &Case) {
    if !faults(&case.pod).is_empty() || serde_json::from_value::<Pod>(case.pod.clone()).is_err() {
        return;
    }
    let outcome = case.run();
    assert_eq!(faults(&outcome.after), Vec::<String>::new(), "{}", outcome.patch);
    let decoded = serde_json::from_value::<Pod>(outcome.after.clone());
    assert!(decoded.is_ok(), "{:?}", decoded.err());
    for warning in &outcome.reviewed.warnings {
        assert!(!warning.is_empty());
    }
    for (key, value) in outcome.after["metadata"]["labels"].as_object().unwrap() {
        assert!(is_qualified_name(key) && is_label_value(value.as_str().unwrap()));
    }
}

/// Per resource, ours is what one of the step containers has, and no other step has more; so the scheduler, a LimitRange and a quota
/// see nothing new.
fn resources(pod: &Value, ours: &Value) {
    let containers = list(&pod["spec"], "containers");
    let own = containers.iter().chain(list(&pod["spec"], "initContainers"));
    let mut env = own.flat_map(|c| list(c, "env")).filter(|e| text(e, "name") == "ARGO_TEMPLATE");
    let is_known_set = env.any(|e| text(e, "value").contains("containerSet"));
    // Beside a `main`, a set whose template is offloaded cannot be told from a step with sidecars.
    let has_members = is_known_set || !containers.iter().any(|c| text(c, "name") == "main");
    let is_step = |c: &&Value| text(c, "name") == "main" || (has_members && ["a", "b"].contains(&text(c, "name")));
    let steps = || containers.iter().filter(is_step);
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        let of = |c: &Value| {
            let amount = |kind: &str| c["resources"][kind].get(resource).cloned();
            (amount("requests"), amount("limits"))
        };
        let mine = of(ours);
        let counted = |(request, limit): &(Option<Value>, Option<Value>)| {
            request.as_ref().or(limit.as_ref()).and_then(quantity).unwrap_or(-1.0)
        };
        let largest = steps().map(|c| counted(&of(c))).fold(-1.0, f64::max);
        let same = |a: f64, b: f64| (a - b).abs() <= a.abs() * 1e-12;
        assert!(same(counted(&mine), largest), "{resource}: {mine:?} for {largest}");
        assert!(counted(&mine) < 0.0 || steps().any(|c| of(c) == mine), "{resource}: {mine:?}");
    }
}
