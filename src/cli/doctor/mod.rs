//! `stepspan doctor`: from arguments to [`Options`], from a [`Report`] to lines or JSON and an exit code.

mod render;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::cluster::{Cluster, unreachable};
use super::palette::{Colour, Palette, Tone};
use super::tell;
use crate::{
    cluster::ask::Asker,
    cluster::client,
    doctor::{self, Error, Options, policies::Policies},
    policy::{compile::Rules, syntax::is_dns_subdomain},
    source::files,
};

/// Check a cluster, before and after install
///
/// Looks at the API server, Argo and the nodes, at the webhook, its certificate and its policies, and in each namespace in
/// which steps run at quotas, at who else injects, at what happens to a step's pod (a server-side dry-run) and at the
/// Collector. Nothing is changed, unless --run is given; what you may not read is skipped, with the right that is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 nothing failed; 1 a check failed; 2 bad input, or no API server.", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Namespace in which steps run [default: those that hold workflows, ten at most]
    #[arg(short, long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// Namespace of the install [default: as the webhook configuration says]
    #[arg(long, value_name = "NAME")]
    release_namespace: Option<String>,
    /// Policy file or folder [default: the install's policies]
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// stepspan image that goes into pods [default: the install's, else the release's own]
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// Run a short-lived pod in each namespace: can the image be pulled, does the Collector answer?
    ///
    /// The one thing that changes the cluster. The pod runs our image as a step's init container does, is waited for up to
    /// 60 s, and deleted, on Ctrl-C too.
    #[arg(long)]
    run: bool,
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
    /// A line for each check, with a hint where something is to be mended
    Table,
    /// The same as one JSON object
    Json,
}

const EXAMPLES: &str = "\
Exit status:
  0  nothing failed
  1  a check failed
  2  bad input, or the API server cannot be reached

Examples:
  # Before install: would steps in these namespaces be admitted, and find the Collector?
  stepspan doctor -n ci -n builds --policy policies/

  # After: the same, and can the image be pulled and the Collector be reached from there?
  stepspan doctor -n ci --run

  # In CI:
  stepspan doctor -o json | jq '.checks[] | select(.state == \"fail\")'";

/// The exit code of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Examines the cluster.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (output, palette) = (args.output, Palette::of(args.color));
    let Args { context, cluster, .. } = &args;
    let chosen = cluster.chosen(context.as_ref());
    let Some(options) = options(args)? else { return Ok(ExitCode::from(2)) };
    // Questions wait more than they work.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let examined = runtime.block_on(async {
        let (client, url) = client::chosen(&chosen).await?;
        let done = doctor::examine(&Asker::new(client), options, &tell).await;
        anyhow::Ok(done.map_err(|error| (error, url)))
    })?;
    let report = match examined {
        Ok(report) => report,
        Err((Error::Interrupted, _)) => {
            tell("interrupted: the pods are deleted");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err((Error::Unreachable(why), url)) => {
            bail!(unreachable(&url, &why))
        }
    };
    let mut text = Vec::new();
    match output {
        Output::Table => render::table(&report, palette, &mut text)?,
        Output::Json => render::json(&report, &mut text)?,
    }
    super::written(io::stdout().write_all(&text))?;
    let tally = report.tally();
    if output == Output::Table {
        let _ = writeln!(anstream::stderr(), "\n{}", render::summary(tally));
    }
    Ok(ExitCode::from(u8::from(tally.fail > 0)))
}

/// What is asked for; `None` where policies are wrong, which is told.
fn options(args: Args) -> anyhow::Result<Option<Options>> {
    let flags =
        [("--namespace", &args.namespaces), ("--release-namespace", &args.release_namespace.iter().cloned().collect())];
    for (flag, names) in flags {
        if let Some(name) = names.iter().find(|name| !is_dns_subdomain(name)) {
            bail!("{flag} {name:?} is no name of a namespace: lower-case letters, digits and -");
        }
    }
    let mut namespaces = Vec::new();
    for name in args.namespaces {
        if !namespaces.contains(&name) {
            namespaces.push(name);
        }
    }
    let policies = if args.policies.is_empty() {
        None
    } else {
        match files::load(&args.policies, &Rules::default()) {
            Ok(set) => Some(Policies { set, from: "from --policy".into() }),
            Err(errors) => {
                for error in &errors.0 {
                    let word = Palette::new(true).paint(Tone::Bad, "error");
                    let _ = writeln!(anstream::stderr(), "{word}: {error}");
                }
                return Ok(None);
            }
        }
    };
    Ok(Some(Options { namespaces, release: args.release_namespace, policies, image: args.image, run: args.run }))
}
