//! The shim as a process: what its command sees, what whoever started it sees, and what arrives at a Collector.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    missing_docs,
    reason = "tests stop where something is wrong"
)]

mod collector;
mod export;
mod init;
mod otelcol;
mod parts;
mod process;
mod span;
mod terminal;

use std::process::{Command, Output};
use std::time::Duration;

use stepspan_contract::{Config, IdentityLine, Parent};

const SHIM: &str = env!("CARGO_BIN_EXE_stepspan-shim");
const TRACE: &str = "73890c2da831a57f26005e08762a279a";
const PARENT: &str = "53838fbf4af0418e";

/// A hang guard: longer than a loaded machine takes for anything.
const GUARD: Duration = Duration::from_mins(1);

/// Whoever runs the tests may ignore signals (`nohup`, a job in the background), and so would every command.
const USUAL_SIGNALS: &str = "--default-signal=HUP,INT,QUIT";

/// What the webhook writes for a step; its budget is one that nobody waits for where a Collector answers.
fn config(endpoint: &str, protocol: &str) -> Config {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Config {
        trace_id: TRACE.into(),
        parent: Parent::Span(PARENT.into()),
        sampled: true,
        pod_name: Some("ci-1-build".into()),
        workflow_uid: "uid-1".into(),
        node_id: "ci-1".into(),
        container: "main".into(),
        span_name: "{agent}/{stepName}".into(),
        attribute_names: "both".into(),
        attributes: vec![pair("repo", "acme/widgets"), pair("agent", "coder"), pair("stepName", "build")],
        endpoint: endpoint.into(),
        protocol: protocol.into(),
        budget_ms: 60_000,
        identity_line: IdentityLine::Auto,
        ..Config::default()
    }
}

/// `stepspan-shim run -- WORDS` under a configuration, in an environment of its own, with the usual signals.
fn shim(config: &Config, words: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args([USUAL_SIGNALS, SHIM, "run", "--"]).args(words);
    configure(&mut command, config);
    command
}

fn configure(command: &mut Command, config: &Config) {
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("STEPSPAN_CONFIG", config.encode()).env("STEPSPAN_POD_UID", "pod-1").env("HOSTNAME", "ci-1-build");
}

/// The same as first process of a pid namespace of its own.
fn first_process(config: &Config, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    command.args(["env", USUAL_SIGNALS, SHIM, "run", "--"]).args(words);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("STEPSPAN_CONFIG", config.encode());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(config: &Config, words: &[&str]) -> Output {
    shim(config, words).output().unwrap()
}
