//! `stepspan explain`: why each policy matches or not, and where each value comes from.
//!
//! The documents go the way of `dry-run`; only what is printed differs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::dry_run::{self, Input, Job, Output};
use super::facts::Facts;

/// Show why steps are treated as they are: policies, values and their sources, variables
///
/// Takes what dry-run takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 explained; 2 bad input.")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// Policy file or folder [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH", display_order = 1)]
    policies: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, display_order = 1, value_name = "FORMAT", default_value = "table")]
    output: Format,
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
    let Args { input, policies, output, facts } = args;
    let output = match output {
        Format::Table => Output::Explain,
        Format::Json => Output::ExplainJson,
    };
    dry_run::work(Job { input, facts, policies, newer: None, output, expand_only: false })
}
