//! `stepspan diff`: what a policy change does to each pod of given manifests.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::dry_run::{self, Input, Job, Output, Policies};
use super::facts::Facts;

/// Show what a policy change does to each pod of given manifests
///
/// Takes what dry-run takes, and evaluates it under two policy sets. Pods for which nothing changes are only counted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 nothing changes; 1 something does; 2 bad input.")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    /// Policy file or folder as it was [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH", display_order = 1)]
    policies: Vec<PathBuf>,
    /// Policy file or folder as it is to be
    #[arg(long = "policy-new", value_name = "PATH", required = true, display_order = 1)]
    newer: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, display_order = 1, value_name = "FORMAT", default_value = "diff")]
    output: Format,
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
    let Args { input, policies, newer, output, facts } = args;
    let output = match output {
        Format::Diff => Output::Compare,
        Format::Json => Output::CompareJson,
    };
    dry_run::work(Job { newer: Some(newer), output, ..Job::new(input, facts, Policies::At(policies)) })
}
