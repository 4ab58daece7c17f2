//! The client of the Kubernetes API.
//!
//! kube's own gives a connection no sign of life, so a watch whose other end is gone without a word (a node that died, a
//! load balancer that forgot it) would wait until the watch's own end, some five minutes. This one finds out by TCP.

use std::{path::PathBuf, time::Duration};

use axum::http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::{
    client::{
        legacy::{
            self,
            connect::{Connection, HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt, retry::RetryPolicy},
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{BoxError, Service, ServiceBuilder, retry::RetryLayer};

/// Until an answer begins. A watch begins at once, and then goes on for as long as it likes.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be quiet before it is asked for a sign of life, how often it is asked, and how many times.
const QUIET: Duration = Duration::from_secs(10);
const ASK: Duration = Duration::from_secs(5);
const ASKED: u32 = 3;

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

fn made(config: Config) -> Result<Client, ClientError> {
    match proxy(&config) {
        None => over(connector(), config),
        Some(proxy) if proxy.uri().scheme_str() == Some("http") => {
            let tunnel = Tunnel::new(proxy.uri().clone(), connector());
            let authorized = proxy.basic_auth().map(|header| tunnel.clone().with_auth(header.clone()));
            over(authorized.unwrap_or(tunnel), config)
        }
        Some(proxy) => {
            let kind = proxy.uri().scheme_str().unwrap_or("?");
            Err(ClientError(format!(
                "it is to be reached by a proxy of kind {kind} (proxy-url, or HTTPS_PROXY), and only http is known"
            )))
        }
    }
}

/// The proxy to it: the kubeconfig's, or the environment's where `NO_PROXY` does not spare it. kube reads both, and holds `NO_PROXY`
/// against the proxy's own address.
fn proxy(config: &Config) -> Option<Intercept> {
    let url = config.proxy_url.as_ref()?;
    let of_environment = |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok());
    let by_environment =
        of_environment(["HTTPS_PROXY", "https_proxy"]).is_some_and(|it| it.parse::<Uri>().is_ok_and(|it| it == *url));
    let spared = of_environment(["NO_PROXY", "no_proxy"]).filter(|_| by_environment);
    Matcher::builder().all(url.to_string()).no(spared.unwrap_or_default()).build().intercept(&config.cluster_url)
}

fn over<C>(connector: C, config: Config) -> Result<Client, ClientError>
where
    C: 'static + Clone + Send + Sync + Service<Uri>,
    C::Response: 'static + Connection + Read + Write + Send + Unpin,
    C::Future: 'static + Send,
    C::Error: 'static + Send + Sync + std::error::Error,
{
    let failed = |error: kube::Error| ClientError(in_words(&error));
    let https = config.rustls_https_connector_with_connector(connector).map_err(failed)?;
    let retry = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .timeout(PATIENCE)
        .layer(config.base_uri_layer())
        .option_layer(retry)
        .option_layer(config.auth_layer().map_err(failed)?)
        .layer(config.extra_headers_layer().map_err(failed)?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(https));
    Ok(Client::new(service, config.default_namespace))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(QUIET));
    connector.set_keepalive_interval(Some(ASK));
    connector.set_keepalive_retries(Some(ASKED));
    // The same for what was sent and not acknowledged, which no keepalive asks about (tcp(7)).
    connector.set_tcp_user_timeout(Some(QUIET + ASK * ASKED));
    connector
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
