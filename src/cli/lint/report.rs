//! What is printed of findings.

use std::io::{self, Write};

use serde_json::json;

use super::Format;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::cli::{github, sarif};
use crate::lint::{Finding, Rule, Severity, rule};

/// Writes all findings.
pub(super) fn write(out: &mut dyn Write, format: Format, findings: &[Finding], palette: Palette) -> io::Result<()> {
    match format {
        Format::Text => findings.iter().try_for_each(|finding| text(out, finding, palette))?,
        Format::Json => findings.iter().try_for_each(|finding| json(out, finding))?,
        Format::Sarif => sarif(out, findings)?,
        Format::Github => findings.iter().try_for_each(|finding| github(out, finding))?,
    }
    out.flush()
}

/// Writes what rules there are.
pub(super) fn rules(out: &mut dyn Write, rules: &[&Rule], palette: Palette) -> io::Result<()> {
    let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    for rule in rules {
        let id = palette.paint(Tone::Strong, format!("{:<width$}", rule.id));
        let severity = palette.paint(tone(rule.severity), format!("{:<7}", rule.severity.as_str()));
        writeln!(out, "{id}  {severity}  {}", rule.finds)?;
    }
    out.flush()
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Place,
        Severity::Warning => Tone::Warning,
        Severity::Error => Tone::Bad,
    }
}

/// `file:line:column`, as editors and terminals follow it.
fn place(finding: &Finding) -> String {
    match finding.start.line {
        0 => finding.file.clone(),
        line => format!("{}:{line}:{}", finding.file, finding.start.column),
    }
}

/// The field and what is wrong with it.
fn sentence(finding: &Finding) -> String {
    if finding.path.is_empty() { finding.message.clone() } else { format!("{}: {}", finding.path, finding.message) }
}

fn text(out: &mut dyn Write, finding: &Finding, palette: Palette) -> io::Result<()> {
    let what = format!("{}[{}]", finding.severity.as_str(), finding.rule.id);
    let what = palette.paint(tone(finding.severity), what);
    writeln!(out, "{}: {what} {}", harmless(&place(finding)), harmless(&sentence(finding)))?;
    match &finding.hint {
        Some(hint) => writeln!(out, "  {}", palette.paint(Tone::Quiet, format!("hint: {}", harmless(hint)))),
        None => Ok(()),
    }
}

fn json(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let Finding { rule, severity, file, start, end, path, message, hint, .. } = finding;
    let line = json!({
        "rule": rule.id, "severity": severity.as_str(), "file": file, "line": start.line, "column": start.column,
        "endLine": end.line, "endColumn": end.column, "path": path, "message": message, "hint": hint,
    });
    writeln!(out, "{line}")
}

fn with_hint(finding: &Finding) -> String {
    match &finding.hint {
        Some(hint) => format!("{}\nhint: {hint}", sentence(finding)),
        None => sentence(finding),
    }
}

fn github(out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let level = match finding.severity {
        Severity::Info => "notice",
        other => other.as_str(),
    };
    let title = format!("stepspan {}", finding.rule.id);
    let at = (finding.start.line, Some(finding.start.column));
    writeln!(out, "{}", github::annotation(level, &finding.file, at, &title, &with_hint(finding)))
}

fn sarif(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    let level = |severity| match severity {
        Severity::Info => "note",
        other => other.as_str(),
    };
    let described = |rule: &&Rule| sarif::Rule { id: rule.id, finds: rule.finds, level: level(rule.severity) };
    let rules: Vec<_> = rule::ALL.iter().map(described).collect();
    let result = |finding: &Finding| sarif::Result {
        rule: rule::ALL.iter().position(|rule| **rule == *finding.rule).unwrap_or_default(),
        level: level(finding.severity),
        message: with_hint(finding),
        file: finding.file.clone(),
        region: (finding.start.line > 0).then_some((finding.start, finding.end)),
        place: finding.path.clone(),
    };
    sarif::write(out, &rules, &findings.iter().map(result).collect::<Vec<_>>())
}
