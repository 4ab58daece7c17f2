//! `stepspan completions` and `stepspan man`: what a package installs beside the program, made from the command line itself.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, written};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  # For this session:
  source <(stepspan completions bash)

  # As kubectl plugin: the program under another name, found by kubectl
  ln -s \"$(command -v stepspan)\" ~/.local/bin/kubectl-stepspan
  kubectl stepspan dry-run workflow.yaml";

/// Write the man pages
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Folder to write them to, one for each command; made if it is not there
    #[arg(value_name = "FOLDER")]
    into: PathBuf,
}

/// Prints the completions.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stepspan", &mut text);
    written(io::stdout().write_all(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let what = || format!("cannot write man pages to {}", args.into.display());
    fs::create_dir_all(&args.into).with_context(what)?;
    let mut all = Cli::command();
    all.build();
    page(&all, "stepspan", &args.into).with_context(what)?;
    for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
        page(command, &format!("stepspan-{}", command.get_name()), &args.into).with_context(what)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)
}
