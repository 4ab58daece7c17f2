//! A step in one line: pod, step, the evaluator's word for the outcome, and why or with what.

use super::super::step::{Step, is_failure};
use crate::admission::{Outcome, Reviewed};
use crate::cli::palette::{Palette, Tone, harmless};
use crate::inject::reason::SkipReason;
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
        let outcome = step.reviewed.outcome;
        let tone = match outcome {
            _ if step.failure().is_some() => Tone::Bad,
            Outcome::Injected | Outcome::Carried => Tone::Good,
            Outcome::Labelled => Tone::Place,
            Outcome::Skipped | Outcome::Failed => Tone::Quiet,
        };
        let columns = [harmless(&step.name()), harmless(&step.step_name()), outcome.label().to_owned()];
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

/// Why nothing, or less, was done, of the pod or of its containers; `failed` where it should have been done and could not be.
pub(super) fn why(reviewed: &Reviewed) -> Vec<String> {
    let whole = reviewed.reason.as_ref();
    // Where the outcome says so it is not said again.
    let word =
        |reason: &SkipReason| if is_failure(reason) && reviewed.outcome != Outcome::Failed { "failed: " } else { "" };
    let mut said: Vec<String> = whole.map(|reason| format!("{}{reason}", word(reason))).into_iter().collect();
    let containers = reviewed.decision.containers.iter().filter_map(|c| Some((&c.name, c.skipped.as_ref()?)));
    said.extend(containers.filter_map(|(name, reason)| match (whole, is_failure(reason)) {
        // What holds for the pod is not said again of its containers.
        (Some(whole), failed) if is_failure(whole) || !failed => None,
        (_, true) => Some(format!("{name} failed: {reason}")),
        (_, false) => Some(format!("{name}: {reason}")),
    }));
    said
}

fn detail(step: &Step<'_>) -> String {
    let reviewed = &step.reviewed;
    let decision = &reviewed.decision;
    let mut parts = Vec::new();
    if !step.conditions.is_empty() {
        parts.push(format!("[if {}]", step.conditions.join(", and ")));
    }
    parts.extend(why(reviewed));
    if let Some(reason) = &reviewed.reason {
        let told = |why: &Mismatch| !matches!(why, Mismatch::OptedOut);
        if decision.policies.is_empty()
            && let Some((policy, why)) = decision.mismatches.iter().find(|(_, why)| told(why))
        {
            parts.push(format!("({policy}: {why})"));
        }
        if is_failure(reason) {
            parts.extend(reviewed.warnings.iter().take(1).map(|w| format!("({w})")));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::plan::ContainerDecision;

    #[test]
    fn what_could_not_be_done_is_said_to_have_failed_and_the_outcome_keeps_its_word() {
        use crate::inject::reason::SkipReason::{
            ContainerExcluded, Missing, MountConflict, NoPolicy, PatchUnsafe, PrefixNotProven, Sidecar,
        };
        type Case<'a> = (Outcome, Option<SkipReason>, &'a [Option<SkipReason>], &'a str);
        let cases: [Case<'_>; 8] = [
            (Outcome::Injected, None, &[None], "injected"),
            (Outcome::Injected, None, &[None, Some(Sidecar)], "injected b: sidecar"),
            (Outcome::Injected, None, &[None, Some(MountConflict)], "injected b failed: mount-conflict"),
            (Outcome::Labelled, Some(PrefixNotProven), &[Some(PrefixNotProven)], "labelled failed: prefix-not-proven"),
            (
                Outcome::Labelled,
                Some(ContainerExcluded),
                &[Some(ContainerExcluded), Some(MountConflict)],
                "labelled container-excluded b failed: mount-conflict",
            ),
            (Outcome::Skipped, Some(NoPolicy), &[], "skipped no-policy"),
            (Outcome::Skipped, Some(Missing("repo".to_owned())), &[], "skipped failed: missing-repo"),
            (Outcome::Failed, Some(PatchUnsafe), &[None], "failed patch-unsafe"),
        ];
        for (outcome, reason, containers, expected) in cases {
            let mut reviewed = Reviewed { reason, ..Reviewed::unpatched(outcome, NoPolicy) };
            let named = ["a", "b"].iter().zip(containers);
            reviewed.decision.containers = named
                .map(|(name, skipped)| ContainerDecision { name: (*name).to_owned(), skipped: skipped.clone() })
                .collect();
            let said = [vec![outcome.label().to_owned()], why(&reviewed)].concat().join(" ");
            assert_eq!(said, expected);
        }
    }
}
