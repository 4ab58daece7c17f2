//! `stepspan init`: a first policy and its first suite.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};

use super::{counted, test, written};
use crate::source::files;
use crate::suite::load::{self, Expects};
use crate::suite::run as suite_run;
use crate::suite::scaffold::{Scaffold, relative, scaffold};

/// Make a first policy and its first tests for Workflows
///
/// Looks at what the Workflows name (parameters, inputs, labels, annotations, variables) for what repo, prNumber, ref, taskId, agent and commitSha may come from, and
/// writes policy.yaml and tests.yaml: a case for each step, with what becomes of it now. Nothing that is there is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 written; 2 bad input, or a file is there already.")]
pub(super) struct Args {
    /// Workflow, WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow; several may refer to each other. A folder stands for the files below it, - for stdin
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    from: Vec<PathBuf>,
    /// Where to write; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

/// A file that is read.
struct Source {
    path: PathBuf,
    /// The text of what can be read once, such as stdin.
    kept: Option<Kept>,
}

/// A text that is written beside the suite, for the cases to refer to.
struct Kept {
    name: String,
    text: String,
}

/// Writes all files.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    super::stdin_once(&args.from)?;
    let [policy, suite] = ["policy.yaml", files::SUITE].map(|name| args.into.join(name));
    let sources = sources(&args.from)?;
    let kept = sources.iter().filter_map(|source| source.kept.as_ref());
    let kept: Vec<(PathBuf, &str)> = kept.map(|kept| (args.into.join(&kept.name), kept.text.as_str())).collect();
    for path in [&policy, &suite].into_iter().chain(kept.iter().map(|(path, _)| path)) {
        if path.exists() {
            bail!("{} is there already\n  hint: name another folder with --into", path.display());
        }
    }
    let read = |source: &Source| -> anyhow::Result<_> {
        if let Some(Kept { name, text }) = &source.kept {
            return Ok((name.clone(), load::documents(&source.path, text.as_bytes())?));
        }
        let manifests = load::manifests(&source.path)?;
        let place = beside(&args.into, &source.path).with_context(|| source.path.display().to_string())?;
        Ok((place, manifests))
    };
    let manifests = sources.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let listed = || args.from.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut made = scaffold(&manifests).with_context(listed)?;
    fs::create_dir_all(&args.into).with_context(|| format!("cannot make the folder {}", args.into.display()))?;
    let own = [(&policy, made.policy.as_str()), (&suite, &made.suite())];
    for (path, text) in own.into_iter().chain(kept.iter().map(|(path, text)| (path, *text))) {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    leave_out(&suite, &mut made)?;
    if made.cases.is_empty() {
        // A suite without a case would only fail.
        let written = [&policy, &suite].into_iter().chain(kept.iter().map(|(path, _)| path));
        written.for_each(|path| drop(fs::remove_file(path)));
        bail!("{}: no step of it can be tested: {}", listed(), made.left_out.join("; "));
    }
    fs::write(&suite, made.suite()).with_context(|| format!("cannot write {}", suite.display()))?;
    if let Some(mistake) = test::update_all(std::slice::from_ref(&suite), None, &mut |_| ())?.into_iter().next() {
        return Err(mistake.into());
    }
    tell(&made, &policy, &suite, &args.into)
}

/// The files that some paths stand for.
fn sources(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut all = Vec::new();
    let mut names =
        (1..).map(|number| if number == 1 { "workflow.yaml".to_owned() } else { format!("workflow-{number}.yaml") });
    for path in paths {
        let cannot = |error: io::Error| anyhow!("{}: {}", path.display(), files::cannot(&error));
        if files::is_read_once(path) {
            let text = files::read(path).map_err(cannot)?;
            let kept = names.next().map(|name| Kept { name, text });
            all.push(Source { path: path.clone(), kept });
            continue;
        }
        let found = files::below(path).map_err(cannot)?;
        if found.is_empty() {
            bail!("{}: no *.yaml, *.yml or *.json in this folder or below it", path.display());
        }
        all.extend(found.into_iter().map(|path| Source { path, kept: None }));
    }
    Ok(all)
}

/// Takes out the cases whose step cannot be found as `stepspan test` finds it: they would expect nothing.
fn leave_out(suite: &Path, made: &mut Scaffold) -> anyhow::Result<()> {
    let loaded = match load::load(suite, Expects::Anything) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            return Err(anyhow!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
        }
    };
    let mut cases = loaded.cases.iter();
    let Scaffold { cases: kept, left_out, .. } = made;
    kept.retain(|_| {
        let Some((line, case)) = cases.next() else { return false };
        let (outcome, looked) = suite_run::case(&loaded, *line, case);
        if looked.is_none() {
            let why = outcome.failures.into_iter().map(|failure| failure.found).collect::<Vec<_>>();
            left_out.push(format!("{}: {}", case.name, why.join("; ")));
        }
        looked.is_some()
    });
    Ok(())
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
    let cases = counted(made.cases.len(), "case", "cases");
    let left_out: String = made.left_out.iter().flat_map(|why| ["left out: ", why, "\n"]).collect();
    let text = format!(
        "{policy}\n{suite}: {cases}\n{left_out}{missing}\nnext: stepspan test {folder}; stepspan lint {folder}\n"
    );
    written(io::stdout().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}
