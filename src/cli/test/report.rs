//! What is printed of suites.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;
use similar::TextDiff;

use super::Format;
use crate::cli::github;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::cli::xml::escaped;
use crate::suite::coverage::Coverage;
use crate::suite::{Failure, Outcome};

/// A suite that was run.
pub(super) struct Tried {
    /// Its file.
    pub file: PathBuf,
    /// In the order of the file.
    pub outcomes: Vec<Outcome>,
    /// What of its policies was tried.
    pub coverage: Coverage,
}

impl Tried {
    /// Share of the rules that were tried.
    pub fn percent(&self) -> usize {
        let (rules, tried) = self.coverage.count();
        (tried * 100).checked_div(rules).unwrap_or(100)
    }
}

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
            for line in &outcome.explanation {
                writeln!(self.out, "        {}", palette.paint(Tone::Quiet, format!("why: {}", harmless(line))))?;
            }
        }
        let (rules, tried_rules) = tried.coverage.count();
        let missing: Vec<&str> = tried.coverage.missing().collect();
        let not = if missing.is_empty() { String::new() } else { format!("; not tried: {}", missing.join(", ")) };
        let line = format!("  {tried_rules} of {rules} rules tried ({} %){}", tried.percent(), harmless(&not));
        writeln!(self.out, "{}", palette.paint(Tone::Quiet, line))
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
        let (rules, tried_rules) = tried.coverage.count();
        let missing: Vec<&str> = tried.coverage.missing().collect();
        writeln!(self.out, "{}", json!({"suite": file, "rules": rules, "tried": tried_rules, "missing": missing}))
    }

    fn junit(&mut self, tried: &Tried) -> io::Result<()> {
        let failed = tried.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
        let file = escaped(&tried.file.display().to_string());
        let count = tried.outcomes.len();
        writeln!(
            self.out,
            "  <testsuite name=\"{file}\" tests=\"{count}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">"
        )?;
        for outcome in &tried.outcomes {
            let name = escaped(&outcome.case);
            if outcome.failures.is_empty() {
                writeln!(self.out, "    <testcase name=\"{name}\" classname=\"{file}\"/>")?;
                continue;
            }
            let what: Vec<&str> = outcome.failures.iter().map(|failure| failure.what.as_str()).collect();
            let text = outcome.failures.iter().flat_map(lines).collect::<Vec<_>>().join("\n");
            writeln!(
                self.out,
                "    <testcase name=\"{name}\" classname=\"{file}\">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escaped(&what.join(", ")),
                escaped(&text)
            )?;
        }
        writeln!(self.out, "  </testsuite>")
    }

    fn github(&mut self, tried: &Tried) -> io::Result<()> {
        let file = tried.file.display().to_string();
        for outcome in tried.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()) {
            let text = outcome.failures.iter().flat_map(lines).collect::<Vec<_>>().join("\n");
            writeln!(self.out, "{}", github::annotation("error", &file, outcome.line, &outcome.case, &text))?;
        }
        Ok(())
    }
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
