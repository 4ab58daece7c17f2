//! `stepspan dry-run`: manifests -> reviews -> what the webhook would do, in the order of the input.
//!
//! [`references`] looks for what Workflows may refer to, [`input`] reads files as batches of documents ([`list`] takes kubectl's Lists apart), [`pipeline`](super::pipeline) spreads the batches over
//! all cores, [`manifest`] finds the reviews in a document, [`offline`](crate::offline) expands Workflows to pods, [`step`] asks the evaluator, [`apply`] does what it says,
//! [`compare`] asks it under two policy sets, [`render`] writes ([`splice`]: JSON from JSON).
//!
//! # Invariants
//!
//! 1. **One evaluator.** Every pod goes through [`admission::review`](crate::admission::review) as bytes of an
//!    AdmissionReview, as it does online; nothing here knows what an injection is.
//! 2. **Order.** Output and errors come in the order of the input, whatever the number of cores.
//! 3. **Bounded.** Memory does not grow with the number of documents (JUnit keeps the cases of one file: its counts come
//!    before them; and a hash of each name, for no two to be the same).
//! 4. **One fault, one document.** What cannot be read or reviewed is told with file and line; the rest is still done.
//! 5. **The exit code is that of all input**, also where nobody reads what is printed to its end ([`out`]).

use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, bail};

mod apply;
mod args;
mod compare;
mod input;
mod list;
mod locate;
mod manifest;
mod out;
mod references;
mod render;
mod splice;
mod step;

use args::Format;
pub(super) use args::{Args, Input, Job, Output, Policies};
#[cfg(feature = "webhook")]
pub(super) use input::Given;

use self::out::Out;
use self::render::sheet::Sheet;
use self::step::Reviewer;
use crate::argo::expand::Settings;
use crate::cli::palette::Palette;
use crate::cli::pipeline::ordered;
use crate::cli::progress::Progress;
use crate::offline::Expander;
use crate::policy::compile::Rules;

/// Reviews everything the arguments name.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { input, policies, output, expand_only, facts } = args;
    if expand_only && !matches!(output, None | Some(Format::Yaml | Format::Json)) {
        bail!("--expand-only prints pods that nobody reviewed: -o yaml (which it does without -o) or -o json");
    }
    let output = output.map_or(Output::Both, Output::Of);
    work(Job { output, expand_only, ..Job::new(input, facts, Policies::At(policies)) })
}

/// Does what `dry-run`, `explain` and `diff` have in common.
pub(super) fn work(job: Job) -> anyhow::Result<ExitCode> {
    let Job { input: Input { files, filenames, color, namespace, argo }, given, facts, output, .. } = job;
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    let mut stderr = anstream::stderr();
    // Nobody is left to tell if stderr is closed; so for all that is written there.
    let (context, mut library) = facts.gather(job.context, &namespace, &mut |note| drop(writeln!(stderr, "{note}")))?;
    let rules = Rules { allow_env: context.allow_env.clone() };
    let load = |paths: &[PathBuf]| crate::cli::policies(paths, &rules);
    let older = match job.policies {
        Policies::At(paths) => load(&paths),
        #[cfg(feature = "webhook")]
        Policies::Loaded(set) => Some(set),
    };
    let newer = job.newer.map_or(Some(None), |paths| load(&paths).map(Some));
    let (Some(policies), Some(newer)) = (older, newer) else {
        return Ok(ExitCode::from(2));
    };
    let paths: Vec<_> = files.into_iter().chain(filenames).collect();
    let named = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let begun = references::collect(&paths, &namespace, &mut library);
    let (inputs, total) = input::inputs(&paths, given, begun)?;
    let palette = Palette::of(color);
    let settings = Settings::new(argo.into(), library.controller_config()).map_err(anyhow::Error::msg)?;
    let expander = Expander { library, settings, only: job.expand_only };
    let reviewer = Reviewer { policies, context, namespace, output, palette, expander, newer };
    let reviewer = Arc::new(reviewer);
    let workers = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let progress = Progress::new(total, "pods", io::stdout().is_terminal());
    let mut sheet = Sheet::new(Out::new(io::stdout().lock()), stderr, output, palette, progress);
    let done = ordered(
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
        ControlFlow::Continue(()) => sheet.end(&named),
    };
    written.map(ExitCode::from).context("cannot write to stdout")
}
