//! Workflows of a cluster, and their pods.

use anyhow::{Context as _, bail};

use super::Args;
use super::input::{Found, found};
use crate::argo::names::WORKFLOW_LABEL;
use crate::cli::cluster::unreachable;
use crate::cli::tell;
use crate::cluster::ask::{ALL, Asker, Kind, Refusal};
use crate::cluster::client;
use crate::policy::syntax::is_dns_subdomain;

/// Looks for Workflows by their names, each of which is in one namespace.
pub(super) fn find(names: &[&str], args: &Args) -> anyhow::Result<Vec<Found>> {
    let given = names.iter().copied().chain(args.namespace.as_deref());
    if let Some(wrong) = given.into_iter().find(|name| !is_dns_subdomain(name)) {
        bail!("{wrong:?} is neither a file nor a name: lower-case letters, digits, - and .");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(ask(names, args))
}

async fn ask(names: &[&str], args: &Args) -> anyhow::Result<Vec<Found>> {
    let (client, url) = client::chosen(&args.cluster.chosen(None)).await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let ask = Asker::new(client);
    let mut objects = Vec::new();
    for name in names {
        let place = format!("Workflow {name} in namespace {namespace}");
        match ask.get(Kind::WORKFLOWS, Some(&namespace), name).await {
            Ok(workflow) => objects.push((place, workflow)),
            Err(Refusal::Absent) => {
                bail!("no file {name}, and no Workflow {name} in namespace {namespace}; --namespace names another")
            }
            Err(Refusal::Unauthorized(why) | Refusal::Failed(why)) => bail!(unreachable(&url, &why)),
            Err(refusal) => bail!("{place}: {refusal}"),
        }
        // Without its pods the run is shown all the same.
        match ask.list(Kind::PODS, Some(&namespace), &format!("{WORKFLOW_LABEL}%3D{name}"), ALL).await {
            Ok(pods) => objects.extend(pods.into_iter().map(|mut pod| {
                pod["kind"] = "Pod".into();
                (String::new(), pod)
            })),
            Err(refusal) => tell(format!("note: the pods of {name} are not known: {refusal}")),
        }
    }
    found(objects)
}
