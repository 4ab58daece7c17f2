//! `stepspan status`: from arguments to questions, from a [`Report`] to a table or JSON and an exit code.

mod render;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::cluster::{Cluster, unreachable};
use super::palette::{Colour, Palette};
use super::tell;
use crate::cluster::ask::Asker;
use crate::cluster::client;
use crate::coverage::facts::Facts;
use crate::coverage::judge::judge;
use crate::coverage::report::Report;
use crate::coverage::{self, labels};
use crate::doctor::policies::Policies;
use crate::doctor::survey::Survey;
use crate::doctor::{Error, Options};
use crate::policy::compile::Rules;
use crate::policy::syntax::is_dns_subdomain;

/// Show which steps' pods were injected, and why others were not
///
/// Looks at the pods of steps that the cluster still has, running and finished, at the webhook and at the policies in force.
/// What admission wrote into a pod counts; where it wrote nothing, the policies of today say whether it was meant.
/// Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 as it should be; 1 less than --min-coverage; 2 bad input, or no API server.", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Namespace in which steps run [default: all]
    #[arg(short, long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// Namespace of the install [default: as the webhook configuration says]
    #[arg(long, value_name = "NAME")]
    release_namespace: Option<String>,
    /// Policy file or folder [default: the install's policies]
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Fail where less of what is meant is injected, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// What to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
    /// Context of the kubeconfig, under kubectl's name for it
    #[arg(long = "context", value_name = "NAME", hide = true)]
    context: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each namespace, and one for each reason and time
    Table,
    /// The same as one JSON object
    Json,
}

const EXAMPLES: &str = "\
Exit status:
  0  as it should be
  1  less of what is meant is injected than --min-coverage says
  2  bad input, or the API server cannot be reached

Examples:
  # Of the steps in two namespaces:
  stepspan status -n ci -n builds

  # As a check:
  stepspan status --min-coverage 95

  # What was missed while the webhook was away:
  stepspan status -o json | jq '.windows[] | select(.reason == \"unanswered\")'";

/// Asks, and prints.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    for name in args.namespaces.iter().chain(&args.release_namespace) {
        if !is_dns_subdomain(name) {
            bail!("{name:?} is no name of a namespace: lower-case letters, digits and -");
        }
    }
    let mut policies = None;
    if !args.policies.is_empty() {
        let Some(set) = super::policies(&args.policies, &Rules::default()) else { return Ok(ExitCode::from(2)) };
        policies = Some(Policies { set, from: "from --policy".into() });
    }
    // Questions wait more than they work.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let report = runtime.block_on(ask(args, policies))?;
    let mut text = Vec::new();
    match args.output {
        Output::Table => render::table(&report, Palette::of(args.color), &mut text)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut text, &report)?;
            text.push(b'\n');
        }
    }
    super::written(io::stdout().write_all(&text))?;
    let least = args.min_coverage.map_or(0, usize::from);
    if report.coverage < least {
        tell(format!("{} % of the pods that are meant are injected, less than {least} %", report.coverage));
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &Args, policies: Option<Policies>) -> anyhow::Result<Report> {
    let (client, url) = client::chosen(&args.cluster.chosen(args.context.as_ref())).await?;
    let ask = Asker::new(client);
    let options = Options { release: args.release_namespace.clone(), policies, ..Options::default() };
    let survey = match Survey::take(&ask, options).await {
        Ok(survey) => survey,
        Err(Error::Unreachable(why)) => bail!(unreachable(&url, &why)),
        Err(error) => return Err(error.into()),
    };
    if let Err(refusal) = &survey.configurations {
        bail!("whether there is a webhook is not known: {refusal}");
    }
    if let Some(unread) = survey.unread().next() {
        bail!("what injects, and into what, is not known: {}; or give the policies with --policy", unread.found);
    }
    let mut namespaces = args.namespaces.clone();
    namespaces.sort();
    namespaces.dedup();
    let (pods, is_cut) = match coverage::pods(&ask, &namespaces).await {
        Ok(found) => found,
        Err(refusal) => bail!("the pods of steps are not known: {refusal}"),
    };
    if is_cut {
        tell("there are more pods than are looked at (5,000 of each list): name namespaces with -n");
    }
    let mut context = survey.context;
    context.namespaces = labels(&ask, &pods).await;
    let facts = Facts { installs: survey.installs, breakers: survey.breakers, policies: survey.policies.set, context };
    Ok(Report::of(&judge(&pods, &facts)))
}
