//! The waterfall in a terminal.

use std::io::{self, Write};

use super::rows::{Row, Waterfall, span_of_time};
use super::url::Url;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::trace::Run;
use crate::trace::phase::Phase;
use crate::trace::status::rfc3339;

/// Names longer than this are cut: bars must have room.
const LONGEST_NAME: usize = 48;
/// The least that bars take.
const LEAST_BARS: usize = 20;

/// Writes a run into `width` columns.
pub(super) fn write(
    run: &Run,
    waterfall: &Waterfall,
    url: Option<&Url>,
    (width, palette): (usize, Palette),
    out: &mut impl Write,
) -> io::Result<()> {
    let took = span_of_time(waterfall.end - waterfall.start);
    let Some(root) = waterfall.rows.first() else { return Ok(()) };
    let title = palette.paint(Tone::Strong, harmless(&run.name));
    let phase = palette.paint(tone(run.phase), run.phase.as_str());
    let since = if root.span.end.is_some() { "in" } else { "for" };
    writeln!(out, "{title}  {phase} {since} {took}  from {}", rfc3339(waterfall.start))?;
    writeln!(out, "{}", palette.paint(Tone::Quiet, format!("trace {}", root.span.trace.as_str())))?;
    if let Some(url) = url {
        writeln!(out, "{}", palette.paint(Tone::Place, url.of(run, &root.span)))?;
    }
    let names: Vec<String> = waterfall.rows.iter().map(name).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // Two between columns, one for the sign, six for the time.
    let bars = width.saturating_sub(longest + 2 + 1 + 2 + 6 + 2).max(LEAST_BARS);
    for (row, name) in waterfall.rows.iter().zip(&names) {
        line(row, (name, longest), waterfall, bars, palette, out)?;
    }
    Ok(())
}

/// The tree to the left of a name, and the name.
fn name(row: &Row) -> String {
    let mut text = lines(row, "├─ ", "└─ ");
    let title: String = harmless(&row.title);
    let room = LONGEST_NAME.saturating_sub(text.chars().count()).max(12);
    if title.chars().count() > room {
        text.extend(title.chars().take(room - 1));
        text.push('…');
    } else {
        text.push_str(&title);
    }
    text
}

pub(super) fn lines(row: &Row, branch: &str, last: &str) -> String {
    let Some((own, above)) = row.follows.split_last() else { return String::new() };
    let mut text: String = above.iter().map(|follows| if *follows { "│  " } else { "   " }).collect();
    text.push_str(if *own { branch } else { last });
    text
}

fn line(
    row: &Row,
    (name, longest): (&str, usize),
    waterfall: &Waterfall,
    bars: usize,
    palette: Palette,
    out: &mut impl Write,
) -> io::Result<()> {
    let pad = " ".repeat(longest - name.chars().count());
    let was_run = !matches!(row.phase, Phase::Skipped | Phase::Omitted);
    let took = if was_run { span_of_time(waterfall.end_of(row) - row.span.start) } else { String::new() };
    let shown = if was_run { name.to_owned() } else { palette.paint(Tone::Quiet, name) };
    let sign = palette.paint(tone(row.phase), sign(row.phase));
    let bar = if was_run { bar(row, waterfall, bars, palette) } else { why(row, palette) };
    writeln!(out, "{}", format!("{shown}{pad}  {sign}  {took:>6}  {bar}").trim_end())?;
    // A group fails because what is in it does: that one says why.
    if row.phase.is_bad() && !row.message.is_empty() && !row.message.starts_with("child '") {
        let indent = lines(row, "│  ", "   ");
        writeln!(out, "{indent}   {}", palette.paint(Tone::Bad, harmless(&row.message)))?;
    }
    Ok(())
}

/// Why it was not run.
fn why(row: &Row, palette: Palette) -> String {
    palette.paint(Tone::Quiet, harmless(&row.message))
}

/// Waiting, then running.
fn bar(row: &Row, waterfall: &Waterfall, bars: usize, palette: Palette) -> String {
    let all = (waterfall.end - waterfall.start).max(1);
    let column = |at: u64| {
        let part = u128::from(at.saturating_sub(waterfall.start)) * bars as u128 / u128::from(all);
        usize::try_from(part).unwrap_or(bars).min(bars)
    };
    let from = column(row.span.start).min(bars - 1);
    let to = column(waterfall.end_of(row)).max(from + 1);
    let began = row.waited.map_or(from, column).clamp(from, to);
    let ran = if row.span.end.is_some() { "━".repeat(to - began) } else { "╍".repeat(to - began) };
    let waited = palette.paint(Tone::Quiet, "─".repeat(began - from));
    format!("{}{waited}{}", " ".repeat(from), palette.paint(tone(row.phase), ran))
}

pub(super) fn sign(phase: Phase) -> &'static str {
    match phase {
        Phase::Succeeded => "✓",
        Phase::Failed | Phase::Error => "✗",
        Phase::Skipped | Phase::Omitted => "○",
        Phase::Running => "●",
        Phase::Pending => "◌",
    }
}

fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Succeeded => Tone::Good,
        Phase::Failed | Phase::Error => Tone::Bad,
        Phase::Skipped | Phase::Omitted => Tone::Quiet,
        Phase::Running | Phase::Pending => Tone::Warning,
    }
}
