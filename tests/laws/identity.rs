//! Identity and sampling: ids from printable texts, the parent, incoming contexts, members of a containerSet.

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stepspan_contract::{Config, Parent};

use crate::case::{Case, list, shimmed, text};
use crate::dice::{cases, rows};
use crate::law_9_values::config;
use crate::pods::recorded;

const FOREIGN: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");

/// FNV-1a, 32 bits (`hash/fnv` `New32a`), decimal as Argo prints it.
pub fn fnv(text: &str) -> String {
    let mut hash = 2_166_136_261_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)) * 16_777_619 % (1 << 32);
    }
    hash.to_string()
}

fn h(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(format!("stepspan/1/{text}"));
    let (first, _) = hash.split_at(16);
    let number = first.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
    format!("{number:032x}")[..digits].to_owned()
}

fn configs(case: &Case) -> Vec<Config> {
    let after = case.run().after;
    shimmed(&case.pod, &after).into_iter().map(|i| config(&after["spec"]["containers"][i])).collect()
}

fn with(pod: Value, spec: &Value) -> Case {
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"}, "spec": spec});
    Case { policies: vec![policy], ..Case::plain(pod) }
}

fn named(name: &str) -> Value {
    recorded().into_iter().find(|(n, _)| *n == name).unwrap().1
}

/// Argo tells every container its node too.
fn node_of_env(pod: &Value) -> &str {
    let containers = ["initContainers", "containers"].into_iter().flat_map(|f| list(&pod["spec"], f));
    let entries = containers.flat_map(|c| list(c, "env").iter().rev());
    entries.filter(|e| e["name"] == "ARGO_NODE_ID").map(|e| text(e, "value")).next().unwrap_or_default()
}

