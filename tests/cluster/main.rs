//! Trials against a real API server and the real Argo controller, both started here.
//!
//! - `harness/` starts, feeds and stops the cluster; it knows nothing of stepspan.
//! - `cases/` holds the trials, a module for each subject.
//! - `workflows/` holds the sample workflows; each file is a trial by itself.
//! - `tools/` pins the programs, which `scripts/cluster-tools` builds.
//!
//! `cargo test --test cluster` runs all, `cargo test --test cluster -- samples::dag --exact` one. Where the programs
//! are missing, every trial is reported as ignored, with the reason on stderr; where `CI=true`, that is a failure.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test program: it stops at the first thing that is wrong, and talks to people"
)]

mod cases;
mod harness;

use std::{
    env,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Instant,
};

use anyhow::Result;
use libtest_mimic::Arguments;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cases::Shared,
    harness::{Cluster, tools::Tools},
};

/// The exit code of a run that a signal ended; trials then fail for want of a cluster.
static INTERRUPTED: OnceLock<u8> = OnceLock::new();

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
    let cluster = if args.list || !selects_any(args)? { None } else { start(&Tools::locate())? };
    let trials = cases::all(&cluster)?;
    let conclusion = libtest_mimic::run(args, trials);
    let interrupted = INTERRUPTED.get();
    if let Some(cluster) = cluster {
        cluster.stop(conclusion.has_failed() && interrupted.is_none());
    }
    Ok(interrupted.map_or_else(|| conclusion.exit_code(), |code| ExitCode::from(*code)))
}

/// Whether the filters of the command line leave a trial: `cargo test NAME` reaches this program too when NAME is
/// another one's test, and should then start nothing.
fn selects_any(args: &Arguments) -> Result<bool> {
    let matches = |name: &str, filter: &String| if args.exact { name == filter } else { name.contains(filter) };
    let selected = |name: &str| {
        let wanted = args.filter.as_ref().is_none_or(|filter| matches(name, filter));
        wanted && !args.skip.iter().any(|skip| matches(name, skip))
    };
    Ok(cases::all(&None)?.iter().any(|trial| selected(trial.name())))
}

/// The cluster, or nothing where its programs are missing and that may be.
fn start(tools: &Result<Tools>) -> Result<Shared> {
    let tools = match tools {
        Ok(tools) => tools,
        Err(error) if env::var("CI").is_ok_and(|ci| ci == "true") => anyhow::bail!("{error:#}"),
        Err(error) => {
            eprintln!("cluster: all trials are skipped: {error:#}");
            return Ok(None);
        }
    };
    let from = Instant::now();
    let cluster = Arc::new(Cluster::start(tools)?);
    eprintln!("cluster: up after {:.1} s", from.elapsed().as_secs_f32());
    stop_on_signal(&cluster)?;
    Ok(Some(cluster))
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
