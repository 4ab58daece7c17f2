//! Law 9: values are data: the kubelet expands nothing that came from outside, and the step is started as it would be without us.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan_contract::env::group;
use stepspan_contract::{Config, OnConflict};

use crate::case::{Case, SHIM, list, shimmed, text};
use crate::dice::{Dice, cases, rows};
use crate::kubelet::{SECRET, start};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_step_starts_as_without_us(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        for i in shimmed(&case.pod, &after) {
            let (before, after) = (&case.pod["spec"]["containers"][i], &after["spec"]["containers"][i]);
            same_start(&case, before, after);
        }
    }

    #[test]
    fn the_configuration_holds_the_values_and_no_secret(bytes in rows()) {
        let case = Case::of(&bytes);
        let outcome = case.run();
        for i in shimmed(&case.pod, &outcome.after) {
            let container = &outcome.after["spec"]["containers"][i];
            let config = config(container);
            let written = start(container).env.remove("STEPSPAN_CONFIG").unwrap();
            let written = String::from_utf8(written).unwrap();
            prop_assert!(!written.contains(SECRET) && !written.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert_eq!(&config.container, text(container, "name"));
            for value in &outcome.reviewed.decision.values {
                let found = config.attributes.iter().find(|(k, _)| *k == value.key).map(|(_, v)| v.as_str());
                let expected = value.value.as_deref().map(|v| cut(v, 256));
                let member = value.key == "stepName" && found != expected.as_deref();
                prop_assert!(member || found == expected.as_deref(), "{:?} {:?}", value, found);
                prop_assert!(found.is_none_or(|f| f.len() <= 256 && !f.chars().any(char::is_control)), "{found:?}");
            }
        }
    }

    /// Where the shim settles one variable of a group, it must not take another of ours for the step's.
    #[test]
    fn a_group_is_settled_in_one_place(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        for i in shimmed(&case.pod, &after) {
            let (before, after) = (&case.pod["spec"]["containers"][i], &after["spec"]["containers"][i]);
            let names = |container| list(container, "env").iter().map(|e| text(e, "name")).collect::<Vec<_>>();
            let theirs = names(before);
            let appended: Vec<_> = names(after).into_iter().filter(|n| !theirs.contains(n)).filter_map(group).collect();
            for rule in config(after).env.iter().filter(|rule| rule.on_conflict != OnConflict::Override) {
                prop_assert!(group(&rule.name).is_none_or(|g| !appended.contains(&g)), "{} and {appended:?}", rule.name);
            }
        }
    }

    #[test]
    fn a_value_from_any_source_arrives_cut_and_whole(text in any_text(), source in 0..5usize) {
        arrives(&text, source);
    }
}

#[test]
fn hostile_values_arrive_from_every_source() {
    for row in 0..=255u8 {
        for source in 0..5 {
            arrives(&Dice::new(&[row, row, row / 2]).text(), source);
        }
    }
}

/// An id is not cut, or it would be another's: a pod with one that no controller makes gets no shim.
#[test]
fn a_forged_node_id_does_not_reach_the_environment() {
    for id in ["a\u{0}b", "\u{1}", &"x".repeat(10_000)] {
        let mut pod = recorded().remove(0).1;
        pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"] = json!(id);
        let case = Case::plain(pod);
        let after = case.run().after;
        assert_eq!(after["spec"], case.pod["spec"], "{id:?}");
        assert_eq!(after["metadata"]["annotations"]["stepspan.dev/status"], "skipped: no-identity");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let made = rows().prop_map(|bytes| Dice::new(&bytes).text());
    prop_oneof![any::<String>(), "[$()A-Z\\\\\n ]{0,40}", made]
}

/// One value through one source into label, annotation and configuration.
fn arrives(value: &str, source: usize) {
    let mut pod = recorded().remove(0).1;
    let clean: String = value.chars().filter(|c| !c.is_control()).collect();
    let short = cut(&clean, 250);
    let (from, annotation) = match source {
        0 => (json!({"annotation": "note"}), Some(("note", value.to_owned()))),
        1 => (json!({"parameter": "x"}), Some(("stepspan.dev/p.x", value.to_owned()))),
        2 => (json!({"input": "x"}), Some(("stepspan.dev/i.x", value.to_owned()))),
        3 => (json!({"workflowLabel": "x"}), Some(("stepspan.dev/l.x", value.replace('%', "%25").replace('{', "%7B")))),
        _ => (json!({"value": short}), None),
    };
    if let Some((key, text)) = annotation {
        pod["metadata"]["annotations"][key] = json!(text);
    }
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
        "spec": {"correlation": {"key": {"from": [from], "annotation": "acme.io/key"}}}});
    let case = Case { policies: vec![policy], ..Case::plain(pod) };
    let after = case.run().after;
    let expected = if source == 4 { short } else { clean };
    let written = after["metadata"]["annotations"].get("acme.io/key").and_then(Value::as_str);
    assert_eq!(written.unwrap_or_default(), cut(&expected, 1024));
    let config = config(&after["spec"]["containers"][1]);
    let found = config.attributes.iter().find(|(k, _)| k == "key").map(|(_, v)| v.clone());
    assert_eq!(found.unwrap_or_default(), cut(&expected, 256));
}

