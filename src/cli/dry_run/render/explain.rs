//! Why a pod is treated as it is, in tables: policies, values, containers, variables.

use super::super::step::Step;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::policy::value::Value;
use crate::text::cut;

/// Longer values are cut: `-o json` has them whole.
const SHOWN: usize = 80;
/// Columns wider than this push their line out, not all lines.
const WIDEST: usize = 40;

/// Writes everything about a step.
pub(super) fn write(step: &Step<'_>, palette: Palette, out: &mut Vec<u8>) {
    let reviewed = &step.reviewed;
    let reason = reviewed.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let title = format!("{}  {}", harmless(&step.name()), harmless(&step.step_name()));
    let outcome = format!("{}{}", reviewed.outcome.label(), harmless(&reason));
    super::line(out, &format!("{}  {outcome}", palette.paint(Tone::Strong, title)));
    super::line(out, &palette.paint(Tone::Quiet, format!("  {}:{}", harmless(&step.file), step.line)));
    for condition in &step.conditions {
        super::line(out, &format!("  only if {}", harmless(condition)));
    }
    for section in sections(step) {
        table(section, palette, out);
    }
    out.push(b'\n');
}

/// One table of an explanation.
pub(super) struct Section {
    pub title: String,
    pub rows: Vec<[String; 3]>,
}

/// Everything that is to be said of a step, table by table; those without rows are left to the writer.
pub(super) fn sections(step: &Step<'_>) -> Vec<Section> {
    let decision = &step.reviewed.decision;
    let policies = step.explanation.policies.iter().map(|policy| {
        let word = if policy.matches { "matches" } else { "no" };
        [policy.policy.clone(), word.to_owned(), policy.clauses.join("; ")]
    });
    let containers = decision.containers.iter().map(|container| {
        let reason = container.skipped.as_ref().map(ToString::to_string);
        let what = if reason.is_none() { "injected" } else { "left alone" };
        [container.name.clone(), what.to_owned(), reason.unwrap_or_default()]
    });
    let section = |title: &str, rows: Vec<[String; 3]>| Section { title: title.to_owned(), rows };
    let mut sections = vec![
        section("policies", policies.collect()),
        section("values", decision.values.iter().map(|value| row(value, step)).collect()),
        section("containers", containers.collect()),
    ];
    for container in &step.explanation.containers {
        let variables = container.variables.iter();
        let rows = variables.map(|one| [one.name.clone(), shown(&one.value), meaning(one.decision).to_owned()]);
        sections.push(section(&format!("variables of {}", container.container), rows.collect()));
    }
    let warnings = step.reviewed.warnings.iter().map(|warning| [warning.clone(), String::new(), String::new()]);
    sections.push(section("warnings", warnings.collect()));
    sections
}

/// A value: where it came from, and who was asked in vain before.
fn row(value: &Value, step: &Step<'_>) -> [String; 3] {
    let asked = step.explanation.sources.iter().find(|key| key.name == value.key).map_or(&[][..], |key| &key.from);
    let until = value.source.as_ref().and_then(|found| asked.iter().position(|source| source == found));
    let before = asked[..until.unwrap_or(asked.len())].iter();
    // Of these the shim sees what admission cannot.
    let later =
        |source: &str| source.strip_prefix("env/").is_some_and(|name| value.variables.iter().any(|v| v == name));
    let in_vain: Vec<&str> = before.map(String::as_str).filter(|source| !later(source)).collect();
    let failed = value.failed.iter().map(|(source, why)| format!("{source} failed: {why}"));
    let mut notes: Vec<String> = value.source.iter().map(|source| format!("from {source}")).collect();
    if value.awaits.is_some() {
        notes.push("only the run knows".to_owned());
    } else if !in_vain.is_empty() {
        notes.push(format!("nothing in {}", in_vain.join(", ")));
    }
    if !value.variables.is_empty() {
        notes.push(format!("the shim asks {} first", value.variables.join(", ")));
    }
    notes.extend(failed);
    [value.key.clone(), value.value.as_deref().map_or_else(|| "-".to_owned(), shown), notes.join("; ")]
}

fn meaning(decision: &str) -> &'static str {
    match decision {
        "added" => "added",
        "replaced" => "takes the place of the step's own",
        "kept" => "the step's own stays",
        "group-kept" => "left out: the step sets another of its group",
        "group-dropped" => "left out with its whole group (skip)",
        _ => "settled by the shim, which sees the real values",
    }
}

fn shown(value: &str) -> String {
    let cut = cut(value, SHOWN);
    format!("{}{}", cut, if cut.len() < value.len() { "…" } else { "" })
}

fn table(section: Section, palette: Palette, out: &mut Vec<u8>) {
    let rows: Vec<[String; 3]> = section.rows.into_iter().map(|row| row.map(|text| harmless(&text))).collect();
    if rows.is_empty() {
        return;
    }
    super::line(out, &palette.paint(Tone::Place, format!("  {}", harmless(&section.title))));
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.filter(|length| *length <= WIDEST).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    for [name, value, note] in &rows {
        super::line(out, format!("    {name:first$}  {value:second$}  {note}").trim_end());
    }
}
