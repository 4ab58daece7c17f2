//! Where the programs of the cluster are, as `scripts/cluster-tools` names and builds them.
//!
//! The script alone knows the versions (from the go.mod files) and the cache folder; it is asked for both, so that
//! they are written down once. Nothing is built here: a test run must not start ten minutes of Go builds by surprise.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::known::Known;

/// The programs and files a cluster is made of.
#[derive(Debug, Clone)]
pub struct Tools {
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    pub kube_controller_manager: PathBuf,
    pub workflow_controller: PathBuf,
    /// The OpenTelemetry Collector.
    pub otelcol: PathBuf,
    /// The folder of Argo's CRD manifests.
    pub argo_crds: PathBuf,
    /// The version of Argo, such as `v3.7.3`.
    pub argo_version: String,
    /// The cache folder; the clusters' own folders and the logs of failed runs are kept in it.
    pub cache: PathBuf,
}

impl Tools {
    /// Finds every program, or says which are missing and how to get them.
    pub fn locate() -> Result<Self> {
        let known = Known::ask()?;
        let argo_version = known.entry("argo")?.to_owned();
        let cache = known.path("cache")?;
        let tools = Self {
            etcd: known.program("etcd", "etcd")?,
            kube_apiserver: known.program("kube-apiserver", "kubernetes")?,
            kube_controller_manager: known.program("kube-controller-manager", "kubernetes")?,
            workflow_controller: known.program("workflow-controller", "argo")?,
            otelcol: known.program("otelcol", "otelcol")?,
            argo_crds: cache.join(format!("argo-crds-{argo_version}")),
            argo_version,
            cache,
        };
        let all = [
            &tools.etcd,
            &tools.kube_apiserver,
            &tools.kube_controller_manager,
            &tools.workflow_controller,
            &tools.otelcol,
            &tools.argo_crds,
        ];
        ensure_there(&all, "scripts/cluster-tools api")?;
        Ok(tools)
    }
}

/// An error that names what is missing, and how to get it.
pub fn ensure_there(all: &[&PathBuf], how: &str) -> Result<()> {
    let missing: Vec<String> =
        all.iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
    ensure!(missing.is_empty(), "missing {}; get it with: {how}", missing.join(", "));
    Ok(())
}
