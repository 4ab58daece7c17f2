//! `stepspan doctor --run`: pods that pull our image and look at the Collector, and are gone afterwards.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::trial;
use crate::{
    cases::{Shared, doctor::collector},
    harness::{
        Cluster,
        doctor::Doctor,
        namespace::Namespace,
        node::{ADDRESS, BLACK_HOLE_PORT},
        wait::until,
    },
};

const LIMIT: Duration = Duration::from_mins(3);
const REACHED: &str = "endpoint, from a pod";
const NOWHERE: [&str; 3] = ["--release-namespace", "nowhere", "--run"];

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named =
        |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("node::doctor::{name}"), false, body);
    vec![
        named("a_pod_pulls_the_image_and_reaches_the_collector", a_pod_pulls_the_image_and_reaches_the_collector),
        named("an_interrupted_run_leaves_no_pod", an_interrupted_run_leaves_no_pod),
    ]
}

/// Argo's own pods are none of these.
fn pods(namespace: &Namespace<'_>) -> Result<Vec<Value>> {
    namespace.list("pods?labelSelector=workflows.argoproj.io/workflow%3Dstepspan-doctor")
}

fn gone(namespace: &Namespace<'_>) -> Result<()> {
    until("the pod to be gone", LIMIT, || Ok(pods(namespace)?.is_empty().then_some(())))
}

fn a_pod_pulls_the_image_and_reaches_the_collector(cluster: &Cluster) -> Result<()> {
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = cluster.namespace("doctor", &restricted)?;
    collector(&namespace)?;
    let (doctor, own) = (Doctor::of(cluster), Some(namespace.name()));
    let args = |more: &[&'static str]| [&["-n", namespace.name()][..], &NOWHERE, more].concat();

    let examined = doctor.ask(&args(&[]))?;
    examined.expect(None, "nodes", "ok", "1 linux/")?;
    examined.expect(own, "image", "ok", "runs on node")?;
    // After more than a step would wait for, where the machine is busy.
    let answered = "http://otel-collector:4317 answered after";
    examined.expect(own, REACHED, "ok", answered).or_else(|_| examined.expect(own, REACHED, "warn", answered))?;
    ensure!(examined.code == Some(0), "{examined}");
    ensure!(examined.stderr.contains("created, waiting up to 60 s"), "{examined}");
    gone(&namespace)?;

    let examined = doctor.ask(&args(&["--image", "localhost/absent:1"]))?;
    examined.expect(own, "image", "fail", "localhost/absent:1: ErrImagePull: ")?;
    ensure!(examined.code == Some(1), "{examined}");
    gone(&namespace)
}

fn an_interrupted_run_leaves_no_pod(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    let policy = cluster.dir().join("black-hole.yaml");
    let endpoint = format!("http://{ADDRESS}:{BLACK_HOLE_PORT}");
    fs::write(
        &policy,
        format!(
            "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: p}}\nspec: {{otlp: {{endpoint: \"{endpoint}\"}}}}\n"
        ),
    )?;
    let doctor = Doctor::of(cluster);
    let policy = policy.display().to_string();
    let args = [&["-n", namespace.name(), "--policy", &policy][..], &NOWHERE].concat();
    let mut child = doctor.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let interrupted = interrupt(&mut child, &namespace);
    // Whatever went wrong: it must not outlive the trial.
    let _ = child.kill();
    let code = interrupted.and_then(|()| child.wait().map_err(Into::into))?.code();
    ensure!(code == Some(130), "exit {code:?}");
    gone(&namespace)?;

    // The same to its end: whoever is silent is told of.
    let examined = doctor.ask(&args)?;
    ensure!(
        examined.of(Some(namespace.name()), "endpoint").is_empty(),
        "what a pod has looked at is skipped: {examined}"
    );
    examined.expect(Some(namespace.name()), REACHED, "fail", "no answer within 5000 ms")?;
    gone(&namespace)
}

/// Ctrl-C once the pod is there; returns when the program has ended.
fn interrupt(child: &mut Child, namespace: &Namespace<'_>) -> Result<()> {
    until("the pod to be there", LIMIT, || Ok((!pods(namespace)?.is_empty()).then_some(())))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
    kill_process(pid, Signal::INT)?;
    until("the program to end", LIMIT, || Ok(child.try_wait()?.map(drop)))
}
