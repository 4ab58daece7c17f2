//! The command line. Data goes to stdout, all else to stderr. Exit codes: 0 good, 1 found something, 2 bad input.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::policy::compile::Rules;
use crate::policy::{LoadErrors, PolicySet};
use crate::source::files;

#[cfg(feature = "webhook")]
mod cluster;
mod completions;
mod diff;
#[cfg(feature = "webhook")]
mod doctor;
mod dry_run;
mod explain;
mod facts;
mod github;
mod init;
mod lines;
mod lint;
#[cfg(feature = "webhook")]
mod log;
mod page;
mod palette;
mod pipeline;
#[cfg(feature = "webhook")]
mod place;
mod progress;
mod replay;
mod sarif;
mod schema;
#[cfg(feature = "webhook")]
mod status;
#[cfg(feature = "webhook")]
mod summary;
mod test;
mod trace;
#[cfg(feature = "webhook")]
mod units;
#[cfg(feature = "webhook")]
mod watch;
#[cfg(feature = "webhook")]
mod webhook;
mod xml;

/// Makes every Argo Workflows step a span, by declarative policy, without editing a workflow.
#[derive(Debug, Parser)]
#[command(name = "stepspan", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Completions(completions::Args),
    Diff(Box<diff::Args>),
    #[cfg(feature = "webhook")]
    Doctor(Box<doctor::Args>),
    DryRun(Box<dry_run::Args>),
    Explain(Box<explain::Args>),
    Init(init::Args),
    Lint(lint::Args),
    Man(completions::ManArgs),
    Replay(replay::Args),
    Schema(schema::Args),
    #[cfg(feature = "webhook")]
    Status(Box<status::Args>),
    #[cfg(feature = "webhook")]
    Summary(summary::Args),
    Test(Box<test::Args>),
    Trace(Box<trace::Args>),
    #[cfg(feature = "webhook")]
    Watch(watch::Args),
    #[cfg(feature = "webhook")]
    Webhook(Box<webhook::Args>),
}

/// The arguments; under the name of a kubectl plugin, usage says so.
fn parse() -> Cli {
    let program = std::env::args_os().next().unwrap_or_default();
    let plugin = Path::new(&program).file_stem().is_some_and(|name| name == "kubectl-stepspan");
    let command = Cli::command();
    let command = if plugin { command.bin_name("kubectl stepspan") } else { command };
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// That nobody reads stdout any more is no mistake: the exit code still says what was found.
fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// To a person, on stderr; nobody is left to tell if that is closed.
fn tell(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr(), "{}", palette::harmless(text.as_ref()));
}

/// Refuses paths that name stdin more than once.
fn stdin_once(paths: &[PathBuf]) -> anyhow::Result<()> {
    let times = paths.iter().filter(|path| files::is_stdin(path)).count();
    anyhow::ensure!(times <= 1, "stdin (-) is named twice: it can be read once");
    Ok(())
}

/// The policies at some paths, the embedded one where there is none; `None` where something is wrong with them, which is told.
fn policies(paths: &[PathBuf], rules: &Rules) -> Option<PolicySet> {
    let told = |errors: LoadErrors| {
        // Nobody is left to tell if stderr is closed.
        errors.0.iter().for_each(|error| drop(writeln!(anstream::stderr(), "error: {error}")));
    };
    files::load_below(paths, rules).map_err(told).ok()
}

/// How many there are, with the word for it.
fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reads the arguments, does what they say, and gives the exit code.
pub fn main() -> ExitCode {
    let done = match parse().command {
        Command::Completions(args) => completions::run(&args),
        Command::Diff(args) => diff::run(*args),
        #[cfg(feature = "webhook")]
        Command::Doctor(args) => doctor::run(*args),
        Command::DryRun(args) => dry_run::run(*args),
        Command::Explain(args) => explain::run(*args),
        Command::Init(args) => init::run(&args),
        Command::Lint(args) => lint::run(args),
        Command::Man(args) => completions::man(&args),
        Command::Replay(args) => replay::run(args),
        Command::Schema(args) => schema::run(&args),
        #[cfg(feature = "webhook")]
        Command::Status(args) => status::run(&args),
        #[cfg(feature = "webhook")]
        Command::Summary(args) => summary::run(&args),
        Command::Test(args) => test::run(*args),
        Command::Trace(args) => trace::run(&args),
        #[cfg(feature = "webhook")]
        Command::Watch(args) => watch::run(args),
        #[cfg(feature = "webhook")]
        Command::Webhook(args) => webhook::run(*args),
    };
    done.unwrap_or_else(|error| {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(anstream::stderr(), "error: {error:#}");
        ExitCode::from(2)
    })
}
