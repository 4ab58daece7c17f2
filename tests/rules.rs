//! The chart's alerts: what they ask for is there, where they lead to is there, and each is tried, firing and not.
//!
//! What Prometheus says of them, `make test-backends` asks (`tests/cluster/backends/rules.rs`).

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use stepspan::yaml;

use crate::pages::anchors;

fn text(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn read(path: &str) -> Value {
    yaml::read(&text(path), 1).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rules(path: &str) -> Vec<Value> {
    let groups = read(path)["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<Value> {
    let alerts = rules("charts/stepspan/rules/alerts.yaml");
    assert!(alerts.len() > 10);
    alerts
}

#[test]
fn every_alert_leads_to_its_section_of_the_runbook() {
    let anchors = anchors(&text("docs/runbook.md"));
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let link = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (document, anchor) = link.split_once('#').unwrap();
        assert!(document.ends_with("/docs/runbook.md"), "{link}");
        assert_eq!(anchor, name.to_lowercase());
        assert!(anchors.contains(anchor), "docs/runbook.md has no section {name}");
        for key in ["summary", "description"] {
            assert!(alert["annotations"][key].is_string(), "{name} has no {key}");
        }
        assert!(["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
    }
}

#[test]
fn every_alert_is_tried_firing_and_not() {
    let mut tried = BTreeSet::new();
    for file in ["tests/rules/webhook.yaml", "tests/rules/watch.yaml"] {
        for test in read(file)["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().into_iter().flatten() {
                let fires = !case["exp_alerts"].as_array().unwrap().is_empty();
                tried.insert((case["alertname"].as_str().unwrap().to_owned(), fires));
            }
        }
    }
    let wanted: BTreeSet<_> = alerts()
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap().to_owned())
        .flat_map(|name| [(name.clone(), false), (name, true)])
        .collect();
    assert_eq!(tried, wanted);
}

/// A metric that is named otherwise than the servers name it would never fire. What they show is documented (`docs.rs` sees to it).
#[test]
fn rules_ask_for_metrics_that_are_documented() {
    let documented = text("docs/servers.md") + &text("docs/traces.md");
    let all = [rules("charts/stepspan/rules/recording.yaml"), alerts()].concat();
    let recorded: BTreeSet<&str> = all.iter().filter_map(|rule| rule["record"].as_str()).collect();
    for rule in &all {
        let asked = rule["expr"].as_str().unwrap();
        let names = asked.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        for name in names.filter(|name| ["stepspan", "agent_", "agent:"].iter().any(|of| name.starts_with(of))) {
            let is_there = documented.contains(&format!("`{}", name.trim_end_matches("_bucket")));
            assert!(is_there || recorded.contains(name), "nobody has {name}: {asked}");
        }
    }
}
