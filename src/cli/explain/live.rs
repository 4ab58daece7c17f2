//! A pod of a cluster, as Argo made it, and the policies in force there.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::{Args, job};
use crate::cli::cluster::unreachable;
use crate::cli::dry_run::{self, Given, Job, Policies};
use crate::cli::tell;
use crate::cluster::ask::{Asker, Refusal};
use crate::cluster::client;
use crate::cluster::step::{self, Found};
use crate::context::Context;
use crate::doctor::report::State;
use crate::doctor::survey::InForce;
use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::policy::syntax::is_dns_subdomain;

/// Explains one pod.
pub(super) fn explain(name: &str, args: Args) -> anyhow::Result<ExitCode> {
    if let Some(wrong) =
        [Some(name), args.input.namespace.as_deref()].into_iter().flatten().find(|n| !is_dns_subdomain(n))
    {
        bail!("{wrong:?} is no name of a pod or namespace: lower-case letters, digits, - and .");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let (found, namespace, in_force) = runtime.block_on(ask(name, &args))?;
    let Found { pod, namespace: labels, mut unknown, workflow_unread, notes } = found;
    for note in notes {
        tell(format!("note: {note}"));
    }
    let (policies, mut context) = match in_force {
        None => {
            let rules = Rules { allow_env: args.facts.allow_env.clone() };
            let Some(set) = crate::cli::policies(&args.policies, &rules) else { return Ok(ExitCode::from(2)) };
            (set, Context::default())
        }
        Some(InForce { policies, context, findings }) => {
            for finding in findings.iter().filter(|finding| matches!(finding.state, State::Fail | State::Skip)) {
                tell(format!("note: {}: {}", finding.check, finding.found));
            }
            tell(format!("note: policies in force: {}", policies.from));
            (policies.set, context)
        }
    };
    if workflow_unread {
        unknown = carried(&policies, &namespace);
    }
    if let Some(manifest) = &labels {
        context.take_namespace(manifest);
    }
    context.unresolved = unknown;
    let given = vec![Given { name: format!("pod/{name}"), text: pod.to_string() }];
    dry_run::work(Job { given, context, policies: Policies::Loaded(policies), ..job(args) })
}

async fn ask(name: &str, args: &Args) -> anyhow::Result<(Found, String, Option<InForce>)> {
    let (client, url) = client::chosen(&args.cluster.chosen(None)).await?;
    let namespace = args.input.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let ask = Asker::new(client);
    let in_force = if args.policies.is_empty() { Some(InForce::ask(&ask).await) } else { None };
    let allowed = in_force.as_ref().map_or(&args.facts.allow_env, |known| &known.context.allow_env);
    match step::find(&ask, &namespace, name, allowed).await {
        Ok(found) => Ok((found, namespace, in_force)),
        Err(Refusal::Absent) => bail!("no pod {name} in namespace {namespace}; --namespace names another"),
        Err(Refusal::Unauthorized(why) | Refusal::Failed(why)) => bail!(unreachable(&url, &why)),
        Err(refusal) => bail!("pod {name} in namespace {namespace}: {refusal}"),
    }
}

/// All that policies want carried to pods of a namespace, as sources.
fn carried(policies: &PolicySet, namespace: &str) -> Vec<String> {
    policies.carried(namespace).map(|(kind, name)| kind.source(name)).collect()
}
