//! HTTPS throughput of the admission server at 64 connections against a floor: the same stack with a constant answer.
//!
//! `cargo bench --bench https_floor [-- SECONDS]`. All run as processes of their own, in turns, under the same client:
//! the floor, the server while paused (all but the review), the server. Targets: at least 0.7 of the floor's rate, p99
//! at most 1.5 times the floor's. Prints one line a round, then the ratios of the medians and the server's memory.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

#[allow(dead_code, reason = "its main is for the example")]
#[path = "../examples/floor.rs"]
mod floor;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let runtime = tokio::runtime::Runtime::new()?;
    let first = args.next().unwrap_or_default();
    if first == "floor" {
        let port = args.next().unwrap_or_default().parse()?;
        return runtime.block_on(floor::serve(port, args.next().unwrap_or_default().into()));
    }
    // Cargo passes `--bench`.
    let seconds = args.chain([first]).find_map(|arg| arg.parse().ok()).unwrap_or(3);
    runtime.block_on(compare(Duration::from_secs(seconds)))
}

async fn compare(time: Duration) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let paused = dir.path().join("paused");
    std::fs::write(&paused, "")?;
    let flag = paused.to_string_lossy();
    let sides = [
        Side::floor(dir.path())?,
        Side::webhook("paused", dir.path(), &["--pause-file", &flag])?,
        Side::webhook("webhook", dir.path(), &[])?,
    ];
    let body = review();
    println!("{} byte review, {CONNECTIONS} connections, {ROUNDS} rounds of {} s", body.len(), time.as_secs());
    let idle = sides[2].resident_kib();
    let mut figures = [const { Vec::new() }; 3];
    for round in 1..=ROUNDS {
        for (side, figures) in sides.iter().zip(&mut figures) {
            let figure = load(side.port, &side.ca, &body, time).await?;
            let (rate, p50, p99) = figure;
            println!("round {round}  {:8} {rate:>8.0}/s  p50 {p50:>6.2} ms  p99 {p99:>6.2} ms", side.name);
            figures.push(figure);
        }
    }
    let [floor, paused, webhook] = figures.map(|mut side| {
        side.sort_by(|a, b| a.0.total_cmp(&b.0));
        side[ROUNDS / 2]
    });
    println!("rate:   paused {:.2}, webhook {:.2} of the floor (target 0.7)", paused.0 / floor.0, webhook.0 / floor.0);
    println!("p99:    paused {:.2}, webhook {:.2} of the floor (target 1.5)", paused.2 / floor.2, webhook.2 / floor.2);
    println!("memory: {idle} KiB idle, {} KiB after the load (target 30000 idle)", sides[2].resident_kib());
    Ok(())
}

/// A server in a process of its own, which ends with this value.
struct Side {
    name: &'static str,
    port: u16,
    ca: PathBuf,
    process: Child,
}

impl Side {
    fn floor(dir: &Path) -> Outcome<Self> {
        let (port, ca) = (free_port()?, dir.join("floor.pem"));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", &port.to_string()]).arg(&ca);
        Self::start("floor", port, ca, command)
    }

    /// The server; one that is paused does all but the review.
    fn webhook(name: &'static str, dir: &Path, more: &[&str]) -> Outcome<Self> {
        let (port, ca) = (free_port()?, dir.join(name).with_extension("pem"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
        command.args(["webhook", "--bind", "127.0.0.1", "--ops-port", "0", "--https-port", &port.to_string()]);
        command.args(["--tls-self-signed", "--drain-delay", "0s", "--log-file"]).arg(dir.join(name));
        command.arg("--write-ca").arg(&ca).args(more);
        Self::start(name, port, ca, command)
    }

    fn start(name: &'static str, port: u16, ca: PathBuf, mut command: Command) -> Outcome<Self> {
        // The certificate of an earlier run would be trusted until the server writes its own.
        let _ = std::fs::remove_file(&ca);
        let process = command.stderr(Stdio::null()).spawn()?;
        Ok(Self { name, port, ca, process })
    }

    fn resident_kib(&self) -> u64 {
        std::thread::sleep(Duration::from_secs(1));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Requests a second, p50 and p99 in milliseconds, of a closed loop on all connections.
async fn load(port: u16, ca: &Path, body: &[u8], time: Duration) -> Outcome<(f64, f64, f64)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let head = format!("POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let request: Arc<[u8]> = [head.as_bytes(), body].concat().into();

    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        streams.push(connector.connect(ServerName::try_from("localhost")?, stream).await?);
    }
    let began = Instant::now();
    let tasks: Vec<_> =
        streams.into_iter().map(|stream| tokio::spawn(one(stream, Arc::clone(&request), began + time))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let took = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let count = u32::try_from(times.len())?;
    Ok((f64::from(count) / took, at(50), at(99)))
}

async fn one(mut stream: TlsStream<TcpStream>, request: Arc<[u8]>, end: Instant) -> std::io::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut answer = Vec::with_capacity(16 * 1024);
    while Instant::now() < end {
        let began = Instant::now();
        stream.write_all(&request).await?;
        stream.flush().await?;
        answer.clear();
        while !whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(std::io::Error::other("not 200"));
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

fn whole(answer: &[u8]) -> bool {
    let Some(head) = memchr::memmem::find(answer, b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&answer[..head]);
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| answer.len() >= head + 4 + length)
}

/// The review of a step pod, of the size that the API server sends: 11 KB.
fn review() -> Vec<u8> {
    let env: Vec<_> = (0..60).map(|n| json!({"name": format!("NAME_{n}"), "value": "v".repeat(60)})).collect();
    let command = ["/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--", "sh", "-c"];
    let labels = json!({"workflows.argoproj.io/workflow": "w", "workflows.argoproj.io/completed": "false"});
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "w-step-1", "namespace": "argo", "labels": labels, "annotations": {
            "workflows.argoproj.io/node-id": "w-1", "workflows.argoproj.io/node-name": "w.step"}},
        "spec": {"containers": [
            {"name": "wait", "image": "argoexec", "command": ["argoexec", "wait"], "env": env},
            {"name": "main", "image": "alpine", "command": command, "args": ["echo hello"], "env": env},
        ]},
    });
    let request = json!({
        "uid": "4b200436-f682-45f1-8012-009ae2ba0c1b", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "name": "w-step-1", "namespace": "argo", "operation": "CREATE", "object": object, "dryRun": false,
    });
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}).to_string().into_bytes()
}
