//! The chart as it comes: `helm install`, a workflow, `helm upgrade`, `helm uninstall`.

use std::time::Instant;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use super::{
    release::{Release, workflow},
    trial,
};
use crate::{
    cases::{Shared, doctor},
    harness::{Cluster, doctor::Doctor},
};

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    // How long the first trace takes is measured: nothing else runs meanwhile.
    vec![trial(
        cluster,
        "node::install::from_nothing_to_a_trace_and_back".into(),
        true,
        from_nothing_to_a_trace_and_back,
    )]
}

fn from_nothing_to_a_trace_and_back(cluster: &Cluster) -> Result<()> {
    let mut release = Release::prepare(cluster, "installed")?;
    release.definitions = true;
    let began = Instant::now();
    let notes = release.install(&[])?;
    ensure!(notes.contains("kubectl get pods -l workflows.argoproj.io/workflow"), "the notes: {notes}");
    let ready = began.elapsed();
    release.until_in_force()?;
    the_doctor_finds_nothing_wrong_with_it(cluster, &release)?;

    let traced = release.traced("first")?;
    eprintln!(
        "cluster: helm install was ready after {:.1} s, the first workflow traced after {:.1} s",
        ready.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );
    let before = release.bundles()?;
    ensure!(before.iter().all(Value::is_string), "no CA: {before:?}");
    ensure!(
        release.home.list("pods")?.iter().all(|pod| !pod.to_string().contains("stepspan-init")),
        "the webhook injected itself"
    );

    // A render knows nothing of the bundle, and leaves it.
    release.upgrade(&["--set", "environment=prod"])?;
    ensure!(release.bundles()? == before, "an upgrade changed the caBundle");
    ensure!(release.traced("second")? == traced, "fewer spans after the upgrade");

    release.uninstall()?;
    let configuration = cluster.api().get(&release.configuration())?;
    ensure!(configuration.status == 404, "the webhook configuration is still there");
    let policies = cluster.api().get("/apis/stepspan.dev/v1alpha1/injectionpolicies")?;
    ensure!(policies.is_success(), "the definition of policies went with the release: {}", policies.message());
    let ended = workflow("third")?.run(&release.steps)?;
    let pods = release.steps.pods(&ended)?;
    ensure!(pods.iter().all(|pod| !pod.to_string().contains("stepspan")), "injected after the uninstall");
    Ok(())
}

/// The name server knows every name of a Collector; the doctor wants a Service too.
fn the_doctor_finds_nothing_wrong_with_it(cluster: &Cluster, release: &Release<'_>) -> Result<()> {
    doctor::collector(&release.steps)?;
    let (home, steps) = (release.home.name(), Some(release.steps.name()));
    let examined = Doctor::of(cluster).ask(&["-n", release.steps.name(), "--release-namespace", home])?;
    let expected = [
        (None, "webhook", "failurePolicy Ignore"),
        (None, "caBundle", "in date on every webhook"),
        (None, "endpoints", "2 ready"),
        (None, "replicas", "stepspan: 2 of 2 ready"),
        (None, "certificate", "trusted by every webhook, 89 days left"),
        (None, "breaker", "closed"),
        (None, "policies", "agent-steps (1 in ConfigMap stepspan-policies)"),
        (steps, "trial pod", "admitted, and injected by stepspan-"),
        (steps, "endpoint", "1 ready"),
    ];
    for (namespace, check, found) in expected {
        examined.expect(namespace, check, "ok", found)?;
    }
    ensure!(examined.code == Some(0), "{examined}");
    Ok(())
}
