//! Pod creation through a real API server, beside what admission costs at least and what the API server can do by itself.
//!
//! `cargo bench --bench api_server [-- SECONDS]`; needs `scripts/cluster-tools bench`. One cluster, one namespace for each side,
//! so that all are in force at once and rounds take turns, in another order each:
//!
//! - none: no admission of ours;
//! - constant: a webhook of the same stack that always answers `allowed` (`examples/floor.rs`);
//! - patch: the same, whose answer always holds the patch that stepspan gives this pod: so the API server's own work on a patch
//!   is in it, whoever made it;
//! - webhook: `stepspan webhook` with the embedded policy, registered in the same way;
//! - policy: an equivalent `MutatingAdmissionPolicy` (`mutating-admission-policy.yaml`).
//!
//! `hey` creates a recorded step pod with `generateName` and `?dryRun=All` on 8 connections. Ratios are medians of the ratios
//! within rounds, so that what else the machine does weighs on both. The API server's own metrics tell how often it called each
//! webhook and how long that took. `figure NAME VALUE` lines are for `scripts/bench`.
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
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use stepspan::{
    admission::review,
    policy::{PolicySet, compile::Rules},
};

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

const SIDES: [&str; 5] = ["none", "constant", "patch", "webhook", "policy"];
const PATCHED: [bool; 5] = [false, false, true, true, true];
const OURS: usize = 3;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [first, port, ca, patch @ ..] = args.as_slice()
        && first == "floor"
    {
        let patch = patch.first().map(|file| fs::read_to_string(file).map(Arc::from)).transpose()?;
        let served = tokio::runtime::Runtime::new()?.block_on(floor::serve_patch(port.parse()?, ca.into(), patch));
        return served.map_err(|error| anyhow!("{error}"));
    }
    // Cargo passes `--bench`.
    let seconds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(3);
    eprintln!("api_server: starting etcd, kube-apiserver and the controllers");
    let cluster = Cluster::start(&Tools::locate()?, None)?;
    let compared = compare(&cluster, seconds);
    cluster.stop(compared.is_err());
    compared
}

fn compare(cluster: &Cluster, seconds: u32) -> Result<()> {
    let namespaces = SIDES.map(|side| cluster.namespace(side, &json!({"bench.stepspan.dev/side": side})));
    let namespaces: Vec<Namespace<'_>> = namespaces.into_iter().collect::<Result<_>>()?;
    let pod = pod()?;
    let _webhooks = [
        start_webhook(cluster, &namespaces[1], None)?,
        start_webhook(cluster, &namespaces[2], Some(&our_patch(&pod)?))?,
        start_webhook(cluster, &namespaces[OURS], None)?,
    ];
    for document in POLICY.split("\n---\n") {
        let path = if document.contains("kind: MutatingAdmissionPolicyBinding") { "ybindings" } else { "ies" };
        cluster.api().create_bytes(&format!("{POLICIES}{path}"), YAML, document.as_bytes().to_vec())?.accepted()?;
    }
    for (namespace, patched) in namespaces.iter().zip(PATCHED) {
        let what = format!("{} to be in force", namespace.name());
        until(&what, LIMIT, || Ok((is_patched(namespace, &pod) == Some(patched)).then_some(())))?;
    }

    let body = cluster.dir().join("pod.json");
    fs::write(&body, serde_json::to_vec(&pod)?)?;
    let access = Access::of(cluster)?;
    let load = |side: usize, seconds| access.load(&namespaces[side], &body, seconds);
    (0..SIDES.len()).try_for_each(|side| load(side, 1).map(drop))?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut rates = [0.0; SIDES.len()];
        for turn in 0..SIDES.len() {
            let side = (round + turn) % SIDES.len();
            rates[side] = load(side, seconds)?;
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
    calls(&cluster.api().get("/metrics")?.accepted()?);
    Ok(())
}

fn report(rounds: &[[f64; SIDES.len()]]) {
    let of = |side: usize| median(rounds.iter().map(|rates| rates[side]));
    let shown: Vec<String> = SIDES.iter().enumerate().map(|(side, name)| format!("{name} {:.1}/s", of(side))).collect();
    println!("medians  {}", shown.join("  "));
    for (side, name) in SIDES.iter().enumerate().filter(|(side, _)| *side != OURS) {
        println!("figure of_{name} {:.3}", median(rounds.iter().map(|rates| rates[OURS] / rates[side])));
    }
}

/// How often the API server called each webhook, and how long it waited, from its metrics.
fn calls(metrics: &Value) {
    let all = metrics.as_str().unwrap_or_default();
    for name in &SIDES[1..=OURS] {
        let named = format!("name=\"{name}.stepspan.dev\"");
        let of = |what: &str| -> f64 {
            let metric = format!("apiserver_admission_webhook_admission_duration_seconds_{what}{{");
            let lines = all.lines().filter(|line| line.starts_with(&metric) && line.contains(&named));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        println!("{name}: called {:.0} times, {:.2} ms each", of("count"), of("sum") / of("count") * 1e3);
    }
}

/// Starts the webhook that a namespace is for, in a process of its own, and registers it there.
fn start_webhook<'c>(
    cluster: &'c Cluster,
    namespace: &'c Namespace<'c>,
    patch: Option<&str>,
) -> Result<(Webhook<'c>, Process)> {
    let [https, ops] = [free_port()?, free_port()?];
    let side = namespace.name().split('-').next().unwrap_or_default();
    let [ca, patch_file] = ["ca.pem", "patch"].map(|name| cluster.dir().join(format!("{side}-{name}")));
    let (port, ops) = (https.to_string(), ops.to_string());
    let [ca_path, patch_path] = [&ca, &patch_file].map(|path| path.display().to_string());
    let mut process = if side == SIDES[OURS] {
        let mut args = vec!["webhook", "--tls-self-signed", "--bind", "127.0.0.1", "--write-ca", &ca_path];
        args.extend(["--https-port", &port, "--ops-port", &ops]);
        cluster.spawn(namespace.name(), Path::new(env!("CARGO_BIN_EXE_stepspan")), &args, &[])?
    } else {
        let mut args = vec!["floor", &port, &ca_path];
        if let Some(patch) = patch {
            fs::write(&patch_file, patch)?;
            args.push(&patch_path);
        }
        cluster.spawn(namespace.name(), &env::current_exe()?, &args, &[])?
    };
    until("the webhook to listen", LIMIT, || {
        process.ensure_running()?;
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, https)).ok())
    })?;
    let url = format!("https://127.0.0.1:{https}");
    let named = |object: &mut Value| object["webhooks"][0]["name"] = format!("{side}.stepspan.dev").into();
    Ok((cluster.register_webhook_with(namespace, &url, &fs::read_to_string(ca)?, named)?, process))
}

/// What stepspan answers to the pod, in base64.
fn our_patch(pod: &Value) -> Result<String> {
    let mut recorded: Value = serde_json::from_slice(POD)?;
    recorded["request"]["object"] = pod.clone();
    let policies = PolicySet::embedded(&Rules::default()).ok().context("the embedded policy")?;
    let patch = review(recorded.to_string().as_bytes(), &policies, &stepspan::context::Context::default()).patch;
    ensure!(!patch.is_empty(), "the recorded pod is not injected");
    Ok(STANDARD.encode(serde_json::to_vec(&patch)?))
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
