//! The real OpenTelemetry Collector takes what we send; its file exporter shows every field.
//!
//! `scripts/cluster-tools` builds it; `scripts/test` leaves these tests out, by name, where it cannot.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use stepspan_contract::{Config, Parent};
use tempfile::TempDir;

use crate::collector::{Collector, Manner};
use crate::{GUARD, PARENT, SHIM, TRACE, config, shim, text};

/// A Collector that listens for both protocols and writes what comes to a file.
struct Otelcol {
    child: Child,
    grpc: u16,
    http: u16,
    folder: TempDir,
}

impl Drop for Otelcol {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("scripts/cluster-tools")).env("STEPSPAN_WHERE", "1").output().unwrap();
    let text = text(&output.stdout);
    let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
    let program = PathBuf::from(of("cache=")).join("bin").join(format!("otelcol-{}", of("otelcol=")));
    assert!(program.exists(), "{} is missing; build it with: scripts/cluster-tools", program.display());
    program
}

/// A port below those that the system gives to whoever asks for any (`ip_local_port_range`): nobody has it before the Collector does.
fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Otelcol {
    /// Starts it with `adjust`ed settings, and waits until it listens.
    fn start(folder: TempDir, adjust: impl FnOnce(&mut Value)) -> Self {
        let (grpc, http) = (free_port(), free_port());
        let mut settings = json!({
            "receivers": {"otlp": {"protocols": {
                "grpc": {"endpoint": format!("127.0.0.1:{grpc}")},
                "http": {"endpoint": format!("127.0.0.1:{http}")},
            }}},
            "exporters": {"file": {"path": folder.path().join("out.json"), "flush_interval": "20ms"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "exporters": ["file"]},
                    "metrics": {"receivers": ["otlp"], "exporters": ["file"]},
                },
            },
        });
        adjust(&mut settings);
        let file = folder.path().join("settings.json");
        fs::write(&file, settings.to_string()).unwrap();
        let mut command = Command::new(program());
        command.arg(format!("--config=file:{}", file.display())).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        while [grpc, http].iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()) {
            assert!(began.elapsed() < GUARD, "the Collector does not listen");
            assert_eq!(child.try_wait().unwrap(), None, "the Collector has ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, grpc, http, folder }
    }

    fn url(&self, scheme: &str, protocol: &str) -> String {
        format!("{scheme}://localhost:{}", if protocol == "grpc" { self.grpc } else { self.http })
    }

    /// The requests that came, in OTLP/JSON, once there are so many.
    fn requests(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.path().join("out.json")).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let requests: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if requests.len() >= count {
                return requests;
            }
            assert!(began.elapsed() < GUARD, "{} requests of {count}", requests.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A step with everything a span can have.
fn full(endpoint: &str, protocol: &str) -> Config {
    Config {
        links: vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()],
        metrics: Some("review".into()),
        parent: Parent::Span(PARENT.into()),
        ..config(endpoint, protocol)
    }
}

#[test]
fn every_field_arrives_by_both_protocols_compressed_or_not() {
    for protocol in ["grpc", "http/protobuf"] {
        for compression in ["none", "gzip"] {
            let otelcol = Otelcol::start(temp(), |_| {});
            let mut command = shim(&full(&otelcol.url("http", protocol), protocol), &["sh", "-c", "exit 7"]);
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
            command.env("OTEL_SERVICE_NAME", "agents").env("OTEL_RESOURCE_ATTRIBUTES", "team=build");
            let output = command.output().unwrap();
            assert_eq!(
                (output.status.code(), text(&output.stderr).as_str()),
                (Some(7), ""),
                "{protocol} {compression}"
            );
            let requests = otelcol.requests(2);
            has_every_field(requests.iter().find(|request| request.get("resourceSpans").is_some()).unwrap());
            has_every_metric(requests.iter().find(|request| request.get("resourceMetrics").is_some()).unwrap());
        }
    }
}

fn has_every_field(request: &Value) {
    let resource = &request["resourceSpans"][0];
    let expected = json!({"attributes": [
        {"key": "team", "value": {"stringValue": "build"}},
        {"key": "service.name", "value": {"stringValue": "agents"}},
        {"key": "k8s.pod.name", "value": {"stringValue": "ci-1-build"}},
        {"key": "k8s.pod.uid", "value": {"stringValue": "pod-1"}},
        {"key": "telemetry.sdk.name", "value": {"stringValue": "stepspan-shim"}},
        {"key": "telemetry.sdk.language", "value": {"stringValue": "rust"}},
        {"key": "telemetry.sdk.version", "value": {"stringValue": env!("CARGO_PKG_VERSION")}},
    ]});
    assert_eq!(resource["resource"], expected);
    let scope = &resource["scopeSpans"][0];
    assert_eq!(scope["scope"], json!({"name": "stepspan-shim", "version": env!("CARGO_PKG_VERSION")}));
    let mut span = scope["spans"][0].clone();
    let time = |span: &mut Value, key: &str| span[key].take().as_str().unwrap().parse::<u64>().unwrap();
    let (start, end) = (time(&mut span, "startTimeUnixNano"), time(&mut span, "endTimeUnixNano"));
    assert!(start > 1_700_000_000_000_000_000 && start < end && end - start < 600_000_000_000, "{start} {end}");
    assert_eq!(span["spanId"].take().as_str().map(str::len), Some(16));
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let expected = json!({
        "traceId": TRACE, "spanId": null, "parentSpanId": PARENT, "flags": 769, "name": "coder/build", "kind": 1,
        "startTimeUnixNano": null, "endTimeUnixNano": null,
        "attributes": [
            attribute("repo", "acme/widgets"), attribute("agent", "coder"), attribute("stepName", "build"),
            attribute("nodeId", "ci-1"), attribute("workflow.run_id", "uid-1"), attribute("workflow.job_id", "ci-1"),
            attribute("vcs.repository.name", "widgets"), attribute("vcs.owner.name", "acme"),
            attribute("cicd.pipeline.task.name", "build"), attribute("cicd.pipeline.run.id", "uid-1"),
            attribute("cicd.pipeline.task.run.id", "ci-1"), attribute("k8s.container.name", "main"),
            attribute("process.executable.name", "sh"),
            {"key": "process.exit.code", "value": {"intValue": "7"}}, attribute("error.type", "7"),
        ],
        "links": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "flags": 769}],
        "status": {"message": "exit code 7", "code": 2},
    });
    assert_eq!(span, expected, "{span:#}");
}

