//! `stepspan summary`: from event logs to a table or JSON.

mod render;

use std::io::{self, IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::ValueEnum;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::lines::{Problems, chunks, each_line};
use super::palette::{Colour, Palette};
use super::progress::Progress;
use super::units::duration;
use super::{tell, written};
use crate::telemetry::summary::{Report, Summary};

/// Sum up the event log of a server: of each action how often, how well, how long
///
/// Takes what `webhook` and `watch` write to stderr and --log-file, of any number of replicas together.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 summed up; 2 bad input, or no event.", after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Event log, a folder of them (with those that were rotated), or - for stdin
    #[arg(value_name = "PATH", required = true)]
    logs: Vec<PathBuf>,
    /// Leave out what was before: so long ago, such as 1h, or a time such as 2026-11-23T10:15:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<OffsetDateTime>,
    /// What to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line and a bar for each action, then what went wrong
    Table,
    /// The same as one JSON object
    Json,
}

const EXAMPLES: &str = "\
Exit status:
  0  summed up
  2  bad input: lines that are no events are told and passed over; or no event at all

Examples:
  # The last hour of all replicas:
  kubectl logs -n stepspan -l app.kubernetes.io/name=stepspan --tail=-1 | stepspan summary - --since 1h

  # Where the servers log to files:
  stepspan summary /var/log/stepspan

  # As a check:
  stepspan summary telemetry.jsonl -o json | jq -e 'all(.actions[]; .success_rate > 0.99)'";

/// Reads the logs, and prints.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (summary, problems) = read(args)?;
    let report = summary.report();
    if report.events == 0 && report.earlier == 0 {
        let named: Vec<_> = args.logs.iter().map(|path| path.display().to_string()).collect();
        return Err(anyhow!("no event in {}: `stepspan webhook` and `stepspan watch` write them", named.join(", ")));
    }
    written(io::stdout().write_all(&text(args, &report)?))?;
    Ok(ExitCode::from(if problems > 0 { 2 } else { 0 }))
}

/// What was read, and how many lines were no events.
fn read(args: &Args) -> anyhow::Result<(Summary, usize)> {
    let (chunks, total) = chunks(&args.logs)?;
    let mut progress = Progress::new(total, "events", false);
    let (mut summary, mut problems) = (Summary::new(args.since), Problems::default());
    for chunk in chunks {
        let said = each_line(&chunk, |line| summary.line(line));
        problems.take(said, |text| progress.aside(|| tell(text)));
        progress.advance(chunk.bytes, usize::try_from(summary.events()).unwrap_or(usize::MAX));
    }
    progress.end();
    problems.end();
    Ok((summary, problems.count))
}

fn text(args: &Args, report: &Report) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    match args.output {
        Output::Table => render::table(report, Palette::of(args.color), width(), &mut text)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut text, report)?;
            text.push(b'\n');
        }
    }
    Ok(text)
}

/// Columns of the terminal; 80 where it is none.
fn width() -> usize {
    let size = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    size.map_or(80, |(width, _)| usize::from(width.0))
}

/// A time, or how long ago that was.
fn since(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let ago =
        duration(text).map_err(|_| "so long ago, such as 90s, 30m, 1h, 7d, or a time such as 2026-11-23T10:15:00Z")?;
    let ago = time::Duration::try_from(ago).map_err(|_| "out of range")?;
    OffsetDateTime::now_utc().checked_sub(ago).ok_or_else(|| "out of range".into())
}