#[test]
fn the_hash_is_argo_s() {
    // Offset basis and the published test vectors of FNV-1a 32: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
    for (text, hash) in [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
        assert_eq!(fnv(text), hash.to_string());
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn all_pods_of_a_workflow_have_one_trace(uid in "[0-9a-f]{8}-[0-9a-f]{4}", first in 0..5usize, second in 0..5usize) {
        let trace = |i: usize| {
            let (_, mut pod) = recorded().remove(i);
            pod["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
            configs(&Case::plain(pod)).into_iter().map(|c| c.trace_id).collect::<Vec<_>>()
        };
        let expected = h(&format!("trace/{uid}"), 32);
        for found in trace(first).into_iter().chain(trace(second)) {
            prop_assert_eq!(&found, &expected);
        }
    }

    #[test]
    fn the_annotation_says_what_the_shim_is_told(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        let context = text(&after["metadata"]["annotations"], "trace.context");
        for i in shimmed(&case.pod, &after) {
            let config = config(&after["spec"]["containers"][i]);
            let parts: Vec<&str> = context.split('-').collect();
            prop_assert_eq!(parts[1], &config.trace_id);
            prop_assert_eq!(parts[3], if config.sampled { "01" } else { "00" });
            let node = match text(&case.pod["metadata"]["annotations"], "workflows.argoproj.io/node-id") {
                "" => node_of_env(&case.pod),
                annotated => annotated,
            };
            if config.parent != Parent::Environment {
                prop_assert_eq!(parts[2], h(&format!("node/{}/{node}", config.workflow_uid), 16));
            }
        }
    }

    #[test]
    fn whoever_reads_the_pod_can_compute_its_spans(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        let told = text(&after["metadata"]["annotations"], "stepspan.dev/span-nodes");
        let of_shims: Vec<String> = shimmed(&case.pod, &after).into_iter().map(|i| {
            let config = config(&after["spec"]["containers"][i]);
            format!("{}={}/{}", config.container, config.workflow_uid, config.node_id)
        }).collect();
        prop_assert_eq!(told, of_shims.join(" "));
    }

    #[test]
    fn sampling_is_decided_by_the_trace_alone(uid in "[0-9a-f]{12}", a in 0.0..1.0f64, b in 0.0..1.0f64) {
        let sampled = |ratio: f64| {
            let mut pod = named("container-3.7");
            pod["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
            configs(&with(pod, &json!({"sampling": {"ratio": ratio}})))[0].sampled
        };
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(!sampled(low) || sampled(high), "taken at {low}, so also at {high}");
        prop_assert!(sampled(1.0) && !sampled(0.0));
        // The upper half of the 56 random bits is enough, away from the threshold.
        let random = u32::from_str_radix(&h(&format!("trace/{uid}"), 32)[18..25], 16).unwrap();
        let share = 1.0 - f64::from(random) / f64::from(1u32 << 28);
        prop_assert!((share - a).abs() < 1e-7 || sampled(a) == (a >= share));
    }
}

#[test]
fn an_empty_id_is_none_and_the_environment_s_counts() {
    let mut pod = named("container-3.7");
    let node = node_of_env(&pod).to_owned();
    let uid = text(&pod["metadata"]["ownerReferences"][0], "uid").to_owned();
    pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"] = json!("");
    pod["metadata"]["ownerReferences"][0]["uid"] = json!("");
    let told = configs(&Case::plain(pod)).remove(0);
    assert!(!node.is_empty() && !uid.is_empty());
    assert_eq!((told.workflow_uid, told.node_id), (uid, node));
}

#[test]
fn the_parent_is_the_node() {
    let pod = named("init-less-4.1");
    let node = text(&pod["metadata"]["annotations"], "workflows.argoproj.io/node-id").to_owned();
    let uid = text(&pod["metadata"]["ownerReferences"][0], "uid").to_owned();
    let told = configs(&with(pod.clone(), &json!({"traceContext": {"parent": "node"}}))).remove(0);
    assert_eq!(told.parent, Parent::Span(h(&format!("node/{uid}/{node}"), 16)));
    assert_eq!((told.workflow_uid, told.node_id), (uid, node));
    let told = configs(&with(pod.clone(), &json!({"traceContext": {"parent": "none"}}))).remove(0);
    assert_eq!(told.parent, Parent::None);
    let told = configs(&with(pod, &json!({"traceContext": {"mode": "argo"}}))).remove(0);
    assert_eq!(told.parent, Parent::Environment);
}

#[test]
fn an_incoming_context_is_linked_joined_or_ignored() {
    let own = configs(&Case::plain(named("container-3.7"))).remove(0);
    for (key, incoming, flags, ratio) in [
        ("traceparent", "link", "01", 1.0),
        ("stepspan.dev/a.traceparent", "link", "00", 1.0),
        ("traceparent", "parent", "01", 1.0),
        ("stepspan.dev/a.traceparent", "parent", "00", 1.0),
        ("traceparent", "parent", "01", 0.0),
        ("traceparent", "ignore", "01", 1.0),
    ] {
        let context = format!("00-{}-{}-{flags}", FOREIGN.0, FOREIGN.1);
        let mut pod = named("container-3.7");
        pod["metadata"]["annotations"][key] = json!(context);
        let spec = json!({"traceContext": {"incoming": incoming, "parent": "none"}, "sampling": {"ratio": ratio}});
        let told = configs(&with(pod, &spec)).remove(0);
        let joined = incoming == "parent";
        assert_eq!(told.trace_id, if joined { FOREIGN.0 } else { &own.trace_id });
        assert_eq!(told.links, (incoming == "link").then_some(context).into_iter().collect::<Vec<_>>(), "{incoming}");
        assert_eq!(told.parent, if joined { Parent::Span(FOREIGN.1.to_owned()) } else { Parent::None });
        // It never raises sampling beyond the policy's own, and only a joined trace can lower it.
        assert_eq!(told.sampled, ratio > 0.0 && (!joined || flags == "01"), "{incoming} {flags} {ratio}");
    }
}

#[test]
fn a_retry_is_linked_to_the_attempt_before() {
    let mut pod = named("script-retry-3.7");
    let uid = text(&pod["metadata"]["ownerReferences"][0], "uid").to_owned();
    let workflow = text(&pod["metadata"]["labels"], "workflows.argoproj.io/workflow").to_owned();
    let node = |name: &str| {
        // FNV-1a, 32 bits.
        let hash = name.bytes().fold(2_166_136_261_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
        h(&format!("node/{uid}/{workflow}-{hash}"), 16)
    };
    let node_parent = json!({"traceContext": {"parent": "node"}});
    for (name, before) in [
        (format!("{workflow}.flaky(2)"), Some(format!("{workflow}.flaky(1)"))),
        (format!("{workflow}(1)"), Some(format!("{workflow}(0)"))),
        (format!("{workflow}.flaky(0)"), None),
        (format!("{workflow}.flaky(1:item)"), None),
        (format!("{workflow}.flaky"), None),
    ] {
        pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"] = json!(name);
        let told = configs(&with(pod.clone(), &node_parent)).remove(0);
        let expected = before.map(|before| format!("00-{}-{}-01", told.trace_id, node(&before)));
        assert_eq!(told.links, expected.into_iter().collect::<Vec<_>>(), "{name}");
    }
    // Without `watch` nobody sends the span that would be linked to.
    assert!(configs(&with(pod, &json!({"traceContext": {"parent": "none"}}))).iter().all(|told| told.links.is_empty()));
}

#[test]
fn a_broken_context_is_none() {
    for broken in ["$(TOKEN)", "", "00-x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let mut pod = named("container-3.7");
        pod["metadata"]["annotations"]["traceparent"] = json!(broken);
        let told = configs(&with(pod, &json!({"traceContext": {"incoming": "parent"}}))).remove(0);
        assert_eq!(told.trace_id, configs(&Case::plain(named("container-3.7"))).remove(0).trace_id);
        assert!(told.links.is_empty());
    }
}

/// The hashes of `release-m5x8c[0].pack.fetch` and so on were calculated outside of this program.
#[test]
fn a_member_s_node_is_its_own() {
    let pod = named("container-set-3.7");
    let uid = text(&pod["metadata"]["ownerReferences"][0], "uid").to_owned();
    let told = configs(&with(pod, &json!({"traceContext": {"parent": "node"}})));
    for (told, (name, hash)) in told.iter().zip(MEMBERS) {
        assert_eq!(told.container, name);
        assert_eq!(told.node_id, format!("release-m5x8c-{hash}"));
        assert_eq!(told.parent, Parent::Span(h(&format!("node/{uid}/release-m5x8c-{hash}"), 16)));
    }
}

/// A set whose only member is called `main` is a set too.
#[test]
fn an_only_member_called_main_has_its_own_node() {
    let mut pod = named("container-set-3.7");
    let set = json!({"name": "pack", "containerSet": {"containers": [{"name": "main"}]}}).to_string();
    let env = pod["spec"]["initContainers"][0]["env"].as_array_mut().unwrap();
    env.iter_mut().find(|e| e["name"] == "ARGO_TEMPLATE").unwrap()["value"] = json!(set);
    let keep = |c: &Value| !["fetch", "sign"].contains(&text(c, "name"));
    pod["spec"]["containers"].as_array_mut().unwrap().retain(keep);
    let told = configs(&Case::plain(pod)).remove(0);
    assert_eq!(told.node_id, format!("release-m5x8c-{}", MEMBERS[2].1));
}

const MEMBERS: [(&str, u32); 3] = [("fetch", 3_280_176_967), ("sign", 3_032_814_520), ("main", 1_999_584_220)];
