//! Pod creation through a real API server, beside what admission costs at least and what the API server can do by itself.
//!
//! `cargo bench --bench api_server [-- SECONDS]`; needs `scripts/cluster-tools bench`. One cluster, one namespace for each side,
//! so that all four are in force at once and rounds take turns, in another order each:
//!
//! - none: no admission of ours;
//! - constant: a webhook of the same stack that always answers `allowed` (`examples/floor.rs`);
//! - webhook: `stepspan webhook` with the embedded policy, registered in the same way;
//! - policy: an equivalent `MutatingAdmissionPolicy` (`mutating-admission-policy.yaml`).
//!
//! `hey` creates a recorded step pod with `generateName` and `?dryRun=All` on 8 connections. Ratios are medians of the ratios
//! within rounds, so that what else the machine does weighs on both. `figure NAME VALUE` lines are for `scripts/bench`.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench: it prints; and the harness is that of tests"
)]

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

#[allow(dead_code, reason = "its main is for the example")]
#[path = "../examples/floor.rs"]
mod floor;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/cluster/harness/mod.rs"]
mod harness;

use harness::{
    Cluster, api::YAML, namespace::Namespace, processes::Process, tools::Tools, wait::until, webhook::Webhook,
};

const ROUNDS: usize = 7;
const CONNECTIONS: &str = "8";
const POD: &[u8] = include_bytes!("../tests/recorded/dag-1-pod.json");
const POLICY: &str = include_str!("mutating-admission-policy.yaml");
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolic";
const LIMIT: Duration = Duration::from_secs(30);

const SIDES: [&str; 4] = ["none", "constant", "webhook", "policy"];
const PATCHED: [bool; 4] = [false, false, true, true];

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [first, port, ca] = args.as_slice()
        && first == "floor"
    {
        let served = tokio::runtime::Runtime::new()?.block_on(floor::serve(port.parse()?, ca.into()));
        return served.map_err(|error| anyhow!("{error}"));
    }
    // Cargo passes `--bench`.
    let seconds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(4);
    eprintln!("api_server: starting etcd, kube-apiserver and the controllers");
    let cluster = Cluster::start(&Tools::locate()?)?;
    let compared = compare(&cluster, seconds);
    cluster.stop(compared.is_err());
    compared
}

fn compare(cluster: &Cluster, seconds: u32) -> Result<()> {
    let namespaces = SIDES.map(|side| cluster.namespace(side, &json!({"bench.stepspan.dev/side": side})));
    let [none, constant, webhook, policy] = namespaces;
    let namespaces = [none?, constant?, webhook?, policy?];
    let _constant = start_webhook(cluster, &namespaces[1])?;
    let _webhook = start_webhook(cluster, &namespaces[2])?;
    for document in POLICY.split("\n---\n") {
        let path = if document.contains("kind: MutatingAdmissionPolicyBinding") { "ybindings" } else { "ies" };
        cluster.api().create_bytes(&format!("{POLICIES}{path}"), YAML, document.as_bytes().to_vec())?.accepted()?;
    }
    let pod = pod()?;
    for (namespace, patched) in namespaces.iter().zip(PATCHED) {
        until("the side to be in force", LIMIT, || Ok((is_patched(namespace, &pod) == Some(patched)).then_some(())))?;
    }

    let body = cluster.dir().join("pod.json");
    fs::write(&body, serde_json::to_vec(&pod)?)?;
    let access = Access::of(cluster)?;
    for namespace in &namespaces {
        access.load(namespace, &body, 1)?;
    }
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut rates = [0.0; SIDES.len()];
        for turn in 0..SIDES.len() {
            let side = (round + turn) % SIDES.len();
            rates[side] = access.load(&namespaces[side], &body, seconds)?;
        }
        let shown: Vec<String> = SIDES.iter().zip(rates).map(|(side, rate)| format!("{side} {rate:6.1}/s")).collect();
        println!("round {}  {}", round + 1, shown.join("  "));
        rounds.push(rates);
    }
    cluster.ensure_running()?;
    for (namespace, patched) in namespaces.iter().zip(PATCHED) {
        ensure!(is_patched(namespace, &pod) == Some(patched), "{} was not in force to the end", namespace.name());
    }
    report(&rounds);
    Ok(())
}

