//! Which pods were injected, and why others were not, as `stepspan watch` tells it: by metrics, and by Events.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::samples::sample;
use super::watch::Place;
use super::{Shared, trial};
use crate::harness::{
    Cluster, namespace::Namespace, stepspan::Stepspan, wait::until, watch::Replica, webhook::CONFIGURATIONS,
};

const LIMIT: Duration = Duration::from_mins(3);
/// So long the watcher trusts what it has read of the webhook and its policies.
const FRESH: Duration = Duration::from_secs(11);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![
        trial(cluster, "watch::pods_are_told_by_what_admission_wrote".to_owned(), what_admission_wrote),
        trial(cluster, "watch::each_pod_that_was_missed_has_its_reason_and_each_window_its_events".to_owned(), missed),
    ]
}

/// With the webhook, and without it, where the policies are not asked for: what nobody wrote into is told, and what is gone is not.
fn what_admission_wrote(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-admitted", &json!({}))?;
    let mut stepspan = Stepspan::start(cluster, &namespace, None)?;
    let mut place = Place::of(cluster, &namespace)?;
    let replica = place.watch.start(&[])?;
    let injected = steps(&namespace)?;
    stepspan.unregister()?;
    let unmarked = steps(&namespace)?;
    ensure!(injected > 0 && unmarked > 0, "{injected} and {unmarked} pods");
    told(&replica, &[("injected", "none", injected), ("unmarked", "none", unmarked)])?;
    for pod in &namespace.list("pods")? {
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        cluster.api().delete(&namespace.path(&format!("pods/{name}?gracePeriodSeconds=0")))?.accepted()?;
    }
    told(&replica, &[("injected", "none", 0), ("unmarked", "none", 0)])
}

/// Before the install, while the webhook is dead, and while it is paused; then by a replica that only finds the pods.
fn missed(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-missed", &json!({}))?;
    // Twice, so that no other window has as many.
    let before = steps(&namespace)? + steps(&namespace)?;
    // In whole seconds, as Kubernetes tells when things were made.
    let pause = || std::thread::sleep(Duration::from_secs(2));
    pause();
    let mut stepspan = Stepspan::start(cluster, &namespace, None)?;
    let mut place = Place::of(cluster, &namespace)?;
    place.watch.may_judge()?;
    let replica = place.watch.start(&["--install=stepspan"])?;
    told(&replica, &[("missed", "before-install", before)])?;
    let mut injected = steps(&namespace)?;
    told(&replica, &[("missed", "before-install", before), ("injected", "none", injected)])?;

    pause();
    stepspan.kill();
    let unanswered = steps(&namespace)?;
    told(&replica, &[("missed", "unanswered", unanswered), ("injected", "none", injected)])?;
    let one = events(&namespace, "NotInjected", "unanswered")?;
    ensure!(one.len() == 1 && one[0]["regarding"]["kind"] == "Pod", "{one:#?}");
    ensure!(one[0]["type"] == "Warning" && one[0]["regarding"]["uid"].is_string(), "{one:#?}");
    drop(stepspan);
    pause();
    let mut stepspan = Stepspan::start(cluster, &namespace, None)?;
    pause();
    injected += steps(&namespace)?;
    // Each window has its own, about the pod that came after it.
    ensure!(before != unanswered, "two windows of {before} pods");
    for (pods, reason) in [(before, "before-install"), (unanswered, "unanswered")] {
        let over = events(&namespace, "InjectedAgain", &format!("{pods} pods were not injected"))?;
        ensure!(over.len() == 1 && over[0]["regarding"]["kind"] == "Pod", "{over:#?}");
        ensure!(over[0]["note"].as_str().is_some_and(|note| note.contains(reason)), "{over:#?}");
    }

    pause();
    let registration = format!("{CONFIGURATIONS}/stepspan-{}", namespace.name());
    let annotation = json!({"metadata": {"annotations": {"stepspan.dev/paused": "true"}}});
    cluster.api().merge_patch(&registration, &annotation)?.accepted()?;
    stepspan.kill();
    std::thread::sleep(FRESH);
    let paused = steps(&namespace)?;
    let all = |unanswered, before| {
        [
            ("injected", "none", injected),
            ("missed", "before-install", before),
            ("missed", "unanswered", unanswered),
            ("missed", "paused", paused),
        ]
    };
    told(&replica, &all(unanswered, before))?;
    let window = |text: &str, name: &str| -> Result<f64> {
        let series = format!("stepspan_watch_missed_{name}_timestamp_seconds{{reason=\"paused\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series)).with_context(|| text.to_owned())?;
        Ok(value.parse()?)
    };
    let text = replica.text()?;
    let (from, to) = (window(&text, "from")?, window(&text, "to")?);
    ensure!(from > 1.7e9 && from <= to, "from {from} to {to}");
    drop(replica);
    // For one that finds them, what was made before the webhook is of that time.
    let next = place.watch.start(&["--install=stepspan"])?;
    told(&next, &all(0, before + unanswered))
}

/// Runs a Workflow; how many pods it had.
fn steps(namespace: &Namespace<'_>) -> Result<u64> {
    let workflow = sample("retry")?.run(namespace)?;
    Ok(namespace.pods(&workflow)?.len() as u64)
}

fn told(replica: &Replica, wanted: &[(&str, &str, u64)]) -> Result<()> {
    until("the pods to be told of", LIMIT, || {
        for (outcome, reason, count) in wanted {
            let labels = format!("outcome=\"{outcome}\",reason=\"{reason}\"");
            if replica.sum("stepspan_watch_step_pods", &labels)? != *count {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .with_context(|| format!("{wanted:?} in\n{}", replica.text().unwrap_or_default()))
}

/// The Events of a reason whose note has a text in it, once there are some.
fn events(namespace: &Namespace<'_>, reason: &str, text: &str) -> Result<Vec<Value>> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", namespace.name());
    until(&format!("an Event {reason}"), LIMIT, || {
        let mut all = namespace.api().list(&path)?;
        all.retain(|event| event["reason"] == reason && event["note"].as_str().is_some_and(|note| note.contains(text)));
        Ok((!all.is_empty()).then_some(all))
    })
}
