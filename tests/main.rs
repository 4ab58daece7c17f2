//! The integration tests that need no cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it should be"
)]

/// Golden folders: each of `tests/cases/*` is one test of the evaluator behind `dry-run`.
mod cases;
/// The chart, as Helm renders it.
mod chart;
/// What CI systems, shells and kubectl are given: the action, completions, man pages.
mod ci;
/// What a person types and sees: `tests/cmd/*.trycmd`.
mod cmd;
/// Configurations of the OpenTelemetry Collector.
mod collector;
/// Grafana dashboards of the chart.
mod dashboards;
/// The documentation against the code.
mod docs;
/// `dry-run` as a program: streams, exit codes, broken pipes, order, types.
mod dry_run;
/// The chart's configuration for Fluent Bit.
mod fluent_bit;
/// Files that nobody means well with, at every command that takes one.
mod hostile;
/// `dry-run -o html` in a browser.
mod html;
/// Where programs are that the trials with a cluster use too.
#[path = "cluster/harness/known.rs"]
mod known;
/// Links, commands and YAML of every page.
mod pages;
/// Steps that hand their trace on by a queue.
mod queue;
/// Policies tried on recorded reviews.
mod replay;
/// Alerts and recording rules of the chart.
mod rules;
/// What `make image` says is in its programs, against Cargo.
mod sbom;
/// Suites of policies, as `test`, `test --update` and `init` treat them.
mod suites;
/// Runs as `trace` shows them.
mod trace;
