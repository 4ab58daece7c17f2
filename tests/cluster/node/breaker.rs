//! An image that is nowhere to be had: the breaker lets steps go without us, and takes them up again when it is back.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use super::{
    release::{Release, quick},
    trial,
};
use crate::{
    cases::Shared,
    harness::{
        Cluster,
        doctor::Doctor,
        node::{NodeTools, images},
        wait::until,
    },
};

/// The kubelet tries again after five minutes at the latest.
const LIMIT: Duration = Duration::from_mins(10);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    // The image is gone for every other trial too.
    vec![trial(cluster, "node::breaker::a_missing_image_stops_steps_for_a_moment".into(), true, |cluster| {
        let tools = NodeTools::locate()?;
        let outcome = a_missing_image_stops_steps_for_a_moment(cluster, &tools);
        images::restore_own(&tools)?;
        outcome
    })]
}

/// Four steps at once.
fn fan_out(name: &str) -> String {
    quick(name, "[[{name: shard, template: step, withSequence: {count: \"4\"}}]]")
}

fn a_missing_image_stops_steps_for_a_moment(cluster: &Cluster, tools: &NodeTools) -> Result<()> {
    let release = Release::prepare(cluster, "no-image")?;
    release.install(&["--set", "breaker.retry=1m"])?;
    release.until_in_force()?;
    let steps = &release.steps;
    release.traced("before")?;

    images::remove_own()?;
    let began = Instant::now();
    let stuck = steps.submit(&fan_out("stuck"))?;
    let note = until_open(&release, 1)?;
    let opened = began.elapsed();
    ensure!(note.contains("ErrImagePull") || note.contains("ImagePullBackOff"), "{note}");
    let ended = steps.run(&fan_out("without"), "Succeeded")?;
    ensure!(injected(&steps.pods(&ended)?) == 0, "injected with an image that cannot be had");
    eprintln!(
        "cluster: without our image the breaker opened after {:.1} s, and a workflow ended after {:.1} s",
        opened.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );
    the_doctor_tells_of_it(cluster, &release)?;

    images::restore_own(tools)?;
    until_closed(cluster, &release)?;
    release.traced("after")?;
    let ended = steps.wait_end(&stuck)?;
    ensure!(ended["status"]["phase"] == "Succeeded", "the stuck workflow: {}", ended["status"]["message"]);
    ensure!(injected(&steps.pods(&ended)?) == 4, "pods of the stuck workflow lost us");

    // Again, and nobody is left whom the kubelet could start after all: it is up to the pod of a trial.
    images::remove_own()?;
    steps.submit(&fan_out("lost"))?;
    until_open(&release, 2)?;
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/workflows/lost", steps.name());
    cluster.api().delete(&path)?.accepted()?;
    until("its pods to be gone", LIMIT, || {
        Ok(steps.list("pods?labelSelector=workflows.argoproj.io/workflow%3Dlost")?.is_empty().then_some(()))
    })?;
    images::restore_own(tools)?;
    let tried = until_closed(cluster, &release)?;
    ensure!(tried > 0, "closed without a trial");
    release.traced("in-the-end")?;
    release.uninstall().map(drop)
}

/// Waits until it has opened for this many times; gives what the last Event on a stuck pod says.
fn until_open(release: &Release<'_>, times: usize) -> Result<String> {
    until("the breaker to open", LIMIT, || {
        let events = release.steps.list("events")?;
        let on_pods = events.iter().filter(|event| event["reason"] == "InjectionPaused");
        let on_pods: Vec<_> = on_pods.filter(|event| event["involvedObject"]["kind"] == "Pod").collect();
        let last = on_pods.last().filter(|_| on_pods.len() >= times);
        Ok(last.map(|event| event["message"].as_str().unwrap_or_default().to_owned()))
    })
    .with_context(|| release.state())
}

/// By a trial, or by the first of the stuck pods that the kubelet tries again. Gives how many workflows were run for trials.
fn until_closed(cluster: &Cluster, release: &Release<'_>) -> Result<usize> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut tried = 0;
    until("the breaker to close", LIMIT, || {
        let map = release.home.path("configmaps/stepspan-breaker");
        let map = cluster.api().get(&map)?.accepted()?;
        let state = map["data"]["stopped"].as_str().unwrap_or_default();
        if state.contains("\"trial\"") {
            // A trial needs pods.
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            release.steps.run(&fan_out(&format!("trial-{number}")), "Succeeded")?;
            tried += 1;
        }
        // What stays is when it closed.
        Ok((!state.contains("phase")).then_some(tried))
    })
    .with_context(|| release.state())
}

fn the_doctor_tells_of_it(cluster: &Cluster, release: &Release<'_>) -> Result<()> {
    let steps = release.steps.name();
    let examined = Doctor::of(cluster).ask(&["-n", steps, "--release-namespace", release.home.name()])?;
    examined.expect(None, "breaker", "warn", &format!("namespace {steps}: open"))?;
    examined.expect(Some(steps), "trial pod", "warn", "the circuit breaker")
}

fn injected(pods: &[Value]) -> usize {
    pods.iter().filter(|pod| pod.to_string().contains("stepspan-init")).count()
}