fn report(rounds: &[[f64; 4]]) {
    for (side, name) in SIDES.iter().enumerate() {
        println!("figure {name}_rate {:.0}", median(rounds.iter().map(|rates| rates[side])));
    }
    println!("figure of_constant {:.3}", median(rounds.iter().map(|[_, constant, webhook, _]| webhook / constant)));
    println!("figure of_policy {:.3}", median(rounds.iter().map(|[_, _, webhook, policy]| webhook / policy)));
}

/// Starts the webhook that a namespace is for, in a process of its own, and registers it there.
fn start_webhook<'c>(cluster: &'c Cluster, namespace: &'c Namespace<'c>) -> Result<(Webhook<'c>, Process)> {
    let [https, ops] = [free_port()?, free_port()?];
    let ca = cluster.dir().join(format!("{}-ca.pem", namespace.name()));
    let (port, ca_path) = (https.to_string(), ca.display().to_string());
    let mut process = if namespace.name().starts_with("constant") {
        cluster.spawn(namespace.name(), &env::current_exe()?, &["floor", &port, &ca_path], &[])?
    } else {
        let ops = ops.to_string();
        let mut args = vec!["webhook", "--tls-self-signed", "--bind", "127.0.0.1", "--write-ca", &ca_path];
        args.extend(["--https-port", &port, "--ops-port", &ops]);
        cluster.spawn(namespace.name(), Path::new(env!("CARGO_BIN_EXE_stepspan")), &args, &[])?
    };
    until("the webhook to listen", LIMIT, || {
        process.ensure_running()?;
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, https)).ok())
    })?;
    let url = format!("https://127.0.0.1:{https}");
    Ok((cluster.register_webhook(namespace, &url, &fs::read_to_string(ca)?)?, process))
}

/// The recorded pod as its controller sends it, but for a name that the API server gives.
fn pod() -> Result<Value> {
    let mut pod = serde_json::from_slice::<Value>(POD)?["request"]["object"].take();
    let metadata = pod["metadata"].as_object_mut().context("metadata")?;
    let name = metadata.shift_remove("name").unwrap_or_default();
    for field in ["namespace", "managedFields"] {
        metadata.shift_remove(field);
    }
    metadata.insert("generateName".to_owned(), format!("{}-", name.as_str().unwrap_or_default()).into());
    Ok(pod)
}

/// Whether a pod comes back with the init container and the command prefix; `None` where it is refused.
fn is_patched(namespace: &Namespace<'_>, pod: &Value) -> Option<bool> {
    let reply = namespace.create_object("pods?dryRun=All", pod).ok()?.accepted().ok()?;
    let init = reply["spec"]["initContainers"].as_array()?.iter().any(|c| c["name"] == "stepspan-init");
    let main = reply["spec"]["containers"].as_array()?.iter().find(|c| c["name"] == "main")?;
    let words = main["command"].as_array()?;
    Some(init && words.get(9).is_some_and(|word| word == "/stepspan/stepspan-shim"))
}

/// How `hey` reaches the API server.
struct Access {
    server: String,
    header: String,
}

impl Access {
    fn of(cluster: &Cluster) -> Result<Self> {
        let config: Value = serde_json::from_slice(&fs::read(cluster.dir().join("admin.kubeconfig"))?)?;
        let text = |pointer| config.pointer(pointer).and_then(Value::as_str).context("the administrator's kubeconfig");
        let header = format!("Authorization: Bearer {}", text("/users/0/user/token")?);
        Ok(Self { server: text("/clusters/0/cluster/server")?.to_owned(), header })
    }

    /// Pods a second; every one must be accepted.
    fn load(&self, namespace: &Namespace<'_>, body: &Path, seconds: u32) -> Result<f64> {
        let mut command = Command::new("hey");
        command.args(["-c", CONNECTIONS, "-z", &format!("{seconds}s"), "-m", "POST", "-T", "application/json"]);
        command.args(["-H", &self.header, "-D"]).arg(body);
        command.arg(format!("{}{}", self.server, namespace.path("pods?dryRun=All")));
        let output = command.output().context("hey (Debian: hey)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let refused =
            text.lines().any(|l| l.trim_start().starts_with('[') && l.contains("responses") && !l.contains("[201]"));
        ensure!(text.contains("[201]") && !refused && !text.contains("Error distribution"), "hey: {text}");
        let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        Ok(rate.context("hey printed no rate")?.trim().parse()?)
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
