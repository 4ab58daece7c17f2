//! The Collector is away for a whole run, or the backend behind it is.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    check::{argo_counts, counted, whole},
    place::{Place, Teller},
};
use crate::harness::{Cluster, ids::trace_id, namespace::describe};

/// A dag of four commands.
const DAG: &str = include_str!("../node/workflows/dag.yaml");
const COMMANDS: usize = 4;
/// Longer than a step tries to send its span, and the watcher waits for a pod's last word.
const LATER: Duration = Duration::from_secs(12);

/// No Collector while the Workflow runs. What the watcher tells comes later; steps end, and cannot wait.
pub fn collector_away(cluster: &Cluster) -> Result<()> {
    let mut place = Place::prepare(cluster, "no-collector", &Teller::Watch)?;
    place.start_jaeger()?;
    let ended = run(&place, "no-collector")?;
    thread::sleep(LATER);
    ensure!(!place.jaeger.knows(&trace_id(&ended)?)?, "something arrived nowhere");
    place.collector.start()?;
    whole(&place.jaeger, &ended, 0).with_context(|| describe(&ended))?;
    finish(place, "no-collector", &ended)
}

/// No Jaeger while the Workflow runs, and the Collector is killed before there is one: what it took is on its disk.
pub fn backend_away(cluster: &Cluster) -> Result<()> {
    let mut place = Place::prepare(cluster, "no-backend", &Teller::Watch)?;
    place.collector.start()?;
    let ended = run(&place, "no-backend")?;
    thread::sleep(LATER);
    place.collector.kill();
    place.start_jaeger()?;
    ensure!(!place.jaeger.knows(&trace_id(&ended)?)?, "something arrived nowhere");
    place.collector.start()?;
    whole(&place.jaeger, &ended, COMMANDS).with_context(|| describe(&ended))?;
    finish(place, "no-backend", &ended)
}

/// Runs the dag as one of this repository.
fn run(place: &Place<'_>, repo: &str) -> Result<Value> {
    place.release.steps.run(&DAG.replacen("repo: shop-api", &format!("repo: {repo}"), 1), "Succeeded")
}

fn finish(place: Place<'_>, repo: &str, ended: &Value) -> Result<()> {
    for job in ["pods", "collector"] {
        counted(&place.prometheus, job, repo, argo_counts(&[ended]))?;
    }
    place.end()
}
