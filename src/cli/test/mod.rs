//! `stepspan test`: policy suites.

use std::fs;
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use clap::ValueEnum;

use super::palette::{Colour, Palette};
use super::pipeline::ordered;
use super::{counted, tell, written};
use crate::suite::coverage::Coverage;
use crate::suite::load::{self, Expects, Loaded};
use crate::suite::run::Looked;
use crate::suite::{Outcome, run as suite_run, update};

mod report;

use report::{Report, Tried};

/// Run policy suites: `tests.yaml` beside a policy
///
/// Each case names a step (of a Pod, an AdmissionReview or a Workflow) and what has to become of it. What holds for every patch is
/// checked in every case without asking: a second look changes nothing, Argo's words and the command's stay, labels stay, nothing
/// else is touched.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 all cases pass; 1 one fails, there is none, or too little is covered; 2 bad input."
)]
pub(super) struct Args {
    /// Folders, at any depth, or suites [default: the current folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only cases whose name holds this text
    #[arg(short = 'k', long, value_name = "TEXT")]
    filter: Option<String>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Fail where less of a suite's rules is tried, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// Rewrite expectations that do not hold, and write those of cases that expect nothing yet; read the diff afterwards
    #[arg(long)]
    update: bool,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// A JSON object a case, then one for each suite's coverage
    Json,
    /// JUnit XML
    Junit,
    /// Annotations of GitHub's checks, for cases that fail
    Github,
}

/// Runs all suites.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths };
    let files = load::find(&paths)?;
    let filter = args.filter.as_deref();
    if args.update {
        update_all(&files, filter, &mut tell)?;
    }
    let (suites, bad) = load_all(&files, Expects::Something, &mut tell);
    let mut report = Report::new(io::stdout().lock(), args.output, Palette::of(args.color));
    let least = args.min_coverage.unwrap_or(0);
    let (mut cases, mut failed, mut thin) = (0, 0, false);
    for suite in suites {
        let (tried, _) = try_all(suite, filter)?;
        cases += tried.outcomes.len();
        failed += tried.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
        // A part of the cases says nothing of all rules.
        thin |= args.filter.is_none() && tried.percent() < usize::from(least);
        written(report.suite(&tried))?;
    }
    written(report.end())?;
    if cases == 0 && !bad {
        let why = if args.filter.is_some() {
            "no case has such a name"
        } else {
            "no suite with a case: a folder needs a tests.yaml"
        };
        tell(format!("error: {why}"));
    } else {
        tell(format!("{} passed, {failed} failed", cases - failed));
    }
    if thin {
        tell(format!("error: less than {least} % of a suite's rules were tried"));
    }
    Ok(ExitCode::from(match (bad, failed > 0 || cases == 0 || thin) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }))
}

/// The suites that can be read; whether some cannot.
fn load_all(files: &[PathBuf], expects: Expects, tell: &mut dyn FnMut(String)) -> (Vec<Loaded>, bool) {
    let (mut suites, mut bad) = (Vec::new(), false);
    for file in files {
        match load::load(file, expects) {
            Ok(suite) => suites.push(suite),
            Err(mistakes) => {
                bad = true;
                for mistake in mistakes {
                    tell(format!("error: {mistake}"));
                }
            }
        }
    }
    (suites, bad)
}

/// Writes what the chosen cases of all suites would have to expect. What cannot be read is told by the run that follows.
pub(super) fn update_all(files: &[PathBuf], filter: Option<&str>, tell: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let (suites, _) = load_all(files, Expects::Anything, &mut |_| ());
    for suite in suites {
        let file = suite.file.clone();
        let what = || format!("cannot update {}", file.display());
        let (_, looked) = try_all(suite, filter)?;
        let before = fs::read_to_string(&file).with_context(what)?;
        let (after, changed) = update::rewrite(&before, &looked).with_context(what)?;
        if changed > 0 {
            fs::write(&file, after).with_context(what)?;
            let expectations = counted(changed, "expectation", "expectations");
            tell(format!("{}: {expectations} written", file.display()));
        }
    }
    Ok(())
}

/// Runs the cases of a suite on all cores; the reviews of those that fail come along, by the cases' numbers.
fn try_all(suite: Loaded, filter: Option<&str>) -> anyhow::Result<(Tried, Vec<(usize, Looked)>)> {
    let mut coverage = Coverage::of(&suite.policies);
    let file = suite.file.clone();
    let chosen = |case: &crate::suite::spec::Case| filter.is_none_or(|part| case.name.contains(part));
    let numbers: Vec<usize> =
        suite.cases.iter().enumerate().filter(|(_, (_, case))| chosen(case)).map(|(number, _)| number).collect();
    let of_outcome = numbers.clone();
    let names: Vec<String> = numbers.iter().map(|number| suite.cases[*number].1.name.clone()).collect();
    let workers = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let suite = Arc::new(suite);
    let work = move |number: usize| {
        let (line, case) = &suite.cases[number];
        suite_run::case(&suite, *line, case)
    };
    let (mut outcomes, mut failing): (Vec<Outcome>, _) = (Vec::new(), Vec::new());
    let done = ordered(numbers.into_iter(), workers, work, |done| {
        if let Some((outcome, looked)) = done {
            if let Some(looked) = looked {
                coverage.add(&looked);
                if let Some(number) = of_outcome.get(outcomes.len()) {
                    failing.push((*number, looked));
                }
            }
            outcomes.push(outcome);
        } else {
            let case = names.get(outcomes.len()).cloned().unwrap_or_default();
            outcomes.push(Outcome::lost(case));
        }
        ControlFlow::<()>::Continue(())
    });
    let _ = done.context("cannot start threads")?;
    Ok((Tried { file, outcomes, coverage }, failing))
}
