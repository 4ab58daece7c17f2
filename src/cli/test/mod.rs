//! `stepspan test`: policy suites.

use std::io::{self, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use clap::ValueEnum;

use super::palette::{Colour, Palette, harmless};
use super::pipeline::ordered;
use super::written;
use crate::suite::coverage::Coverage;
use crate::suite::load::{self, Loaded};
use crate::suite::{Outcome, run as suite_run};

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
    let mut stderr = anstream::stderr();
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths };
    // Nobody is left to tell if stderr is closed; so for all that is written there.
    let mut tell = |text: String| drop(writeln!(stderr, "{}", harmless(&text)));
    let (mut suites, mut bad) = (Vec::new(), false);
    for file in load::find(&paths)? {
        match load::load(&file) {
            Ok(suite) => suites.push(suite),
            Err(mistakes) => {
                bad = true;
                for mistake in mistakes {
                    tell(format!("error: {mistake}"));
                }
            }
        }
    }
    let mut report = Report::new(io::stdout().lock(), args.output, Palette::of(args.color));
    let least = args.min_coverage.unwrap_or(0);
    let (mut cases, mut failed, mut thin) = (0, 0, false);
    for suite in suites {
        let tried = try_all(suite, args.filter.as_deref())?;
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

/// Runs the cases of a suite on all cores.
fn try_all(suite: Loaded, filter: Option<&str>) -> anyhow::Result<Tried> {
    let mut coverage = Coverage::of(&suite.policies);
    let file = suite.file.clone();
    let chosen = |case: &crate::suite::spec::Case| filter.is_none_or(|part| case.name.contains(part));
    let numbers: Vec<usize> =
        suite.cases.iter().enumerate().filter(|(_, (_, case))| chosen(case)).map(|(number, _)| number).collect();
    let names: Vec<String> = numbers.iter().map(|number| suite.cases[*number].1.name.clone()).collect();
    let workers = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let suite = Arc::new(suite);
    let work = move |number: usize| {
        let (line, case) = &suite.cases[number];
        suite_run::case(&suite, *line, case)
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    let done = ordered(numbers.into_iter(), workers, work, |done| {
        if let Some((outcome, looked)) = done {
            if let Some(looked) = looked {
                coverage.add(&looked);
            }
            outcomes.push(outcome);
        } else {
            let case = names.get(outcomes.len()).cloned().unwrap_or_default();
            outcomes.push(Outcome::lost(case));
        }
        ControlFlow::<()>::Continue(())
    });
    let _ = done.context("cannot start threads")?;
    Ok(Tried { file, outcomes, coverage })
}
