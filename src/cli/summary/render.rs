//! A [`Report`] as a table.

use std::io::{self, Write};

use crate::cli::counted;
use crate::cli::palette::{Palette, Tone, harmless};
use crate::telemetry::summary::{Latency, OfAction, Report};

/// The longest bar.
const LONGEST: usize = 40;
/// What stands left of the bars, but for the names.
const FIXED: usize = 60;
/// So many errors of an action are told.
const TOLD: usize = 5;

/// Each action with its numbers and a bar, the part that failed at its end; then what went wrong.
pub(super) fn table(report: &Report, palette: Palette, columns: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let (Some(from), Some(to)) = (&report.from, &report.to) else {
        return writeln!(out, "no event since then, {} before", report.earlier);
    };
    writeln!(
        out,
        "{}",
        palette.paint(Tone::Quiet, format!("{}, {from} to {to}", many(report.events, "event", "events")))
    )?;
    let names = report.actions.iter().map(|of| of.action.chars().count()).max().unwrap_or_default().max(6);
    let head = format!("\n{:names$}     COUNT   SUCCESS        P50        P95        P99", "ACTION");
    writeln!(out, "{}", palette.paint(Tone::Strong, head))?;
    let most = report.actions.iter().map(|of| of.count).max().unwrap_or(1);
    let room = columns.saturating_sub(FIXED + names).clamp(8, LONGEST);
    for of in &report.actions {
        let tone = if of.failed == 0 { Tone::Good } else { Tone::Bad };
        let rate = palette.paint(tone, format!("{:>9}", percent(of)));
        let times = of.latency_ms.map_or_else(|| " ".repeat(33), |latency| times(&latency));
        let (good, bad) = bar(of, most, room);
        let bar =
            format!("{}{}", palette.paint(Tone::Good, "█".repeat(good)), palette.paint(Tone::Bad, "▒".repeat(bad)));
        writeln!(out, "{:names$}  {:8} {rate}{times}  {bar}", harmless(&of.action), of.count)?;
    }
    errors(report, palette, out)
}

fn errors(report: &Report, palette: Palette, out: &mut Vec<u8>) -> io::Result<()> {
    if report.actions.iter().all(|of| of.errors.is_empty()) {
        return Ok(());
    }
    writeln!(out, "\n{}", palette.paint(Tone::Strong, "What went wrong"))?;
    for of in report.actions.iter().filter(|of| !of.errors.is_empty()) {
        for error in of.errors.iter().take(TOLD) {
            let last = palette.paint(Tone::Quiet, format!("last {}", error.last));
            writeln!(out, "  {}  {}, {last}", harmless(&of.action), many(error.count, "time", "times"))?;
            writeln!(out, "    {}", harmless(&error.error))?;
        }
        if let Some(more) = of.errors.len().checked_sub(TOLD).filter(|more| *more > 0) {
            writeln!(out, "  {}  and {more} other errors: -o json has them", harmless(&of.action))?;
        }
    }
    Ok(())
}

fn many(count: u64, one: &str, many: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), one, many)
}

/// How many cells are of what succeeded, and how many of what failed; neither is nothing where there was one.
fn bar(of: &OfAction, most: u64, room: usize) -> (usize, usize) {
    let cells = |count: u64| {
        let share = u128::from(count) * room as u128 / u128::from(most.max(1));
        usize::try_from(share).unwrap_or(room).max(usize::from(count > 0))
    };
    let bad = cells(of.failed);
    (cells(of.count).saturating_sub(bad).max(usize::from(of.count > of.failed)), bad)
}

/// Rounded down: 100 % is all of them.
fn percent(of: &OfAction) -> String {
    let good = u128::from(of.count - of.failed) * 10_000 / u128::from(of.count.max(1));
    format!("{}.{:02} %", good / 100, good % 100)
}

fn times(latency: &Latency) -> String {
    [latency.p50, latency.p95, latency.p99].map(|ms| format!(" {:>10}", time(ms))).concat()
}

/// Three digits say enough.
fn time(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}
