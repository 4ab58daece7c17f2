//! What a patch changes, as a unified diff of the YAML before and after.

use similar::{ChangeTag, DiffOp, TextDiff};

use super::super::step::Step;
use super::patched;
use super::place::Places;
use crate::admission::Reviewed;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::yaml::Tree;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// Writes a step's diff; nothing where nothing changes. `named` puts the pod's name in front.
pub(super) fn write(step: Step<'_>, palette: Palette, named: bool, out: &mut Vec<u8>) {
    if step.reviewed.patch.is_empty() {
        return;
    }
    if named {
        let (name, decision) = (harmless(&step.name()), &step.reviewed.decision);
        let by =
            if decision.policies.is_empty() { String::new() } else { format!("  by {}", decision.policies.join(", ")) };
        let place = format!("  {}:{}", harmless(&step.file), step.line);
        super::line(out, &palette.paint(Tone::Strong, format!("--- {name}{place}")));
        super::line(out, &palette.paint(Tone::Strong, format!("+++ {name}  {}{by}", step.reviewed.outcome.label())));
    }
    let before = as_yaml(&step.before);
    let after = patched(step.before, &step.reviewed.patch);
    hunks(&before, &as_yaml(&after), palette, out);
    out.push(b'\n');
}

/// Writes what changes from one policy set to another, and the decisions where they differ.
pub(super) fn changed(step: &Step<'_>, newer: &Reviewed, [old, new]: [&str; 2], palette: Palette, out: &mut Vec<u8>) {
    let says = |reviewed: &Reviewed| {
        let by = &reviewed.decision.policies;
        let by = if by.is_empty() { String::new() } else { format!("  by {}", by.join(", ")) };
        let reason = reviewed.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        harmless(&format!("{}{reason}{by}", reviewed.outcome.label()))
    };
    let name = harmless(format!("{}  {}", step.name(), step.step_name()).trim_end());
    let place = harmless(&format!("{}:{}", step.file, step.line));
    super::line(out, &palette.paint(Tone::Strong, format!("--- {name}  {place}  {}", says(&step.reviewed))));
    super::line(out, &palette.paint(Tone::Strong, format!("+++ {name}  {}", says(newer))));
    for condition in &step.conditions {
        super::line(out, &palette.paint(Tone::Quiet, format!("only if {}", harmless(condition))));
    }
    hunks(old, new, palette, out);
    out.push(b'\n');
}

pub(super) fn as_yaml(tree: &Tree<'_>) -> String {
    let mut bytes = Vec::new();
    tree.append_to(&mut bytes);
    // What is written is UTF-8.
    String::from_utf8(bytes).unwrap_or_default()
}

fn hunks(before: &str, after: &str, palette: Palette, out: &mut Vec<u8>) {
    let diff = TextDiff::from_lines(before, after);
    let places = Places::of(after);
    for group in diff.grouped_ops(CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (old, new) = (first.old_range().start..last.old_range().end, first.new_range().start..last.new_range().end);
        let range = format!("@@ -{} +{} @@", span(&old), span(&new));
        let changed =
            group.iter().find(|op| !matches!(op, DiffOp::Equal { .. })).map_or(new.start, |op| op.new_range().start);
        let place = places.at(changed);
        super::line(
            out,
            &format!("{} {}", palette.paint(Tone::Quiet, range), palette.paint(Tone::Place, harmless(&place))),
        );
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, tone) = match change.tag() {
                ChangeTag::Equal => (' ', Tone::Quiet),
                ChangeTag::Delete => ('-', Tone::Bad),
                ChangeTag::Insert => ('+', Tone::Good),
            };
            let text = harmless(change.value().trim_end_matches('\n'));
            super::line(out, &palette.paint(tone, format!("{sign}{text}")));
        }
    }
}

/// As `diff -u` writes it: lines count from 1, a length of 1 is left out.
fn span(range: &std::ops::Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        length => format!("{},{length}", range.start + 1),
    }
}
