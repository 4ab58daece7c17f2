//! An image that is nowhere to be had: the breaker lets steps go without us, and takes them up again when it is back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use super::{release::Release, trial};
use crate::{
    cases::Shared,
    harness::{
        Cluster,
        node::{NodeTools, images},
        wait::until,
    },
};

/// The kubelet tries again after five minutes at the latest.
const LIMIT: Duration = Duration::from_mins(6);

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
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: {name}
spec:
  serviceAccountName: workflow
  entrypoint: all
  templates:
    - name: all
      steps: [[{{name: shard, template: shard, withSequence: {{count: \"4\"}}}}]]
    - name: shard
      container: {{image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [\"true\"]}}
"
    )
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
    let told = until("the breaker to open", LIMIT, || {
        let events = steps.list("events")?;
        Ok(events.into_iter().find(|event| event["reason"] == "InjectionPaused"))
    })
    .with_context(|| release.state())?;
    let opened = began.elapsed();
    let note = told["message"].as_str().unwrap_or_default();
    ensure!(note.contains("ErrImagePull") || note.contains("ImagePullBackOff"), "{told}");
    let ended = steps.run(&fan_out("without"), "Succeeded")?;
    ensure!(injected(&steps.pods(&ended)?) == 0, "injected with an image that cannot be had");
    eprintln!(
        "cluster: without our image the breaker opened after {:.1} s, and a workflow ended after {:.1} s",
        opened.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );

    images::restore_own(tools)?;
    // By a trial, or by the first of the stuck pods that the kubelet tries again.
    until("the breaker to close", LIMIT, || {
        let map = release.home.path("configmaps/stepspan-breaker");
        let map = cluster.api().get(&map)?.accepted()?;
        let state = map["data"]["stopped"].as_str().unwrap_or_default();
        if state.contains("\"trial\"") {
            // A trial needs pods.
            steps.run(&fan_out(&format!("trial-{}", began.elapsed().as_secs())), "Succeeded")?;
        }
        // What stays is when it closed.
        Ok((!state.contains("phase")).then_some(()))
    })
    .with_context(|| release.state())?;
    release.traced("after")?;
    let ended = steps.wait_end(&stuck)?;
    ensure!(ended["status"]["phase"] == "Succeeded", "the stuck workflow: {}", ended["status"]["message"]);
    ensure!(injected(&steps.pods(&ended)?) == 4, "pods of the stuck workflow lost us");
    release.uninstall().map(drop)
}

fn injected(pods: &[Value]) -> usize {
    pods.iter().filter(|pod| pod.to_string().contains("stepspan-init")).count()
}
