//! What came of the records, for people and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::counted;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::record::gaps::Gap;
use crate::record::trial::{How, Kind, Seen, Step, Tally};
use crate::text::cut;

/// Longest value shown, in bytes.
const SHOWN: usize = 60;
/// Of a long value, so much before the first difference.
const LEAD: usize = 20;

/// Writes it for people: templates that differ, the kinds of difference of each, and the sums.
pub(super) fn text(out: &mut dyn Write, tally: &Tally, palette: Palette) -> io::Result<()> {
    for (name, step) in tally.steps.iter().filter(|(_, step)| step.differ > 0) {
        template(out, name, step, palette)?;
    }
    if !tally.gaps.is_empty() {
        writeln!(
            out,
            "{}",
            palette.paint(Tone::Strong, "not replayable: a policy reads what the records do not hold")
        )?;
        for (Gap { policy, reads }, seen) in &tally.gaps {
            let pod = palette.paint(Tone::Quiet, format!("such as {}", harmless(&seen.pod)));
            let reads = palette.paint(Tone::Warning, harmless(reads));
            writeln!(out, "  {:>8}  {} reads {reads}  {pod}", seen.count, harmless(policy))?;
        }
        writeln!(out)?;
    }
    let same = tally.reviews - tally.differ - tally.untold();
    let templates = counted(tally.steps.len(), "template", "templates");
    let differ =
        palette.paint(if tally.differ > 0 { Tone::Warning } else { Tone::Good }, format!("{} differ", tally.differ));
    let untold = match tally.untold() {
        0 => String::new(),
        untold => format!(", {}", palette.paint(Tone::Warning, format!("{untold} not replayable"))),
    };
    writeln!(out, "{} of {templates}: {differ}{untold}, {same} the same", counted(tally.reviews, "review", "reviews"))
}

fn template(out: &mut dyn Write, name: &str, step: &Step, palette: Palette) -> io::Result<()> {
    let such = step.kinds.values().next().map_or("", |seen| seen.pod.as_str());
    let share = format!("{} of {} reviews differ, such as {}", step.differ, step.reviews, harmless(such));
    writeln!(out, "{}  {}", palette.paint(Tone::Strong, harmless(name)), palette.paint(Tone::Quiet, share))?;
    let whats: Vec<String> = step.kinds.keys().map(|kind| harmless(&kind.what)).collect();
    let hows: Vec<String> = step.kinds.keys().map(|kind| harmless(&kind.how.to_string())).collect();
    // A long one does not push all others out.
    let width = |all: &[String]| all.iter().map(|text| text.chars().count()).filter(|width| *width <= SHOWN).max();
    let (wide, wider) = (width(&whats).unwrap_or_default(), width(&hows).unwrap_or_default());
    for (((kind, seen), what), how) in step.kinds.iter().zip(&whats).zip(&hows) {
        let example = example(kind, seen, such);
        let how = if example.is_empty() { how.clone() } else { format!("{how:<wider$}  ") };
        let (how, example) = (palette.paint(tone(kind), how), palette.paint(Tone::Quiet, example));
        writeln!(out, "  {:>8}  {what:<wide$}  {how}{example}", seen.count)?;
    }
    writeln!(out)
}

fn tone(kind: &Kind) -> Tone {
    match kind.how {
        How::Added => Tone::Good,
        How::Removed => Tone::Bad,
        How::Changed | How::Words(..) => Tone::Warning,
    }
}

/// What changed in one pod, where the kind does not say so; the pod where it is another than `such`.
fn example(kind: &Kind, seen: &Seen, such: &str) -> String {
    // Of two long values what lies about the first difference.
    let alike = seen.from.iter().zip(&seen.to).map(|(from, to)| alike(from, to)).sum::<usize>();
    let shown = |text: &String| {
        let start = if text.len() > SHOWN { text.floor_char_boundary(alike.saturating_sub(LEAD)) } else { 0 };
        let rest = &text[start..];
        let short = cut(rest, SHOWN);
        let (before, after) = (if start > 0 { "..." } else { "" }, if short.len() < rest.len() { "..." } else { "" });
        harmless(&format!("{before}{short}{after}"))
    };
    let values = match (&seen.from, &seen.to) {
        _ if matches!(kind.how, How::Words(..)) => String::new(),
        (Some(from), Some(to)) => format!("{} -> {}", shown(from), shown(to)),
        (None, Some(to)) => shown(to),
        (Some(from), None) => format!("was {}", shown(from)),
        (None, None) => String::new(),
    };
    match (seen.pod == such, values.is_empty()) {
        (true, _) => values,
        (false, true) => harmless(&seen.pod),
        (false, false) => format!("{values} ({})", harmless(&seen.pod)),
    }
}

/// So many bytes are the same at the beginning.
fn alike(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

/// Writes it as one object.
pub(super) fn json(out: &mut dyn Write, tally: &Tally) -> io::Result<()> {
    let example = |seen: &Seen| json!({"pod": seen.pod, "from": seen.from, "to": seen.to});
    let kind = |(kind, seen): (&Kind, &Seen)| json!({"what": kind.what, "how": kind.how.to_string(), "count": seen.count, "example": example(seen)});
    let step = |(name, step): (&String, &Step)| {
        let changes: Vec<Value> = step.kinds.iter().map(kind).collect();
        json!({"template": name, "reviews": step.reviews, "differ": step.differ, "changes": changes})
    };
    let gap = |(gap, seen): (&Gap, &Seen)| json!({"policy": gap.policy, "reads": gap.reads, "count": seen.count, "example": {"pod": seen.pod}});
    let all = json!({
        "reviews": tally.reviews,
        "differ": tally.differ,
        "notReplayable": tally.untold(),
        "same": tally.reviews - tally.differ - tally.untold(),
        "templates": tally.steps.iter().map(step).collect::<Vec<_>>(),
        "gaps": tally.gaps.iter().map(gap).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)
}
