//! `true` under the shim, beside `otel-cli exec` and a program that only forks, executes and waits.
//!
//! `cargo bench --bench shim`, with `SHIM`, `BARE`, `OTEL_CLI` and `OTELCOL` naming the programs (`scripts/bench` does). The
//! Collector is the real one; one that refuses is a port where nobody listens, a silent one takes
//! connections and says nothing, a black-holed one does not even do that: its system drops every packet.
//! Every side runs once a round. Prints medians, and `figure NAME VALUE` lines for `scripts/bench`.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use serde_json::json;
use stepspan_contract::{Config, IdentityLine, Parent};

const ROUNDS: usize = 400;
/// Rounds in which both try for as long as they may, which takes seconds.
const SLOW_ROUNDS: usize = 25;
const BUDGET_MS: u64 = 500;
/// To build a Collector's pipelines on a busy machine.
const GUARD: Duration = Duration::from_mins(1);

/// A command line that ends in `true`.
struct Side {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    config: Option<String>,
    times: Vec<Duration>,
}

fn main() -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&folder)?;
    let [collector, refusing] = [free_port()?, free_port()?];
    let mut otelcol = start_collector(&folder, collector)?;
    // Connections wait in its queue for ever.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent_port = silent.local_addr()?.port();
    let (_full, hole_port) = black_hole()?;
    let states = [("up", collector), ("refused", refusing), ("silent", silent_port), ("black-holed", hole_port)];
    let measured = measure(&folder, states);
    otelcol.kill()?;
    otelcol.wait()?;
    measured
}

fn measure(folder: &Path, collectors: [(&str, u16); 4]) -> Result<()> {
    let [(up, port), slow @ ..] = collectors;
    let mut quick = vec![
        bare()?,
        shim("no export", None)?,
        otel_cli("no export", None)?,
        shim(up, Some(port))?,
        otel_cli(up, Some(port))?,
    ];
    let mut patient = Vec::new();
    for (state, port) in slow {
        patient.extend([shim(state, Some(port))?, otel_cli(state, Some(port))?]);
    }
    rounds(&mut quick, ROUNDS)?;
    rounds(&mut patient, SLOW_ROUNDS)?;
    arrived(folder)?;

    let floor = median(&quick[0].times);
    let added = |side: &Side| (median(&side.times) - floor) * 1e3;
    println!(
        "medians of {ROUNDS} interleaved rounds, {SLOW_ROUNDS} where the Collector is away; the command is `true`"
    );
    for side in quick.iter().chain(&patient) {
        println!(
            "  {:<22} {:8.2} ms  {:+8.2} ms  {:6.1} MiB  {:9} bytes",
            side.name,
            median(&side.times) * 1e3,
            added(side),
            side.peak(folder)?,
            fs::metadata(&side.program)?.len()
        );
    }
    println!("figure added_none {:.3}", added(&quick[1]) / added(&quick[2]));
    println!("figure added_up {:.3}", added(&quick[3]) / added(&quick[4]));
    println!("figure refused_ms {:.1}\nfigure silent_ms {:.1}", added(&patient[0]), added(&patient[2]));
    println!("figure black_holed_ms {:.1}", added(&patient[4]));
    println!("figure memory_mib {:.1}", quick[3].peak(folder)?);
    println!("figure megabytes {:.2}", precise(fs::metadata(&quick[1].program)?.len()) / 1e6);
    Ok(())
}

fn rounds(sides: &mut [Side], count: usize) -> Result<()> {
    for _ in 0..count {
        for side in &mut *sides {
            let began = Instant::now();
            side.run(Command::new(&side.program))?;
            side.times.push(began.elapsed());
        }
    }
    Ok(())
}

impl Side {
    fn run(&self, mut command: Command) -> Result<()> {
        command.env_clear().env("PATH", "/usr/bin:/bin").stdout(Stdio::null()).stderr(Stdio::null());
        match &self.config {
            Some(config) => command.env("STEPSPAN_CONFIG", config).env("STEPSPAN_POD_UID", "uid"),
            None => command.env("OTEL_SDK_DISABLED", "true"),
        };
        let status = command.args(&self.args).status()?;
        ensure!(status.success(), "{}: {status}", self.name);
        Ok(())
    }

