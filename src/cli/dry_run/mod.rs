//! `stepspan dry-run`: manifests -> reviews -> what the webhook would do, in the order of the input.
//!
//! [`input`] reads files as batches of documents ([`list`] takes kubectl's Lists apart), [`pipeline`] spreads the batches over
//! all cores, [`manifest`] finds the reviews in a document, [`step`] asks the evaluator, [`apply`] does what it says,
//! [`render`] writes ([`splice`]: JSON from JSON).
//!
//! # Invariants
//!
//! 1. **One evaluator.** Every pod goes through [`admission::review`](crate::admission::review) as bytes of an
//!    AdmissionReview, as it does online; nothing here knows what an injection is.
//! 2. **Order.** Output and errors come in the order of the input, whatever the number of cores.
//! 3. **Bounded.** Memory does not grow with the number of documents (JUnit keeps the cases of one file: its counts come
//!    before them).
//! 4. **One fault, one document.** What cannot be read or reviewed is told with file and line; the rest is still done.

use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;

mod apply;
mod args;
mod input;
mod list;
mod manifest;
mod pipeline;
mod progress;
mod render;
mod splice;
mod step;

pub(super) use args::Args;

use self::progress::Progress;
use self::render::sheet::Sheet;
use self::step::Reviewer;
use crate::cli::palette::Palette;
use crate::policy::compile::Rules;
use crate::source::files;

/// Reviews everything the arguments name.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut stderr = anstream::stderr();
    // Nobody is left to tell if stderr is closed; so for all that is written there.
    let context = args.facts.context(&mut |note| drop(writeln!(stderr, "{note}")))?;
    let rules = Rules { allow_env: context.allow_env.clone() };
    let policies = match files::load(&args.policies, &rules) {
        Ok(policies) => policies,
        Err(errors) => {
            for error in &errors.0 {
                let _ = writeln!(stderr, "error: {error}");
            }
            return Ok(ExitCode::from(2));
        }
    };
    let paths: Vec<_> = args.files.into_iter().chain(args.filenames).collect();
    let (inputs, total) = input::inputs(&paths)?;
    let palette = Palette::of(args.color);
    let reviewer = Reviewer { policies, context, namespace: args.namespace, output: args.output, palette };
    let reviewer = Arc::new(reviewer);
    let workers = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let progress = Progress::new(total, io::stdout().is_terminal());
    let mut sheet = Sheet::new(io::stdout().lock(), stderr, args.output, palette, progress);
    let done = pipeline::ordered(
        inputs,
        workers,
        move |batch| reviewer.batch(batch),
        |done| match sheet.take(done) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        },
    );
    let written = match done.context("cannot start threads")? {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => sheet.end(),
    };
    match written {
        Ok(code) => Ok(ExitCode::from(code)),
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}
