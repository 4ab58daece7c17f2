//! Where the programs of the cluster are, as `scripts/cluster-tools` names and builds them.
//!
//! The script alone knows the versions (from the go.mod files) and the cache folder; it is asked for both, so that
//! they are written down once. Nothing is built here: a test run must not start ten minutes of Go builds by surprise.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, ensure};

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
        let known = ask_script()?;
        let entry =
            |key: &str| known.get(key).cloned().with_context(|| format!("scripts/cluster-tools names no {key}"));
        let cache = PathBuf::from(entry("cache")?);
        let (kubernetes, argo_version) = (entry("kubernetes")?, entry("argo")?);
        let program = |name: &str, version: &str| cache.join("bin").join(format!("{name}-{version}"));
        let tools = Self {
            etcd: program("etcd", &entry("etcd")?),
            kube_apiserver: program("kube-apiserver", &kubernetes),
            kube_controller_manager: program("kube-controller-manager", &kubernetes),
            workflow_controller: program("workflow-controller", &argo_version),
            argo_crds: cache.join(format!("argo-crds-{argo_version}")),
            argo_version,
            cache,
        };
        tools.missing().map_or(Ok(tools), Err)
    }

    fn missing(&self) -> Option<anyhow::Error> {
        let all = [
            &self.etcd,
            &self.kube_apiserver,
            &self.kube_controller_manager,
            &self.workflow_controller,
            &self.argo_crds,
        ];
        let missing: Vec<String> =
            all.into_iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
        (!missing.is_empty()).then(|| anyhow!("missing {}; build with: scripts/cluster-tools api", missing.join(", ")))
    }
}

/// What the script names: `kubernetes`, `argo`, ... (versions), `cache`, `image` (paths).
pub fn ask_script() -> Result<BTreeMap<String, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster-tools");
    let output = Command::new(&script)
        .env("STEPSPAN_WHERE", "1")
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect())
}
