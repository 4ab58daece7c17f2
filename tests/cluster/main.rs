//! Trials against a real API server and the real Argo controller, all started here; then against a real node, where pods run.
//!
//! - `harness/` starts, feeds and stops the cluster; it knows nothing of stepspan.
//! - `cases/` holds the trials without a node, a module for each subject; `workflows/` their samples: each file is a trial.
//! - `node/` holds the trials with one; `node/workflows/` what they run, with and without us.
//! - `backends/` holds those with one and with what shows traces and metrics beside it: Jaeger, Prometheus, the Collector as we ship it.
//! - `tools/` pins the programs, which `scripts/cluster-tools` builds.
//!
//! `cargo test --test cluster` runs all, `cargo test --test cluster -- samples::dag --exact` one, `-- node::` those with a node,
//! and `-- backends::` those with a node, which need root. Where something is missing, the trials that need it are reported as ignored, with the reason on stderr;
//! where `CI=true`, that is a failure.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test program: it stops at the first thing that is wrong, and talks to people"
)]

mod backends;
mod cases;
mod harness;
mod node;

use std::{
    env,
    fs::File,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Instant,
};

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    backends::shown::BackendTools,
    cases::Shared,
    harness::{
        Cluster,
        known::Known,
        node::{NodeTools, private},
        tools::Tools,
    },
};

/// The exit code of a run that a signal ended; trials then fail for want of a cluster.
static INTERRUPTED: OnceLock<u8> = OnceLock::new();

/// All trials of one level.
type Trials = fn(&Shared) -> Result<Vec<Trial>>;

fn main() -> ExitCode {
    match run(&Arguments::from_args()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Arguments) -> Result<ExitCode> {
    if private::inside() {
        private::furnish()?;
        // Pods wait more than they work.
        let args = Arguments { test_threads: Some(args.test_threads.unwrap_or(6)), ..args.clone() };
        return run_level(&args, with_node, || Cluster::start(&Tools::locate()?, Some(&NodeTools::locate()?)));
    }
    if args.list {
        let mut all = cases::all(&None)?;
        all.extend(node::all(&None)?);
        all.extend(backends::all(&None));
        return Ok(libtest_mimic::run(args, all).exit_code());
    }
    let first = if selects_any(args, cases::all)? {
        let tools = allowed("trials without a node", Tools::locate())?;
        match tools {
            Some(tools) => run_level(args, cases::all, || Cluster::start(&tools, None))?,
            None => libtest_mimic::run(args, cases::all(&None)?).exit_code(),
        }
    } else {
        ExitCode::SUCCESS
    };
    let second = if INTERRUPTED.get().is_none() && selects_any(args, with_node)? {
        run_with_node(args)?
    } else {
        ExitCode::SUCCESS
    };
    Ok(if first == ExitCode::SUCCESS { second } else { first })
}

/// All trials that need a node.
fn with_node(cluster: &Shared) -> Result<Vec<Trial>> {
    let mut trials = node::all(cluster)?;
    let backends = if BackendTools::locate().is_ok() { cluster } else { &None };
    trials.extend(backends::all(backends));
    Ok(trials)
}

/// Goes on in namespaces of our own, where there is all it takes.
fn run_with_node(args: &Arguments) -> Result<ExitCode> {
    wait_for_image()?;
    let tools = Tools::locate().and_then(|tools| NodeTools::locate().map(|_| tools));
    let Some(tools) = allowed("trials with a node", tools)? else {
        return Ok(libtest_mimic::run(args, with_node(&None)?).exit_code());
    };
    if selects_any(args, |none| Ok(backends::all(none)))? {
        allowed("trials with backends", BackendTools::locate())?;
    }
    let status = private::run(&tools.cache)?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// `scripts/image` may be at work still, in the background of `scripts/test`: it holds this lock.
fn wait_for_image() -> Result<()> {
    let lock = Known::ask()?.path("image")?.with_file_name(".image.lock");
    let Ok(lock) = File::open(lock) else { return Ok(()) };
    if lock.try_lock_shared().is_err() {
        eprintln!("cluster: the image is being built; waiting for it");
        lock.lock_shared()?;
    }
    Ok(())
}

fn run_level(args: &Arguments, trials: Trials, start: impl Fn() -> Result<Cluster>) -> Result<ExitCode> {
    let from = Instant::now();
    let cluster = Arc::new(start()?);
    eprintln!("cluster: up after {:.1} s", from.elapsed().as_secs_f32());
    stop_on_signal(&cluster)?;
    let shared = Some(Arc::clone(&cluster));
    let conclusion = libtest_mimic::run(args, trials(&shared)?);
    let interrupted = INTERRUPTED.get();
    cluster.stop(conclusion.has_failed() && interrupted.is_none());
    Ok(interrupted.map_or_else(|| conclusion.exit_code(), |code| ExitCode::from(*code)))
}

/// What was located, or nothing where it is missing and that may be.
fn allowed<T>(what: &str, located: Result<T>) -> Result<Option<T>> {
    match located {
        Ok(located) => Ok(Some(located)),
        Err(error) if env::var("CI").is_ok_and(|ci| ci == "true") => Err(error).with_context(|| what.to_owned()),
        Err(error) => {
            eprintln!("cluster: all {what} are skipped: {error:#}");
            Ok(None)
        }
    }
}

/// Whether the filters of the command line leave a trial: `cargo test NAME` reaches this program too when NAME is
/// another one's test, and should then start nothing.
fn selects_any(args: &Arguments, trials: Trials) -> Result<bool> {
    let matches = |name: &str, filter: &String| if args.exact { name == filter } else { name.contains(filter) };
    let selected = |name: &str| {
        let wanted = args.filter.as_ref().is_none_or(|filter| matches(name, filter));
        wanted && !args.skip.iter().any(|skip| matches(name, skip))
    };
    Ok(trials(&None)?.iter().any(|trial| selected(trial.name())))
}

/// SIGINT and SIGTERM reach only this process; the cluster is stopped in order before it goes.
fn stop_on_signal(cluster: &Arc<Cluster>) -> Result<()> {
    let _inside = cluster.runtime().enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopped = Arc::downgrade(cluster);
    cluster.runtime().spawn(async move {
        let code = tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
        let _ = INTERRUPTED.set(code);
        eprintln!("cluster: stopping");
        if let Some(cluster) = stopped.upgrade() {
            let _ = tokio::task::spawn_blocking(move || cluster.stop(false)).await;
        }
        std::process::exit(code.into());
    });
    Ok(())
}