/// What the shim of a started container reads.
pub fn config(container: &Value) -> Config {
    let env = start(container).env;
    Config::decode(std::str::from_utf8(&env["STEPSPAN_CONFIG"]).unwrap()).unwrap()
}

fn same_start(case: &Case, before: &Value, after: &Value) {
    let (one, other) = (start(before), start(after));
    let overridden = overridden(case);
    let touched = |raw: &str| overridden.iter().any(|name| raw.contains(&format!("$({name})")));
    // Our three words go out again; they hold no `$`.
    let mut argv = other.argv.clone();
    let at = argv.windows(3).position(|w| w.iter().map(Vec::as_slice).eq(SHIM.map(str::as_bytes))).unwrap();
    argv.drain(at..at + 3);
    let raw = list(before, "command").iter().chain(list(before, "args"));
    for ((raw, one), other) in raw.zip(&one.argv).zip(&argv) {
        assert!(one == other || touched(raw.as_str().unwrap()), "{raw}: {one:?} became {other:?}");
    }
    assert_eq!(one.argv.len(), argv.len());

    let raw: BTreeMap<&str, &str> = list(before, "env").iter().map(|e| (text(e, "name"), text(e, "value"))).collect();
    for (name, value) in one.env.iter().filter(|(n, _)| !n.starts_with("STEPSPAN_")) {
        let theirs = overridden.contains(name) || touched(raw.get(name.as_str()).copied().unwrap_or_default());
        assert!(theirs || other.env.get(name) == Some(value), "{name}: {value:?} became {:?}", other.env.get(name));
    }
    for name in other.env.keys().filter(|n| !one.env.contains_key(*n)) {
        let ours = name.starts_with("OTEL_") || name.starts_with("STEPSPAN_") || policy_sets(case, name);
        assert!(ours, "{name} is new");
    }
    let forged = list(after, "env").iter().filter(|e| text(e, "name") == "STEPSPAN_CONFIG").count();
    assert_eq!(forged, 1);
}

/// Variables that a policy overrides: documented to differ, and so is what refers to them.
fn overridden(case: &Case) -> Vec<String> {
    let sets = case.policies.iter().flat_map(|p| list(&p["spec"]["env"], "set"));
    sets.filter(|e| e["onConflict"] == "override").map(|e| text(e, "name").to_owned()).collect()
}

fn policy_sets(case: &Case, name: &str) -> bool {
    case.policies.iter().flat_map(|p| list(&p["spec"]["env"], "set")).any(|e| text(e, "name") == name)
}

/// The longest beginning of so many bytes.
pub fn cut(text: &str, bytes: usize) -> String {
    let mut kept = String::new();
    for c in text.chars() {
        if kept.len() + c.len_utf8() > bytes {
            break;
        }
        kept.push(c);
    }
    kept
}

proptest! {
    #![proptest_config(cases(400))]

    /// Every variable of ours is, once expanded, the text that the policy has; and what names a service is encoded.
    #[test]
    fn baseline_variables_are_what_the_policy_says(bytes in rows(), name in "[a-z$(){}=,%✨ ]{1,20}", generated in any::<bool>()) {
        let mut pod = Case::of(&bytes).pod;
        if generated {
            pod["metadata"].as_object_mut().unwrap().shift_remove("name");
            pod["metadata"]["generateName"] = json!("x-");
        }
        let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
            "spec": {"serviceName": name, "environment": name, "env": {"scope": "container", "set": [
                {"name": "OTEL_OWN", "value": name}]}}});
        let case = Case { policies: vec![policy], ..Case::plain(pod) };
        let after = case.run().after;
        for i in shimmed(&case.pod, &after) {
            let (before, after) = (&case.pod["spec"]["containers"][i], &after["spec"]["containers"][i]);
            let env = start(after).env;
            let own = |n: &str| !list(before, "env").iter().any(|e| text(e, "name") == n) && list(after, "env").iter().any(|e| text(e, "name") == n);
            for variable in ["OTEL_OWN", "OTEL_SERVICE_NAME"] {
                prop_assert!(!own(variable) || env[variable] == name.as_bytes());
            }
            if own("OTEL_RESOURCE_ATTRIBUTES") {
                let pod_name = if text(&case.pod["metadata"], "name").is_empty() { "name-of-the-pod" } else { text(&case.pod["metadata"], "name") };
                let pairs = attributes(&env["OTEL_RESOURCE_ATTRIBUTES"]);
                prop_assert!(pairs.iter().all(|(k, v)| k != "service.name" || *v == name));
                prop_assert!(pairs.contains(&("deployment.environment".to_owned(), name.clone())));
                prop_assert!(pairs.contains(&("k8s.pod.name".to_owned(), pod_name.to_owned())), "{pairs:?}");
            }
        }
    }
}

/// A list as an OpenTelemetry SDK reads it.
fn attributes(list: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(list).unwrap();
    let pair = |p: &str| {
        let (key, value) = p.split_once('=').unwrap();
        let mut bytes = Vec::new();
        let mut rest = value.bytes();
        while let Some(b) = rest.next() {
            let digits = [b'0'; 2].map(|_| if b == b'%' { rest.next().unwrap() } else { b'0' });
            let decoded = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
            bytes.push(if b == b'%' { decoded } else { b });
        }
        (key.to_owned(), String::from_utf8(bytes).unwrap())
    };
    text.split(',').map(pair).collect()
}
