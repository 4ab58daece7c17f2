//! `stepspan test`: policy suites.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use clap::ValueEnum;

use super::palette::{Colour, Palette};
use super::pipeline::ordered;
use super::{counted, tell, written};
use crate::source::files;
use crate::suite::coverage::Coverage;
use crate::suite::load::{self, Expects, Loaded, Mistake};
use crate::suite::run::Looked;
use crate::suite::{Outcome, run as suite_run, update};

mod report;
mod tried;

use report::Report;
use tried::{Problem, Tried};

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
    /// Only cases whose name holds this text; not with --min-coverage, of which a part of the cases says nothing
    #[arg(short = 'k', long, value_name = "TEXT")]
    filter: Option<String>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Fail where less of a suite's rules is tried, in percent; not with -k
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
    /// Annotations of GitHub's checks: cases that fail, and what no case tries
    Github,
}

/// Runs all suites.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.filter.as_deref();
    anyhow::ensure!(
        filter.is_none() || args.min_coverage.is_none(),
        "--min-coverage with -k: a part of the cases says nothing of all rules\n  hint: leave one of them out"
    );
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths };
    let mut report = Report::new(io::stdout().lock(), args.output, Palette::of(args.color));
    let mut sum = Sum::default();
    let files = match load::find(&paths) {
        Ok(files) => files,
        Err(mistake) => {
            sum.add(&Tried::unread(&mistake.file.clone(), vec![mistake]), &mut report)?;
            Vec::new()
        }
    };
    let by_hand = if args.update { update_all(&files, filter, &mut tell)? } else { Vec::new() };
    for file in &files {
        let mut tried = match load::load(file, Expects::Something) {
            Ok(suite) => try_all(suite, filter)?.0,
            Err(mistakes) => Tried::unread(file, mistakes),
        };
        // A part of the cases says nothing of all rules.
        if let (Some(coverage), None) = (&tried.coverage, filter) {
            let least = usize::from(args.min_coverage.unwrap_or(0));
            tried.problems.extend(Problem::of_suite(file, tried.outcomes.len(), coverage, least));
        }
        let own = by_hand.iter().filter(|mistake| mistake.file == *file);
        tried.problems.extend(own.map(|mistake| Problem::of_input("update", mistake.clone())));
        sum.add(&tried, &mut report)?;
    }
    let nothing = (sum.cases == 0 && sum.problems == 0).then_some(match filter {
        Some(_) => "no case has such a name",
        None => "no suite with a case: a folder needs a tests.yaml",
    });
    if let Some(why) = nothing {
        tell(format!("error: {why}"));
        written(report.suite(&Tried::nothing(paths.first().map_or(Path::new("."), PathBuf::as_path), why)))?;
    }
    written(report.end())?;
    if nothing.is_none() {
        tell(sum.to_string());
    }
    Ok(ExitCode::from(sum.code()))
}

/// What all suites came to.
#[derive(Debug, Default)]
struct Sum {
    cases: usize,
    failed: usize,
    problems: usize,
    /// Suites that were not run.
    unread: usize,
    /// Something cannot be read, or cannot be rewritten.
    bad: bool,
}

impl Sum {
    /// Takes a suite, reports it, and tells what is wrong with it besides its cases.
    fn add<O: Write>(&mut self, tried: &Tried, report: &mut Report<O>) -> anyhow::Result<()> {
        self.cases += tried.outcomes.len();
        self.failed += tried.failed();
        self.problems += tried.problems.len();
        self.unread += usize::from(tried.coverage.is_none());
        self.bad |= tried.problems.iter().any(|problem| problem.bad_input);
        tried.problems.iter().for_each(|problem| tell(format!("error: {}", problem.mistake)));
        written(report.suite(tried))
    }

    fn code(&self) -> u8 {
        match (self.bad, self.failed > 0 || self.problems > 0 || self.cases == 0) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.cases - self.failed, self.failed)?;
        if self.unread > 0 {
            write!(f, ", {} not run", counted(self.unread, "suite", "suites"))?;
        }
        Ok(())
    }
}

/// Writes what the chosen cases of all suites would have to expect; what has to be written by hand. Suites that cannot be read are told by
/// the run that follows.
pub(super) fn update_all(
    files: &[PathBuf],
    filter: Option<&str>,
    tell: &mut dyn FnMut(String),
) -> anyhow::Result<Vec<Mistake>> {
    let mut by_hand = Vec::new();
    for file in files {
        let Ok(suite) = load::load(file, Expects::Anything) else { continue };
        let cases: Vec<(usize, String)> = suite.cases.iter().map(|(line, case)| (*line, case.name.clone())).collect();
        let (_, looked) = try_all(suite, filter)?;
        let wrong = |line, message| Mistake { file: file.clone(), line, message };
        let rewritten = fs::read_to_string(file)
            .map_err(|error| wrong(None, files::cannot(&error)))
            .and_then(|text| update::rewrite(&text, &looked).map_err(|error| wrong(None, error.to_string())));
        let rewritten = match rewritten {
            Ok(rewritten) => rewritten,
            Err(mistake) => {
                by_hand.push(mistake);
                continue;
            }
        };
        by_hand.extend(rewritten.refused.iter().map(|(number, why)| {
            let (line, name) = cases.get(*number).cloned().unwrap_or_default();
            wrong(Some(line), format!("case {name:?}: {why}"))
        }));
        if rewritten.changed > 0 {
            match fs::write(file, &rewritten.text) {
                Ok(()) => {
                    let expectations = counted(rewritten.changed, "expectation", "expectations");
                    tell(format!("{}: {expectations} written", file.display()));
                }
                Err(error) => by_hand.push(wrong(None, format!("cannot write: {error}"))),
            }
        }
    }
    Ok(by_hand)
}

/// Runs the cases of a suite on all cores; the reviews of those that fail come along, by the cases' numbers.
fn try_all(suite: Loaded, filter: Option<&str>) -> anyhow::Result<(Tried, Vec<(usize, Looked)>)> {
    let mut coverage = Coverage::of(&suite.policies);
    let file = suite.file.clone();
    let chosen = |case: &crate::suite::spec::Case| filter.is_none_or(|part| case.name.contains(part));
    let numbers: Vec<usize> =
        suite.cases.iter().enumerate().filter(|(_, (_, case))| chosen(case)).map(|(number, _)| number).collect();
    let of_outcome = numbers.clone();
    let places: Vec<(String, usize)> =
        numbers.iter().map(|number| &suite.cases[*number]).map(|(line, case)| (case.name.clone(), *line)).collect();
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
            let (case, line) = places.get(outcomes.len()).cloned().unwrap_or_default();
            outcomes.push(Outcome::lost(case, line));
        }
        ControlFlow::<()>::Continue(())
    });
    let _ = done.context("cannot start threads")?;
    let tried = Tried { file, outcomes, coverage: Some(coverage), part: filter.is_some(), problems: Vec::new() };
    Ok((tried, failing))
}
