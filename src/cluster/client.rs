//! The client of the Kubernetes API.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Longer than the API server ever lets a plain request take; watches have a limit of their own.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// Which cluster a person means, as kubectl's flags say it.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Instead of `$KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// Instead of the kubeconfig's current context.
    pub context: Option<String>,
}

/// There is no way to the API server.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach a Kubernetes API server: {0}; run it in a pod with a service account, or set KUBECONFIG")]
pub struct ClientError(String);

/// A client by `$KUBECONFIG` or `~/.kube/config` where there is one, else by the pod's service account.
///
/// # Errors
/// Neither is there, or it is not to be read.
pub async fn client() -> Result<Client, ClientError> {
    made(config(&Chosen::default()).await?)
}

/// A client for a person's questions, which does not repeat itself, and the URL it asks.
///
/// # Errors
/// There is no such kubeconfig or context, or it is not to be read.
pub async fn chosen(chosen: &Chosen) -> Result<(Client, String), ClientError> {
    let mut config = config(chosen).await?;
    config.default_retry = false;
    let url = config.cluster_url.to_string();
    Ok((made(config)?, url))
}

async fn config(chosen: &Chosen) -> Result<Config, ClientError> {
    let failed = |error: &dyn std::error::Error| ClientError(in_words(error));
    let options = KubeConfigOptions { context: chosen.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &chosen.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
        return Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| failed(&error));
    }
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("KUBECONFIG").is_none();
    if in_pod && chosen.context.is_none() {
        return Config::incluster().map_err(|error| failed(&error));
    }
    Config::from_kubeconfig(&options).await.map_err(|error| failed(&error))
}

fn made(mut config: Config) -> Result<Client, ClientError> {
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(|error| ClientError(in_words(&error)))
}

/// An error with what caused it: the outermost alone often says only that something failed.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
