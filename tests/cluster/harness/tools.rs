//! Where the programs of the cluster are, as `scripts/cluster-tools` names and builds them.
//!
//! The script alone knows the versions (from the go.mod files) and the cache folder; it is asked for both, so that
//! they are written down once. Nothing is built here: a test run must not start ten minutes of Go builds by surprise.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The programs and files a cluster is made of.
#[derive(Debug, Clone)]
pub struct Tools {
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    pub kube_controller_manager: PathBuf,
    pub workflow_controller: PathBuf,
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
            argo_crds: cache.join(format!("argo-crds-{argo_version}")),
            argo_version,
            cache,
        };
        let all = [
            &tools.etcd,
            &tools.kube_apiserver,
            &tools.kube_controller_manager,
            &tools.workflow_controller,
            &tools.argo_crds,
        ];
        ensure_there(&all, "scripts/cluster-tools api")?;
        Ok(tools)
    }
}

/// What the script names: versions (`kubernetes`, `argo`, ...) and paths (`cache`, `image`).
pub struct Known(BTreeMap<String, String>);

impl Known {
    pub fn ask() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster-tools");
        let output = Command::new(&script)
            .env("STEPSPAN_WHERE", "1")
            .output()
            .with_context(|| format!("cannot run {}", script.display()))?;
        ensure!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let entries = text.lines().filter_map(|line| line.split_once('='));
        Ok(Self(entries.map(|(key, value)| (key.into(), value.into())).collect()))
    }

    fn entry(&self, key: &str) -> Result<&str> {
        self.0.get(key).map(String::as_str).with_context(|| format!("scripts/cluster-tools names no {key}"))
    }

    pub fn path(&self, key: &str) -> Result<PathBuf> {
        Ok(self.entry(key)?.into())
    }

    /// A program it builds, of the version it names `version`.
    pub fn program(&self, name: &str, version: &str) -> Result<PathBuf> {
        Ok(self.path("cache")?.join("bin").join(format!("{name}-{}", self.entry(version)?)))
    }
}

/// An error that names what is missing, and how to get it.
pub fn ensure_there(all: &[&PathBuf], how: &str) -> Result<()> {
    let missing: Vec<String> =
        all.iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
    ensure!(missing.is_empty(), "missing {}; get it with: {how}", missing.join(", "));
    Ok(())
}
