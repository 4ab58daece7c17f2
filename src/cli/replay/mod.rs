//! `stepspan replay`: what policies would have made of the reviews that a webhook recorded.

use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;

use super::lines::{Chunk, Chunks, Problems, Said, chunks, each_line};
use super::palette::{Colour, Palette};
use super::pipeline::ordered;
use super::progress::Progress;
use super::{tell, written};
use crate::policy::compile::Rules;
use crate::record::trial::{Remembered, Tally, Trial};
use crate::record::{Record, Unreadable};

mod report;

/// Try policies on the reviews that a webhook recorded (stepspan webhook --record)
///
/// With --policy alone, its decisions are compared with those that were made; with --policy-new too, what both make of each pod. Differences
/// are counted by template, each kind with an example. Records hold no values but identities and those that the policies in force named:
/// where a policy reads more, its reviews are counted as not replayable.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 nothing differs; 1 something does, or cannot be replayed; 2 bad input, or no record."
)]
pub(super) struct Args {
    /// File of records, a folder of them (with those that were rotated), or - for stdin
    #[arg(long = "log", value_name = "PATH", required = true)]
    logs: Vec<PathBuf>,
    /// Policy file or folder [default: the built-in agent-steps policy]
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Policy file or folder to compare it with
    #[arg(long = "policy-new", value_name = "PATH")]
    newer: Vec<PathBuf>,
    /// Variable that policies may set besides OTEL_*; a trailing * takes all with that beginning
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allow_env: Vec<String>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// When to colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// The records themselves, oldest first: how they are taken out of a pod that has no shell
    Records,
}

/// Reads the records, and does what the arguments say.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { logs, policies, newer, allow_env, output, color } = args;
    let (chunks, total) = chunks(&logs)?;
    let named = || logs.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let none = || anyhow!("no record in {}: stepspan webhook --record writes them", named());
    if output == Format::Records {
        return records(chunks)?.ok_or_else(none);
    }
    let rules = Rules { allow_env };
    let Some(first) = super::policies(&policies, &rules) else { return Ok(ExitCode::from(2)) };
    let trial = if newer.is_empty() {
        Trial { older: None, newer: first }
    } else {
        let Some(second) = super::policies(&newer, &rules) else { return Ok(ExitCode::from(2)) };
        Trial { older: Some(first), newer: second }
    };
    let (tally, problems) = work(chunks, total, Arc::new(trial))?;
    if tally.reviews == 0 {
        return Err(none());
    }
    let palette = Palette::of(color);
    let mut out = io::stdout().lock();
    written(match output {
        Format::Json => report::json(&mut out, &tally),
        _ => report::text(&mut out, &tally, palette),
    })?;
    let differ = tally.differ > 0 || !tally.gaps.is_empty();
    Ok(ExitCode::from(if problems > 0 { 2 } else { u8::from(differ) }))
}

/// Tries the records on all cores; what came of them, and how many lines were none.
fn work(chunks: Chunks, total: Option<u64>, trial: Arc<Trial>) -> anyhow::Result<(Tally, usize)> {
    let workers = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let mut progress = Progress::new(total, "records", io::stdout().is_terminal());
    let (mut tally, mut problems) = (Tally::default(), Problems::default());
    let lost = |done: Option<Done>| {
        done.unwrap_or_else(|| {
            let problems = vec!["error: an internal error: records were lost".to_owned()];
            Done { said: Said { problems, ..Said::default() }, ..Done::default() }
        })
    };
    let done = ordered(
        chunks,
        workers,
        move |chunk| try_all(&chunk, &trial),
        |done| {
            let Done { tally: of, said, bytes } = lost(done);
            problems.take(said, |text| progress.aside(|| tell(text)));
            tally.merge(of);
            progress.advance(bytes, tally.reviews);
            ControlFlow::<()>::Continue(())
        },
    );
    let _ = done.context("cannot start threads")?;
    progress.end();
    problems.end();
    Ok((tally, problems.count))
}

/// What came of a chunk.
#[derive(Debug, Default)]
struct Done {
    tally: Tally,
    said: Said,
    bytes: usize,
}

fn try_all(chunk: &Chunk, trial: &Trial) -> Done {
    let (mut tally, mut remembered) = (Tally::default(), Remembered::new());
    let said = each_line(chunk, |line| trial.line(line, &mut remembered, &mut tally));
    Done { tally, said, bytes: chunk.bytes }
}

/// Writes the records as they are; `None` where there is none.
fn records(chunks: Chunks) -> anyhow::Result<Option<ExitCode>> {
    let (mut out, mut any, mut problems) = (io::stdout().lock(), false, Problems::default());
    for chunk in chunks {
        let mut good = Vec::new();
        let said = each_line(&chunk, |line| {
            Record::read(line)?;
            good.extend_from_slice(line);
            good.push(b'\n');
            Ok::<_, Unreadable>(())
        });
        problems.take(said, tell);
        any |= !good.is_empty();
        match out.write_all(&good) {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other.context("cannot write to stdout")?,
        }
    }
    problems.end();
    written(out.flush())?;
    Ok(any.then(|| ExitCode::from(if problems.count > 0 { 2 } else { 0 })))
}
