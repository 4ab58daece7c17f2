//! `stepspan init`: a first policy and its first suite.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::{counted, test, written};
use crate::suite::load;
use crate::suite::scaffold::{Scaffold, relative, scaffold};

/// Make a first policy and its first tests for Workflows
///
/// Looks at what the Workflows name (parameters, inputs, labels, annotations, variables) for what repo, prNumber, ref, taskId, agent and commitSha may come from, and
/// writes policy.yaml and tests.yaml: a case for each step, with what becomes of it now. Nothing that is there is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 written; 2 bad input, or a file is there already.")]
pub(super) struct Args {
    /// Workflow, WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow; several may refer to each other
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    from: Vec<PathBuf>,
    /// Where to write; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

/// Writes both files.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let [policy, suite] = ["policy.yaml", crate::source::files::SUITE].map(|name| args.into.join(name));
    for path in [&policy, &suite] {
        if path.exists() {
            bail!("{} is there already\n  hint: name another folder with --into", path.display());
        }
    }
    let known = args.from.iter().map(|file| Ok((file, load::manifests(file)?)));
    let known: Vec<_> = known.collect::<Result<_, load::Mistake>>()?;
    let files: Vec<_> = known
        .into_iter()
        .map(|(file, manifests)| Ok((beside(&args.into, file)?, manifests)))
        .collect::<io::Result<_>>()?;
    let listed = || args.from.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let made = scaffold(&files).with_context(listed)?;
    fs::create_dir_all(&args.into).with_context(|| format!("cannot make the folder {}", args.into.display()))?;
    for (path, text) in [(&policy, &made.policy), (&suite, &made.suite)] {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    test::update_all(std::slice::from_ref(&suite), None, &mut |_| ())?;
    tell(&made, &policy, &suite, &args.into)
}

fn beside(folder: &Path, file: &Path) -> io::Result<String> {
    Ok(relative(&resolved(folder)?, &fs::canonicalize(file)?))
}

/// The folder without links, as far as it is there already.
fn resolved(folder: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(folder)?;
    let there = whole.ancestors().find(|part| part.exists()).unwrap_or(&whole);
    let rest = whole.strip_prefix(there).unwrap_or(Path::new(""));
    Ok(if rest.as_os_str().is_empty() { fs::canonicalize(there)? } else { fs::canonicalize(there)?.join(rest) })
}

fn tell(made: &Scaffold, policy: &Path, suite: &Path, folder: &Path) -> anyhow::Result<ExitCode> {
    let missing = match made.missing.as_slice() {
        [] => String::new(),
        keys => format!("nothing in the Workflows seems to give {}: add sources if there are any\n", keys.join(", ")),
    };
    let (policy, suite, folder) = (policy.display(), suite.display(), folder.display());
    let cases = counted(made.cases, "case", "cases");
    let text = format!("{policy}\n{suite}: {cases}\n{missing}\nnext: stepspan test {folder}; stepspan lint {folder}\n");
    written(io::stdout().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}
