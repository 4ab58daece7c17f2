//! Where the programs of a node are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::harness::tools;

/// Programs and files of a node, all there.
#[derive(Debug, Clone)]
pub struct NodeTools {
    pub kubelet: PathBuf,
    pub kube_proxy: PathBuf,
    pub kube_scheduler: PathBuf,
    pub argoexec: PathBuf,
    pub otelcol: PathBuf,
    pub containerd: PathBuf,
    pub dnsmasq: PathBuf,
    /// Static, with all its applets.
    pub busybox: PathBuf,
    /// The folder of CNI plugins.
    pub cni_plugins: PathBuf,
    /// The root of a small Debian.
    pub debian_root: PathBuf,
    /// What `make image` wrote.
    pub stepspan_image: PathBuf,
}

impl NodeTools {
    /// Finds everything, or says what is missing and how to get it.
    pub fn locate() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a node that runs pods needs root");
        let known = tools::ask_script()?;
        let entry =
            |key: &str| known.get(key).cloned().with_context(|| format!("scripts/cluster-tools names no {key}"));
        let cache = PathBuf::from(entry("cache")?);
        let program = |name: &str, version: &str| cache.join("bin").join(format!("{name}-{version}"));
        let kubernetes = entry("kubernetes")?;
        let located = Self {
            kubelet: program("kubelet", &kubernetes),
            kube_proxy: program("kube-proxy", &kubernetes),
            kube_scheduler: program("kube-scheduler", &kubernetes),
            argoexec: program("argoexec", &entry("argo")?),
            otelcol: program("otelcol", &entry("otelcol")?),
            containerd: "/usr/bin/containerd".into(),
            dnsmasq: "/usr/sbin/dnsmasq".into(),
            busybox: "/bin/busybox".into(),
            cni_plugins: "/usr/lib/cni".into(),
            debian_root: cache.join("debian-root"),
            stepspan_image: entry("image")?.into(),
        };
        located.ensure_there()?;
        Ok(located)
    }

    fn ensure_there(&self) -> Result<()> {
        let all: [&Path; 11] = [
            &self.kubelet,
            &self.kube_proxy,
            &self.kube_scheduler,
            &self.argoexec,
            &self.otelcol,
            &self.containerd,
            &self.dnsmasq,
            &self.busybox,
            &self.cni_plugins,
            &self.debian_root,
            &self.stepspan_image,
        ];
        let missing: Vec<String> =
            all.into_iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
        ensure!(
            missing.is_empty(),
            "missing {}; get them with: scripts/cluster-tools node && make image",
            missing.join(", ")
        );
        Ok(())
    }
}
