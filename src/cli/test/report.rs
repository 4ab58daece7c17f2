//! What is printed of suites.

use std::io::{self, Write};

use serde_json::json;
use similar::TextDiff;

use super::Format;
use super::tried::{Problem, Tried};
use crate::cli::github;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::cli::xml::{Ending, escaped, testcase};
use crate::suite::{Failure, Outcome};

/// The output.
pub(super) struct Report<O> {
    out: O,
    format: Format,
    palette: Palette,
    begun: bool,
}

impl<O: Write> Report<O> {
    /// An empty report.
    pub fn new(out: O, format: Format, palette: Palette) -> Self {
        Self { out, format, palette, begun: false }
    }

    /// Adds a suite.
    pub fn suite(&mut self, tried: &Tried) -> io::Result<()> {
        self.begin()?;
        match self.format {
            Format::Text => self.text(tried),
            Format::Json => self.json(tried),
            Format::Junit => self.junit(tried),
            Format::Github => self.github(tried),
        }
    }

    /// Writes what stands behind everything.
    pub fn end(&mut self) -> io::Result<()> {
        self.begin()?;
        if self.format == Format::Junit {
            writeln!(self.out, "</testsuites>")?;
        }
        self.out.flush()
    }

    fn begin(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) && self.format == Format::Junit {
            writeln!(self.out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"stepspan test\">")?;
        }
        Ok(())
    }

    fn text(&mut self, tried: &Tried) -> io::Result<()> {
        // What is wrong besides cases is told on stderr.
        let Some(rules) = tried.rules() else { return Ok(()) };
        let palette = self.palette;
        let file = harmless(&tried.file.display().to_string());
        writeln!(self.out, "{}", palette.paint(Tone::Strong, &file))?;
        for outcome in &tried.outcomes {
            let name = harmless(&outcome.case);
            if outcome.failures.is_empty() {
                writeln!(self.out, "  {}    {name}", palette.paint(Tone::Good, "ok"))?;
                continue;
            }
            writeln!(self.out, "  {}  {name}  {file}:{}", palette.paint(Tone::Bad, "FAIL"), outcome.line)?;
            for failure in &outcome.failures {
                for line in lines(failure) {
                    let tone = match line.as_bytes().first() {
                        Some(b'-') => Tone::Bad,
                        Some(b'+') => Tone::Good,
                        _ => Tone::Plain,
                    };
                    writeln!(self.out, "        {}", palette.paint(tone, harmless(&line)))?;
                }
            }
            for line in why(outcome) {
                writeln!(self.out, "        {}", palette.paint(Tone::Quiet, harmless(&line)))?;
            }
        }
        writeln!(self.out, "{}", palette.paint(Tone::Quiet, format!("  {}", harmless(&rules))))
    }

    fn json(&mut self, tried: &Tried) -> io::Result<()> {
        let file = tried.file.display().to_string();
        for outcome in &tried.outcomes {
            let failure = |one: &Failure| json!({"what": one.what, "expected": one.expected, "found": one.found});
            let failures: Vec<_> = outcome.failures.iter().map(failure).collect();
            let line = json!({
                "suite": file, "line": outcome.line, "case": outcome.case, "passed": failures.is_empty(), "failures": failures,
                "explanation": outcome.explanation,
            });
            writeln!(self.out, "{line}")?;
        }
        for Problem { what, mistake, .. } in &tried.problems {
            let at = mistake.file.display().to_string();
            let line =
                json!({"suite": file, "problem": what, "file": at, "line": mistake.line, "error": mistake.message});
            writeln!(self.out, "{line}")?;
        }
        let Some(coverage) = &tried.coverage else { return Ok(()) };
        let (rules, tried_rules) = coverage.count();
        let missing: Vec<&str> = coverage.missing().collect();
        writeln!(self.out, "{}", json!({"suite": file, "rules": rules, "tried": tried_rules, "missing": missing}))
    }

    fn junit(&mut self, tried: &Tried) -> io::Result<()> {
        let file = tried.file.display().to_string();
        let count = tried.outcomes.len() + tried.problems.len();
        let errors = tried.problems.iter().filter(|problem| problem.bad_input).count();
        let failed = tried.failed() + tried.problems.len() - errors;
        writeln!(
            self.out,
            "  <testsuite name=\"{}\" tests=\"{count}\" failures=\"{failed}\" errors=\"{errors}\" skipped=\"0\">",
            escaped(&file)
        )?;
        for outcome in &tried.outcomes {
            let what: Vec<&str> = outcome.failures.iter().map(|failure| failure.what.as_str()).collect();
            let (message, text) = (what.join(", "), at_length(outcome));
            let ending = (!what.is_empty()).then_some(Ending { element: "failure", message: &message, text: &text });
            self.out.write_all(testcase([&outcome.case, &file], ending, "").as_bytes())?;
        }
        for problem in &tried.problems {
            let element = if problem.bad_input { "error" } else { "failure" };
            let text = problem.mistake.to_string();
            let ending = Ending { element, message: &problem.mistake.message, text: &text };
            self.out.write_all(testcase([&problem.name(), &file], Some(ending), "").as_bytes())?;
        }
        if let Some(rules) = tried.untried() {
            writeln!(self.out, "    <system-out>{}</system-out>", escaped(&rules))?;
        }
        writeln!(self.out, "  </testsuite>")
    }

    fn github(&mut self, tried: &Tried) -> io::Result<()> {
        let file = tried.file.display().to_string();
        for outcome in tried.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()) {
            let text = at_length(outcome);
            writeln!(self.out, "{}", github::annotation("error", &file, (outcome.line, None), &outcome.case, &text))?;
        }
        if let Some(rules) = tried.untried() {
            let title = "stepspan test: not tried";
            writeln!(self.out, "{}", github::annotation("notice", &file, (1, None), title, &rules))?;
        }
        for Problem { what, mistake, .. } in &tried.problems {
            let (file, line) = (mistake.file.display().to_string(), mistake.line.unwrap_or(1));
            let title = format!("stepspan test: {what}");
            writeln!(self.out, "{}", github::annotation("error", &file, (line, None), &title, &mistake.message))?;
        }
        Ok(())
    }
}

/// All that there is to say of a case that fails.
fn at_length(outcome: &Outcome) -> String {
    outcome.failures.iter().flat_map(lines).chain(why(outcome)).collect::<Vec<_>>().join("\n")
}

/// Why its step was treated so.
fn why(outcome: &Outcome) -> impl Iterator<Item = String> {
    outcome.explanation.iter().map(|line| format!("why: {line}"))
}

/// A failure: in one line, or as a diff.
fn lines(failure: &Failure) -> Vec<String> {
    let Failure { what, expected, found } = failure;
    if !expected.contains('\n') && !found.contains('\n') {
        return vec![format!("{what}: expected {expected}, found {found}")];
    }
    let diff = TextDiff::from_lines(expected.as_str(), found.as_str());
    let text = diff.unified_diff().context_radius(3).header("expected", "found").to_string();
    std::iter::once(format!("{what}:")).chain(text.lines().map(str::to_owned)).collect()
}
