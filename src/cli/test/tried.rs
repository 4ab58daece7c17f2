//! What a suite came to.

use std::path::{Path, PathBuf};

use crate::suite::Outcome;
use crate::suite::coverage::Coverage;
use crate::suite::load::Mistake;

/// A suite that was run, or could not be.
pub(super) struct Tried {
    /// Its file.
    pub file: PathBuf,
    /// In the order of the file.
    pub outcomes: Vec<Outcome>,
    /// What of its policies was tried; `None` where nothing was run.
    pub coverage: Option<Coverage>,
    /// Not all of its cases were asked for.
    pub part: bool,
    /// What is wrong besides its cases.
    pub problems: Vec<Problem>,
}

/// What fails that is no case.
pub(super) struct Problem {
    /// In a word.
    pub what: &'static str,
    /// Where, and what.
    pub mistake: Mistake,
    /// It is a mistake of the input; otherwise of what the tests came to.
    pub bad_input: bool,
}

impl Tried {
    /// A suite that cannot be read.
    pub fn unread(file: &Path, mistakes: Vec<Mistake>) -> Self {
        let problems = mistakes.into_iter().map(|mistake| Problem::of_input("read", mistake)).collect();
        Self { file: file.to_owned(), outcomes: Vec::new(), coverage: None, part: false, problems }
    }

    /// No case at all.
    pub fn nothing(path: &Path, why: &str) -> Self {
        let problems = vec![Problem::of_tests("cases", path, why.to_owned())];
        Self { file: path.to_owned(), outcomes: Vec::new(), coverage: None, part: false, problems }
    }

    /// How many of the rules were tried, and which were not, in a line; `None` where nothing was run.
    pub fn rules(&self) -> Option<String> {
        let coverage = self.coverage.as_ref()?;
        let (rules, tried) = coverage.count();
        let missing: Vec<&str> = coverage.missing().collect();
        let not = if missing.is_empty() { String::new() } else { format!("; not tried: {}", missing.join(", ")) };
        Some(format!("{tried} of {rules} rules tried ({} %){not}", coverage.percent()))
    }

    /// The same where no case tries one of them: a part of the cases says nothing of that, and a problem of the tests says it already.
    pub fn untried(&self) -> Option<String> {
        let told = self.part || self.problems.iter().any(|problem| !problem.bad_input);
        let coverage = self.coverage.as_ref().filter(|_| !told)?;
        coverage.missing().next()?;
        self.rules()
    }

    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count()
    }
}

impl Problem {
    /// What cannot be read or written.
    pub fn of_input(what: &'static str, mistake: Mistake) -> Self {
        Self { what, mistake, bad_input: true }
    }

    fn of_tests(what: &'static str, file: &Path, message: String) -> Self {
        Self { what, mistake: Mistake { file: file.to_owned(), line: None, message }, bad_input: false }
    }

    /// A name among test cases.
    pub fn name(&self) -> String {
        self.mistake.line.map_or_else(|| self.what.to_owned(), |line| format!("{}, line {line}", self.what))
    }

    /// What is wrong with a suite as a whole: it has no case, or tries less than `least` percent of its rules.
    pub fn of_suite(file: &Path, cases: usize, coverage: &Coverage, least: usize) -> Option<Self> {
        if cases == 0 {
            return Some(Self::of_tests("cases", file, "there is no case in it".to_owned()));
        }
        let missing: Vec<&str> = coverage.missing().collect();
        let percent = coverage.percent();
        let message =
            || format!("{percent} % of its rules tried, less than {least} %; not tried: {}", missing.join(", "));
        (percent < least).then(|| Self::of_tests("coverage", file, message()))
    }
}
