//! Where the programs of a node are.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::harness::{known::Known, tools::ensure_there};

/// Programs and files of a node, all there.
#[derive(Debug, Clone)]
pub struct NodeTools {
    pub kubelet: PathBuf,
    pub kube_proxy: PathBuf,
    pub kube_scheduler: PathBuf,
    pub argoexec: PathBuf,
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
        let known = Known::ask()?;
        let tools = Self {
            kubelet: known.program("kubelet", "kubernetes")?,
            kube_proxy: known.program("kube-proxy", "kubernetes")?,
            kube_scheduler: known.program("kube-scheduler", "kubernetes")?,
            argoexec: known.program("argoexec", "argo")?,
            containerd: "/usr/bin/containerd".into(),
            dnsmasq: "/usr/sbin/dnsmasq".into(),
            busybox: "/bin/busybox".into(),
            cni_plugins: "/usr/lib/cni".into(),
            debian_root: known.path("cache")?.join("debian-root"),
            stepspan_image: known.path("image")?,
        };
        let all = [
            &tools.kubelet,
            &tools.kube_proxy,
            &tools.kube_scheduler,
            &tools.argoexec,
            &tools.containerd,
            &tools.dnsmasq,
            &tools.busybox,
            &tools.cni_plugins,
            &tools.debian_root,
            &tools.stepspan_image,
        ];
        ensure_there(&all, "scripts/cluster-tools node && make image")?;
        Ok(tools)
    }
}
