//! HTTPS throughput of the admission server at 64 connections against floors: the same stack with a constant answer.
//!
//! `cargo bench --bench https_floor [-- SECONDS]`. All sides run as processes of their own, in turns, under the same clients:
//!
//! - constant: a server of the same stack that always answers `allowed` (`examples/floor.rs`);
//! - patch: the same, whose answer always holds the patch that stepspan gives this pod: as many bytes in and out, no work;
//! - paused: `stepspan webhook` while it is paused: all but the review;
//! - webhook: `stepspan webhook` with the embedded policy.
//!
//! Two clients, for what a client spends is the floor's gain: `hey` as in `api_server.rs`, and one of our own that spends next to
//! nothing, so that the review weighs most. Prints one line a round, then the ratios of the medians and the server's memory;
//! `figure NAME VALUE` lines are for `scripts/bench`.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use stepspan::{
    admission::review,
    context::Context,
    policy::{PolicySet, compile::Rules},
};
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
const SIDES: usize = 4;
const OURS: usize = 3;
const REVIEW: &[u8] = include_bytes!("../tests/recorded/dag-1-pod.json");

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let runtime = tokio::runtime::Runtime::new()?;
    let first = args.next().unwrap_or_default();
    if first == "floor" {
        let port = args.next().unwrap_or_default().parse()?;
        let ca = args.next().unwrap_or_default().into();
        let patch = args.next().map(|file| std::fs::read_to_string(file).map(Arc::from)).transpose()?;
        return runtime.block_on(floor::serve_patch(port, ca, patch));
    }
    // Cargo passes `--bench`.
    let seconds = args.chain([first]).find_map(|arg| arg.parse().ok()).unwrap_or(3);
    runtime.block_on(compare(Duration::from_secs(seconds)))
}

async fn compare(time: Duration) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let [paused, patch, body] = ["paused", "patch.b64", "review.json"].map(|name| dir.path().join(name));
    std::fs::write(&paused, "")?;
    std::fs::write(&patch, our_patch()?)?;
    std::fs::write(&body, REVIEW)?;
    let flag = paused.to_string_lossy();
    let sides = [
        Side::floor("constant", dir.path(), None)?,
        Side::floor("patch", dir.path(), Some(&patch))?,
        Side::webhook("paused", dir.path(), &["--pause-file", &flag])?,
        Side::webhook("webhook", dir.path(), &[])?,
    ];
    println!("{} byte review, {CONNECTIONS} connections, {ROUNDS} rounds of {} s", REVIEW.len(), time.as_secs());
    let idle = sides[OURS].resident_kib();
    let (mut spent, mut admissions) = (Duration::ZERO, 0.0);
    for client in ["hey", "lean"] {
        let mut figures = [const { Vec::new() }; SIDES];
        for round in 1..=ROUNDS {
            for (side, figures) in sides.iter().zip(&mut figures) {
                let before = side.cpu()?;
                let figure = if client == "hey" { hey(side.port, &body, time)? } else { load(side, time).await? };
                if side.name == "webhook" {
                    spent += side.cpu()?.saturating_sub(before);
                    admissions += figure.0 * time.as_secs_f64();
                }
                let (rate, p50, p99) = figure;
                println!(
                    "{client:4} round {round}  {:8} {rate:>8.0}/s  p50 {p50:>6.2} ms  p99 {p99:>6.2} ms",
                    side.name
                );
                figures.push(figure);
            }
        }
        report(client, &sides, &figures);
    }
    let cpu = spent.as_secs_f64() * 1e6 / admissions;
    println!("saturated: {cpu:.0} ms of CPU for 1,000 admissions, so {:.0} a second on each core", 1e6 / cpu);
    println!("figure cpu_of_thousand {cpu:.0}");
    println!("memory: {idle} KiB idle, {} KiB after the load (target 30000 idle)", sides[OURS].resident_kib());
    Ok(())
}

/// The ratios of the webhook's medians to the others'.
fn report(client: &str, sides: &[Side], figures: &[Vec<(f64, f64, f64)>; SIDES]) {
    let of = |pick: fn(&(f64, f64, f64)) -> f64| {
        figures.each_ref().map(|rounds| {
            let mut values: Vec<f64> = rounds.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        })
    };
    let (rates, p99s) = (of(|figure| figure.0), of(|figure| figure.2));
    for (side, (rate, p99)) in sides.iter().zip(rates.iter().zip(p99s)).take(OURS) {
        let (rate, p99) = (rates[OURS] / rate, p99s[OURS] / p99);
        println!("{client:4} webhook beside {:8} rate {rate:.2}, p99 {p99:.2}", side.name);
        println!("figure {client}_{}_rate {rate:.2}", side.name);
        println!("figure {client}_{}_p99 {p99:.2}", side.name);
    }
}

/// What stepspan answers to the review, in base64.
fn our_patch() -> Outcome<String> {
    let policies = PolicySet::embedded(&Rules::default()).map_err(|_| "the embedded policy")?;
    let patch = review(REVIEW, &policies, &Context::default()).patch;
    Ok(STANDARD.encode(serde_json::to_vec(&patch)?))
}

/// A server in a process of its own, which ends with this value.
struct Side {
    name: &'static str,
    port: u16,
    ca: PathBuf,
    process: Child,
}

impl Side {
    fn floor(name: &'static str, dir: &Path, patch: Option<&Path>) -> Outcome<Self> {
        let (port, ca) = (free_port()?, dir.join(name).with_extension("pem"));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", &port.to_string()]).arg(&ca).args(patch);
        Self::start(name, port, ca, command)
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

    /// Processor time so far (`proc_pid_stat(5)`: fields 14 and 15, in steps of 10 ms).
    fn cpu(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
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

/// The same figures as [`load`], of `hey`.
fn hey(port: u16, body: &Path, time: Duration) -> Outcome<(f64, f64, f64)> {
    let mut command = Command::new("hey");
    command.args(["-c", &CONNECTIONS.to_string(), "-z", &format!("{}s", time.as_secs()), "-m", "POST"]);
    command
        .args(["-host", "localhost", "-T", "application/json", "-D"])
        .arg(body)
        .arg(format!("https://127.0.0.1:{port}/mutate"));
    let output = command.output().map_err(|error| format!("hey (Debian: hey): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("[200]") || text.contains("Error distribution") {
        return Err(format!("hey: {text}").into());
    }
    let number = |before: &str, after: &str| -> Outcome<f64> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(before)?.strip_suffix(after));
        Ok(line.ok_or_else(|| format!("hey printed no {before}"))?.trim().parse()?)
    };
    let times = (number("50% in ", " secs")? * 1e3, number("99% in ", " secs")? * 1e3);
    Ok((number("Requests/sec:", "")?, times.0, times.1))
}

/// Requests a second, p50 and p99 in milliseconds, of a closed loop on all connections.
async fn load(side: &Side, time: Duration) -> Outcome<(f64, f64, f64)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&side.ca)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let head = format!("POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", REVIEW.len());
    let request: Arc<[u8]> = [head.as_bytes(), REVIEW].concat().into();

    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(("127.0.0.1", side.port)).await?;
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
