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

use std::{env, process::ExitCode, sync::Arc, time::Instant};

use anyhow::Result;
use libtest_mimic::Arguments;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cases::Shared,
    harness::{Cluster, tools::Tools},
};

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
    let cluster = if args.list { None } else { start(&Tools::locate())? };
    let trials = cases::all(&cluster)?;
    let conclusion = libtest_mimic::run(args, trials);
    if let Some(cluster) = cluster {
        cluster.stop(conclusion.has_failed());
    }
    Ok(conclusion.exit_code())
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
        eprintln!("cluster: stopping");
        if let Some(cluster) = stopped.upgrade() {
            let _ = tokio::task::spawn_blocking(move || cluster.stop(false)).await;
        }
        std::process::exit(code);
    });
    Ok(())
}
