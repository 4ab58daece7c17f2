//! Pods are created whatever becomes of the webhook.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::samples::sample;
use super::{Shared, trial};
use crate::harness::{Cluster, stepspan::Stepspan};

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("outage::{name}"), body);
    vec![named("a_webhook_that_died_costs_no_pod", a_webhook_that_died_costs_no_pod)]
}

fn a_webhook_that_died_costs_no_pod(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("outage", &json!({}))?;
    let mut stepspan = Stepspan::start(cluster, &namespace, None)?;
    let injected = |pods: &[Value]| pods.iter().filter(|p| p["spec"].to_string().contains("stepspan-shim")).count();
    let before = sample("dag")?.run(&namespace)?;
    ensure!(injected(&namespace.pods(&before)?) == 4, "not all were injected while the webhook was up");
    stepspan.kill();
    let after = sample("dag")?.run(&namespace)?;
    ensure!(injected(&namespace.pods(&after)?) == 0, "injected by a dead webhook");
    stepspan.unregister()
}
