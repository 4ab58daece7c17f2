//! `stepspan explain`: why each policy matches or not, and where each value comes from.
//!
//! The documents go the way of `dry-run`; only what is printed differs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, ValueEnum};

use super::dry_run::{self, Argo, Output};
use super::facts::Facts;
use super::palette::Colour;

/// Show why steps are treated as they are: policies, values and their sources, variables
///
/// Takes what dry-run takes.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("input").required(true).multiple(true).args(["files", "filenames"])))]
#[command(after_help = "Exit status: 0 explained; 2 bad input.")]
pub(super) struct Args {
    /// Manifests: files, folders (one level), or - for stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The same, in kubectl's manner
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    filenames: Vec<PathBuf>,
    /// Policy file or folder [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
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
    /// Tables for people
    Table,
    /// A JSON object a line
    Json,
}

/// Explains everything the arguments name.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = match args.output {
        Format::Table => Output::Explain,
        Format::Json => Output::ExplainJson,
    };
    dry_run::run(dry_run::Args {
        files: args.files,
        filenames: args.filenames,
        policies: args.policies,
        output: Some(output),
        color: args.color,
        namespace: args.namespace,
        argo: args.argo,
        expand_only: false,
        facts: args.facts,
    })
}