fn has_every_metric(request: &Value) {
    let metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let names: Vec<&str> = metrics.iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["agent_step_duration_ms", "agent_step_fail_total"]);
    let histogram = &metrics[0]["histogram"];
    assert_eq!(histogram["aggregationTemporality"], 1);
    let point = &histogram["dataPoints"][0];
    assert_eq!((&point["count"], point["explicitBounds"].as_array().unwrap().len()), (&json!("1"), 17));
    assert_eq!(point["exemplars"][0]["traceId"], TRACE);
    let label = json!({"key": "workflowName", "value": {"stringValue": "review"}});
    assert!(point["attributes"].as_array().unwrap().contains(&label), "{point:#}");
    assert_eq!(metrics[1]["sum"]["dataPoints"][0]["asInt"], "1");
    assert_eq!(metrics[1]["sum"]["isMonotonic"], true);
}

/// PEM files of an authority, a server on localhost and a client.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
    for (name, san) in [("server", "localhost"), ("client", "step")] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![san.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn tls_needs_the_right_authority_name_and_client_certificate() {
    let folder = temp();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let tls = json!({"cert_file": file("server.pem"), "key_file": file("server.key"), "client_ca_file": ca});
    let otelcol = Otelcol::start(folder, |settings| {
        for protocol in ["grpc", "http"] {
            settings["receivers"]["otlp"]["protocols"][protocol]["tls"] = tls.clone();
        }
    });
    let all = [
        // Credentials of the step's own count where its own Collector is the policy's.
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str()),
    ];
    let export = |protocol: &str, host: &str, env: &[(&str, &str)], budget_ms: u64| {
        let mut config = config(&otelcol.url("https", protocol).replace("localhost", host), protocol);
        config.budget_ms = budget_ms;
        let mut command = shim(&config, &["sh", "-c", "exit 3"]);
        let output =
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &config.endpoint).envs(env.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        text(&output.stderr)
    };
    for protocol in ["grpc", "http/protobuf"] {
        assert_eq!(export(protocol, "localhost", &all, 60_000), "", "{protocol}");
        let dropped = |host: &str, env: &[(&str, &str)], why: &str| {
            // Tried for all of it: time for one attempt at least.
            let said = export(protocol, host, env, 5_000);
            assert!(said.lines().count() == 1 && said.contains(why), "{protocol} {host} {why}: {said}");
        };
        dropped("localhost", &all[1..], "certificate");
        // The server says so after the handshake (RFC 8446, section 4.4.2.4), and may be gone before the request is written.
        dropped("localhost", &all[..1], "CertificateRequired");
        dropped("127.0.0.1", &all, "certificate");
    }
    assert_eq!(otelcol.requests(2).len(), 2);
}

#[test]
fn the_probe_knows_a_private_authority() {
    let folder = temp();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, tls) = (file("ca.pem"), json!({"cert_file": file("server.pem"), "key_file": file("server.key")}));
    let otelcol = Otelcol::start(folder, |settings| {
        settings["receivers"]["otlp"]["protocols"]["grpc"]["tls"] = tls;
    });
    let url = otelcol.url("https", "grpc");
    assert_eq!(probe(&["--probe", &url, "--timeout", "60000ms", "--ca", &ca])["probe"], "ok");
    // This machine's own CAs, as far as it has any, know nothing of it.
    assert_eq!(probe(&["--probe", &url, "--timeout", "60000ms"])["probe"], "failed");
}

/// What the init container says.
fn probe(words: &[&str]) -> Value {
    let folder = temp();
    let mut command = Command::new(SHIM);
    let output = command.args(["init", "--to"]).arg(folder.path()).args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_collector_whose_backend_is_away_is_asked_again_until_it_is_back() {
    for protocol in ["grpc", "http/protobuf"] {
        let backend = free_port();
        let otelcol = Otelcol::start(temp(), |settings| {
            settings["exporters"]["otlp"] = json!({
                "endpoint": format!("127.0.0.1:{backend}"), "tls": {"insecure": true}, "timeout": "1s",
                "sending_queue": {"enabled": false}, "retry_on_failure": {"enabled": false},
            });
            settings["service"]["pipelines"]["traces"]["exporters"] = json!(["otlp"]);
        });
        let mut config = config(&otelcol.url("http", protocol), protocol);
        config.budget_ms = 120_000;
        let child = shim(&config, &["true"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        // It has been refused at least once by then, as nothing listens there.
        std::thread::sleep(Duration::from_millis(500));
        let backend = Collector::start_at(backend, Manner::Good);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{protocol}");
        assert_eq!(backend.spans(1)[0].name, "coder/build");
    }
}

#[test]
fn the_init_container_s_probe_reaches_it() {
    let otelcol = Otelcol::start(temp(), |_| {});
    for protocol in ["grpc", "http/protobuf"] {
        let url = otelcol.url("http", protocol);
        assert_eq!(probe(&["--probe", &url, "--protocol", protocol, "--timeout", "60000ms"])["probe"], "ok");
    }
}
