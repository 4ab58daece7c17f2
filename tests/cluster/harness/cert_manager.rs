//! cert-manager's controller and cainjector, of `tools/cert-manager`, as processes beside the cluster's.
//!
//! Its webhook is not here: it judges what people write, and fills in nothing that its CRDs do not.

use std::path::Path;

use anyhow::Result;

use super::{Cluster, crds, known::Known, processes::Process, tools::ensure_there};

/// At work until it is dropped; what it made stays, like its CRDs, as long as the cluster.
pub struct CertManager {
    processes: [Process; 2],
}

impl CertManager {
    /// cainjector puts a new CA in the place of the old one, as before 1.19; since then it keeps the old one too (`CAInjectorMerging`),
    /// which forgives more.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let known = Known::ask()?;
        let program = known.program("cert-manager", "cert_manager")?;
        let manifests = known.path("cache")?.join(format!("cert-manager-crds-{}", known.entry("cert_manager_crds")?));
        ensure_there(&[&program, &manifests], "scripts/cluster-tools node")?;
        crds::install(cluster.api(), &manifests)?;
        let kubeconfig = cluster.dir().join("admin.kubeconfig");
        let start = |part: &str, features: &str| {
            let args = [part, &kubeconfig.display().to_string(), features];
            cluster.spawn(&format!("cert-manager-{part}"), Path::new(&program), &args, &[])
        };
        Ok(Self { processes: [start("controller", "")?, start("cainjector", "CAInjectorMerging=false")?] })
    }

    /// The ends of their logs, for a trial that failed.
    pub fn tails(&self) -> String {
        self.processes.iter().map(Process::log_tail).collect::<Vec<_>>().join("\n")
    }
}
