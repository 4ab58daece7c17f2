//! A step in one line: pod, step, outcome, and why or with what.

use super::super::step::{Step, is_failure};
use crate::admission::Outcome;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::policy::Mismatch;

/// Columns wider than this push their line out, not all lines.
const WIDEST: usize = 64;

/// A line's columns.
#[derive(Debug)]
pub(crate) struct Row {
    columns: [String; 3],
    tone: Tone,
    detail: String,
}

impl Row {
    /// The line of a step.
    pub fn new(step: &Step<'_>) -> Self {
        let failure = step.failure();
        let (word, tone) = match step.reviewed.outcome {
            Outcome::Injected if failure.is_some() => ("partly", Tone::Bad),
            Outcome::Injected => ("injected", Tone::Good),
            Outcome::Carried => ("carried", Tone::Good),
            _ if failure.is_some() => ("failed", Tone::Bad),
            Outcome::Labelled => ("labelled", Tone::Place),
            Outcome::Skipped | Outcome::Failed => ("skipped", Tone::Quiet),
        };
        let columns = [harmless(&step.name()), harmless(&step.step_name()), word.to_owned()];
        Self { columns, tone, detail: detail(step) }
    }

    /// Widens the columns to hold this line.
    pub fn widen(&self, widths: &mut [usize; 3]) {
        for (width, column) in widths.iter_mut().zip(&self.columns) {
            *width = (*width).max(column.chars().count().min(WIDEST));
        }
    }

    /// Writes the line.
    pub fn write(&self, widths: [usize; 3], palette: Palette, out: &mut Vec<u8>) {
        let [pod, step, word] = &self.columns;
        let pad = |text: &str, width: usize| " ".repeat(width.saturating_sub(text.chars().count()) + 2);
        let mut line = palette.paint(Tone::Strong, pod);
        line.push_str(&pad(pod, widths[0]));
        line.push_str(step);
        line.push_str(&pad(step, widths[1]));
        line.push_str(&palette.paint(self.tone, word));
        if !self.detail.is_empty() {
            line.push_str(&pad(word, widths[2]));
            line.push_str(&palette.paint(if self.tone == Tone::Good { Tone::Plain } else { self.tone }, &self.detail));
        }
        super::line(out, &line);
    }
}

fn detail(step: &Step<'_>) -> String {
    let reviewed = &step.reviewed;
    let decision = &reviewed.decision;
    let mut parts = Vec::new();
    if !step.conditions.is_empty() {
        parts.push(format!("[if {}]", step.conditions.join(", and ")));
    }
    if let Some(reason) = &reviewed.reason {
        parts.push(reason.to_string());
        let told = |why: &Mismatch| !matches!(why, Mismatch::OptedOut);
        if decision.policies.is_empty()
            && let Some((policy, why)) = decision.mismatches.iter().find(|(_, why)| told(why))
        {
            parts.push(format!("({policy}: {why})"));
        }
        if is_failure(reason) {
            parts.extend(reviewed.warnings.iter().take(1).map(|w| format!("({w})")));
        }
    } else {
        let others = decision.containers.iter().filter_map(|c| Some((c, c.skipped.as_ref()?)));
        parts.extend(others.map(|(container, reason)| format!("{}: {reason}", container.name)));
    }
    if reviewed.reason.as_ref().is_none_or(|reason| !is_failure(reason)) {
        // The step's own name has a column.
        let named = decision.values.iter().filter(|v| !is_step_name(v.source.as_deref()));
        parts.extend(named.filter_map(|v| Some(pair(&v.key, v.value.as_deref()?))));
    }
    harmless(&parts.join(" "))
}

fn is_step_name(source: Option<&str>) -> bool {
    source.is_some_and(|source| source.eq_ignore_ascii_case("builtin/stepName"))
}

fn pair(key: &str, value: &str) -> String {
    let shown = crate::text::cut(value, 60);
    let more = if shown.len() < value.len() { "…" } else { "" };
    if value.contains(|c: char| c.is_whitespace() || c == '"') || value.is_empty() {
        format!("{key}={shown:?}{more}")
    } else {
        format!("{key}={shown}{more}")
    }
}
