//! `stepspan explain`: why each policy matches or not, and where each value comes from.
//!
//! Documents go the way of `dry-run`, pods of a cluster too once they are as Argo made them; only what is printed differs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::ValueEnum;

#[cfg(feature = "webhook")]
use super::cluster::Cluster;
use super::dry_run::{self, Input, Job, Output, Policies};
use super::facts::Facts;

#[cfg(feature = "webhook")]
mod live;

/// Show why steps are treated as they are: policies, values and their sources, variables
///
/// Takes what dry-run takes, and pods of a cluster as pod/NAME. Of an injected pod the injection is taken out again, what its Workflow
/// carried is asked of the Workflow, and the policies are those in force there, where --policy names none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 explained; 2 bad input, or no such pod.")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// Policy file or folder [default: the built-in agent-steps policy; of pod/NAME those in force]
    #[arg(long = "policy", value_name = "PATH", display_order = 1)]
    policies: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, display_order = 1, value_name = "FORMAT", default_value = "table")]
    output: Format,
    #[command(flatten)]
    facts: Facts,
    #[cfg(feature = "webhook")]
    #[command(flatten)]
    cluster: Cluster,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    Table,
    /// A JSON object a line
    Json,
}

/// Explains everything the arguments name.
pub(super) fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    let (pods, files): (Vec<_>, Vec<_>) = args.input.files.drain(..).partition(|path| live_name(path).is_some());
    args.input.files = files;
    let pods: Vec<String> = pods.iter().filter_map(|path| live_name(path)).map(str::to_owned).collect();
    match pods.as_slice() {
        [] => dry_run::work(job(args)),
        [name] if args.input.files.is_empty() && args.input.filenames.is_empty() => of_cluster(name, args),
        _ => bail!("pod/NAME stands alone: name one pod of the cluster, or files"),
    }
}

fn job(args: Args) -> Job {
    let output = match args.output {
        Format::Table => Output::Explain,
        Format::Json => Output::ExplainJson,
    };
    Job { output, ..Job::new(args.input, args.facts, Policies::At(args.policies)) }
}

/// The name in `pod/NAME`, unless that is a file.
fn live_name(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let name = ["pod/", "pods/", "po/"].iter().find_map(|kind| text.strip_prefix(kind))?;
    (!path.exists()).then_some(name)
}

#[cfg(feature = "webhook")]
fn of_cluster(name: &str, args: Args) -> anyhow::Result<ExitCode> {
    live::explain(name, args)
}

#[cfg(not(feature = "webhook"))]
fn of_cluster(name: &str, _: Args) -> anyhow::Result<ExitCode> {
    bail!("pod/{name}: this build has no client of the Kubernetes API")
}
