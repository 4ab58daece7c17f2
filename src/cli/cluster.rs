//! Which cluster a person means.

use std::path::PathBuf;

use crate::cluster::client::Chosen;

/// As kubectl's flags say it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct Cluster {
    /// Kubeconfig [default: `$KUBECONFIG`, or `~/.kube/config`; in a pod its service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context_name: Option<String>,
}

impl Cluster {
    /// The cluster; `context` is one that was given by another name.
    pub(super) fn chosen(&self, context: Option<&String>) -> Chosen {
        Chosen { kubeconfig: self.kubeconfig.clone(), context: self.context_name.as_ref().or(context).cloned() }
    }
}

/// What to do where nobody answers at `url`.
pub(super) fn unreachable(url: &str, why: &str) -> String {
    format!(
        "cannot ask the API server at {url}: {why}\n  hint: check --kubeconfig and --context-name; `kubectl version` asks the same server"
    )
}
