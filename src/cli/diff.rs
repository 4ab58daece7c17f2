//! `stepspan diff`: what a policy change does to each pod of given manifests.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, ValueEnum};

use super::dry_run::{self, Argo, Output};
use super::facts::Facts;
use super::palette::Colour;

/// Show what a policy change does to each pod of given manifests
///
/// Takes what dry-run takes, and evaluates it under two policy sets. Pods for which nothing changes are only counted.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("input").required(true).multiple(true).args(["files", "filenames"])))]
#[command(after_help = "Exit status: 0 nothing changes; 1 something does; 2 bad input.")]
pub(super) struct Args {
    /// Manifests: files, folders (one level), or - for stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The same, in kubectl's manner
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    filenames: Vec<PathBuf>,
    /// Policy file or folder as it was [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Policy file or folder as it is to be
    #[arg(long = "policy-new", value_name = "PATH", required = true)]
    newer: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "diff")]
    output: Format,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
    /// Namespace of manifests that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// Version of Argo whose pods Workflows become
    #[arg(long, value_name = "VERSION", default_value = "3.7")]
    argo: Argo,
    #[command(flatten)]
    facts: Facts,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Unified diffs of the patched pods
    Diff,
    /// A JSON object a line: both patches and outcomes
    Json,
}

/// Compares everything the arguments name.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = match args.output {
        Format::Diff => Output::Compare,
        Format::Json => Output::CompareJson,
    };
    let common = dry_run::Args {
        files: args.files,
        filenames: args.filenames,
        policies: args.policies,
        output: Some(output),
        color: args.color,
        namespace: args.namespace,
        argo: args.argo,
        expand_only: false,
        facts: args.facts,
    };
    dry_run::run_with(common, Some(&args.newer))
}