    /// Peak resident memory in MiB, of one more run, by GNU time.
    fn peak(&self, folder: &Path) -> Result<f64> {
        let file = folder.join("peak");
        let mut command = Command::new("time");
        command.args(["-q", "-f", "%M", "-o"]).arg(&file).arg(&self.program);
        self.run(command).context("GNU time (Debian: time)")?;
        Ok(fs::read_to_string(file)?.trim().parse::<f64>()? / 1024.0)
    }
}

fn program(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).with_context(|| format!("{variable} names no program; run scripts/bench shim"))?;
    Ok(path.into())
}

fn bare() -> Result<Side> {
    let args = vec!["true".to_owned()];
    Ok(Side { name: "fork, exec, wait".into(), program: program("BARE")?, args, config: None, times: Vec::new() })
}

fn shim(state: &str, port: Option<u16>) -> Result<Side> {
    let config = |port: u16| Config {
        trace_id: "73890c2da831a57f26005e08762a279a".into(),
        parent: Parent::Span("53838fbf4af0418e".into()),
        sampled: true,
        workflow_uid: "uid".into(),
        node_id: "ci-1".into(),
        container: "main".into(),
        span_name: "{agent}/{stepName}".into(),
        attribute_names: "both".into(),
        attributes: vec![("agent".into(), "coder".into()), ("stepName".into(), "build".into())],
        endpoint: format!("http://127.0.0.1:{port}"),
        protocol: "grpc".into(),
        budget_ms: BUDGET_MS,
        identity_line: IdentityLine::Auto,
        ..Config::default()
    };
    Ok(Side {
        name: format!("shim, {state}"),
        program: program("SHIM")?,
        args: ["run", "--", "true"].map(String::from).into(),
        config: port.map(|port| config(port).encode()),
        times: Vec::new(),
    })
}

fn otel_cli(state: &str, port: Option<u16>) -> Result<Side> {
    let mut args: Vec<String> = ["exec", "--service", "agents", "--name", "coder/build"].map(String::from).into();
    if let Some(port) = port {
        args.extend(["--endpoint".to_owned(), format!("http://127.0.0.1:{port}"), "--protocol=grpc".to_owned()]);
    }
    args.extend(["--", "true"].map(String::from));
    Ok(Side {
        name: format!("otel-cli, {state}"),
        program: program("OTEL_CLI")?,
        args,
        config: None,
        times: Vec::new(),
    })
}

/// Both must have done what is measured: every round left two spans.
fn arrived(folder: &Path) -> Result<()> {
    thread::sleep(Duration::from_secs(1));
    let text = fs::read_to_string(folder.join("spans.json"))?;
    let spans = text.matches("\"spanId\"").count();
    ensure!(spans >= 2 * ROUNDS, "only {spans} of {} spans reached the Collector", 2 * ROUNDS);
    Ok(())
}

fn start_collector(folder: &Path, port: u16) -> Result<Child> {
    let out = folder.join("spans.json");
    let _ = fs::remove_file(&out);
    let settings = json!({
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": format!("127.0.0.1:{port}")}}}},
        "exporters": {"file": {"path": out, "flush_interval": "200ms"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    });
    let file = folder.join("collector.json");
    fs::write(&file, settings.to_string())?;
    let mut command = Command::new(program("OTELCOL")?);
    command.arg(format!("--config=file:{}", file.display())).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn()?;
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(began.elapsed() < GUARD, "the Collector does not listen");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

/// A port whose queue of connections is full: Linux drops what asks for another (`tcp_abort_on_overflow` 0, listen(2)).
fn black_hole() -> Result<(Vec<OwnedFd>, u16)> {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()?);
    let listening = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&listening, &address)?;
    listen(&listening, 0)?;
    let mut held = vec![listening];
    while let Ok(stream) = TcpStream::connect_timeout(&address.into(), Duration::from_millis(300)) {
        held.push(stream.into());
        ensure!(held.len() < 100, "the queue of a listener does not fill up");
    }
    Ok((held, address.port()))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2].as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a file of less than a petabyte")]
fn precise(bytes: u64) -> f64 {
    bytes as f64
}
