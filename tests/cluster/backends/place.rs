//! Where a trial happens: a release of the chart, and what shows what it tells.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use serde_json::json;

use super::shown::{BackendTools, Jaeger, Prometheus, Shipped};
use crate::{
    cases::watch::text,
    harness::{Cluster, wait::until},
    node::{
        parity::patient_policy,
        release::{RELEASE, Release},
    },
};

/// Fields are dropped in order.
pub struct Place<'c> {
    pub cluster: &'c Cluster,
    pub release: Release<'c>,
    pub collector: Shipped<'c>,
    pub jaeger: Jaeger<'c>,
    pub prometheus: Prometheus,
    pub tools: BackendTools,
    /// What its processes keep.
    pub folder: PathBuf,
}

/// Who tells what.
pub enum Teller {
    Watch,
    Shims,
}

impl<'c> Place<'c> {
    /// Installs a release, and starts Prometheus. Collector and Jaeger are the trial's to start.
    pub fn prepare(cluster: &'c Cluster, stem: &str, teller: &Teller) -> Result<Self> {
        let tools = BackendTools::locate()?;
        clear(cluster)?;
        let mut release = Release::prepare(cluster, stem)?;
        let jaeger = Jaeger::prepare(cluster)?;
        let folder = cluster.dir().join(format!("backends-{}", release.home.name()));
        let config = if matches!(teller, Teller::Watch) { "watch" } else { "shim" };
        let collector = Shipped::prepare(cluster, config, folder.clone(), jaeger.otlp)?;
        release.endpoint = collector.url();
        release.watched = matches!(teller, Teller::Watch);
        // The chart's own policy, but for patience: dozens of containers let each other wait on a small machine.
        let policy = patient_policy().replace("http://otel-collector:4317", &collector.url());
        let policy = format!("policies.files={}", json!({"steps.yaml": policy}));
        let owner: &[&str] = match teller {
            Teller::Watch => &["--set", "watch.otlpMetrics=2s"],
            Teller::Shims => &["--set", "metrics.owner=shim"],
        };
        let values = ["--set", "replicas=1", "--set", "policies.default=false", "--set-json", &policy];
        release.install(&[&values, owner].concat())?;
        release.until_in_force()?;
        let scraped = Some(collector.metrics);
        let prometheus = Prometheus::start(cluster, &tools.prometheus, &folder, &release.home, scraped)?;
        Ok(Self { cluster, release, collector, jaeger, prometheus, tools, folder })
    }

    /// The same with Collector and Jaeger running.
    pub fn furnished(cluster: &'c Cluster, stem: &str, teller: &Teller) -> Result<Self> {
        let mut place = Self::prepare(cluster, stem, teller)?;
        place.start_jaeger()?;
        place.collector.start()?;
        Ok(place)
    }

    /// Takes the release away; what it has to say still is heard.
    pub fn end(self) -> Result<()> {
        self.release.helm(&["uninstall", RELEASE]).map(drop)
    }

    pub fn start_jaeger(&mut self) -> Result<()> {
        self.jaeger.start(&self.tools.jaeger)
    }
}

/// Takes away the Workflows of trials before: each release counts all of its cluster, and lines of all steps' pods are read.
fn clear(cluster: &Cluster) -> Result<()> {
    const LIMIT: Duration = Duration::from_mins(4);
    const WORKFLOWS: &str = "/apis/argoproj.io/v1alpha1/workflows";
    const PODS: &str = "/api/v1/pods?labelSelector=workflows.argoproj.io%2Fworkflow";
    for workflow in cluster.api().list(WORKFLOWS)? {
        let (namespace, name) = (text(&workflow["metadata"]["namespace"])?, text(&workflow["metadata"]["name"])?);
        cluster
            .api()
            .delete(&format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/{name}"))?
            .settled()?;
    }
    until("the Workflows of trials before to go, with their pods", LIMIT, || {
        let gone = cluster.api().list(WORKFLOWS)?.is_empty() && cluster.api().list(PODS)?.is_empty();
        Ok(gone.then_some(()))
    })
}
