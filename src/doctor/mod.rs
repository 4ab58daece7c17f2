//! Checks a cluster before and after install: what [`stepspan doctor`](crate::cli) prints.
//!
//! [`survey`] asks what is the same for all namespaces, `namespace` what is each one's own; both only fetch, through [`ask`](crate::cluster::ask). What
//! an answer means is said by functions from plain JSON to [`report::Finding`]s: [`server`], [`argo`], [`install`],
//! [`certificates`], [`breaker`], [`policies`], [`limits`], [`trial`] (of a [`pod`]), [`endpoint`], [`others`]. [`run`] is the one
//! that changes the cluster, and only where it is asked to.
//!
//! Invariants:
//! - Without `run`, every request is a read or a server-side dry-run, which has no side effects.
//! - What may not be read is skipped, with the right that is missing; what is not there is said, never guessed.
//! - Every request has a limit of time, every list one of length.
//! - Of a Secret only the names of keys are looked at, and of that of the certificate both halves, whether they belong together; no value is in any text.

pub mod argo;
pub mod breaker;
pub mod certificates;
pub mod egress;
pub mod endpoint;
pub mod install;
pub mod limits;
mod namespace;
pub mod others;
pub mod pod;
pub mod policies;
pub mod report;
pub mod rules;
pub mod run;
pub mod server;
pub mod survey;
pub mod trial;

use std::future::Future;

use crate::cluster::ask;
use ask::Asker;
use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    namespace::Examined,
    policies::Policies,
    report::{Group, Report, State, Subject},
    survey::Survey,
};

/// What is to be looked at.
#[derive(Debug, Default)]
pub struct Options {
    /// Namespaces in which steps run; where empty, those that hold workflows.
    pub namespaces: Vec<String>,
    /// The namespace of the install; where absent, the webhook configuration says it.
    pub release: Option<String>,
    /// Policies instead of the cluster's.
    pub policies: Option<Policies>,
    /// The image instead of the install's.
    pub image: Option<String>,
    /// Run a pod in each namespace.
    pub run: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not answer, or not to us.
    #[error("{0}")]
    Unreachable(String),
    /// A signal came while pods ran; they are deleted.
    #[error("interrupted")]
    Interrupted,
}

/// Looks at everything; `tell` hears how far a run of pods is.
///
/// # Errors
/// There is no API server to ask, or a signal came.
pub async fn examine(ask: &Asker, options: Options, tell: &dyn Fn(String)) -> Result<Report, Error> {
    let (names, chosen, run) = (options.namespaces.clone(), options.namespaces.is_empty(), options.run);
    let survey = Survey::take(ask, options).await?;
    let mut cluster = survey.cluster();
    let names = if chosen {
        let (names, finding) = survey.namespaces(ask).await;
        cluster.push(finding);
        names
    } else {
        names
    };
    let install = survey.install(ask).await;
    let mut examined = join_all(names.into_iter().map(|name| Examined::of(ask, &survey, name))).await;
    if run {
        let runs = examined.iter().map(|namespace| namespace.run(ask, &survey, tell, interrupted()));
        let found: Result<Vec<_>, _> = join_all(runs).await.into_iter().collect();
        let found = found.map_err(|run::Interrupted| Error::Interrupted)?;
        for (namespace, findings) in examined.iter_mut().zip(found) {
            // What was left to a pod has been looked at by one.
            if findings.iter().any(|finding| finding.check == run::REACHED && finding.state != State::Skip) {
                namespace.findings.retain(|finding| finding.check != endpoint::CHECK || finding.state != State::Skip);
            }
            namespace.findings.extend(findings);
        }
    }
    let mut groups = vec![
        Group { subject: Subject::Cluster, findings: cluster },
        Group { subject: Subject::Install, findings: install },
    ];
    groups.extend(
        examined
            .into_iter()
            .map(|namespace| Group { subject: Subject::Namespace(namespace.name), findings: namespace.findings }),
    );
    Ok(Report { groups })
}

/// Ends when somebody wants us to stop.
fn interrupted() -> impl Future<Output = ()> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let [Ok(mut interrupt), Ok(mut terminate)] = signals else { return std::future::pending().await };
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
    }
}
