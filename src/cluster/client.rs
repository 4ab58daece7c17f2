//! The client of the Kubernetes API.

use std::time::Duration;

use kube::{Client, Config, config::KubeConfigOptions};

/// Longer than the API server ever lets a plain request take; watches have a limit of their own.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// There is no way to the API server.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach a Kubernetes API server: {0}; run it in a pod with a service account, or set KUBECONFIG")]
pub struct ClientError(String);

/// A client by `$KUBECONFIG` or `~/.kube/config` where there is one, else by the pod's service account.
///
/// # Errors
/// Neither is there, or it is not to be read.
pub async fn client() -> Result<Client, ClientError> {
    let failed = |error: &dyn std::fmt::Display| ClientError(error.to_string());
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("KUBECONFIG").is_none();
    let mut config = if in_pod {
        Config::incluster().map_err(|error| failed(&error))?
    } else {
        Config::from_kubeconfig(&KubeConfigOptions::default()).await.map_err(|error| failed(&error))?
    };
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(|error| failed(&error))
}
