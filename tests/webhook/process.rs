//! The binary: signals, what it says when it can't start, and its memory.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::rig::{LONG, client, connect, logged, plain_get, post, review, until};

fn stepspan(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepspan"));
    command.arg("webhook").args(args).env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
    command
}

/// A server process, ended at the latest when the test is.
struct Server {
    child: Child,
    start: Value,
}

impl Server {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let log = dir.join("events.log");
        let ca = dir.join("ca.pem");
        let fixed = ["--tls-self-signed", "--bind", "127.0.0.1", "--https-port", "0", "--ops-port", "0"];
        let patient = ["--handshake-timeout", "10m", "--header-timeout", "10m", "--body-timeout", "10m"];
        let files = ["--log-file", log.to_str().unwrap(), "--write-ca", ca.to_str().unwrap()];
        let child = stepspan(&[&fixed[..], &patient, &files, more].concat()).spawn().unwrap();
        let mut server = Self { child, start: Value::Null };
        // Where its first dial of itself takes too long, it tells that it is not ready yet.
        within_reason("it does not start", || logged(&log, "ready").iter().any(|event| event["success"] == true));
        server.start = logged(&log, "start").remove(0);
        server
    }

    /// Waits for its end; the exit code.
    fn ended(&mut self) -> Option<i32> {
        within_reason("it does not end", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }

    fn address(&self, port: &str) -> std::net::SocketAddr {
        self.start["payload"][port].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// What it keeps for itself; pages of the program, which is not the optimised one here, are left out.
    fn kept_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn within_reason(or_else: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "{or_else}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is what most tests want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_it_is_not_ready_at_once_and_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--drain-delay", "1h"]);
    server.signal("TERM");
    until(async || plain_get(server.address("ops"), "/readyz").await.status == 503).await;
    let config = client(&dir.path().join("ca.pem"), None);
    let mut stream = connect(server.address("https"), &config).await.unwrap();
    assert_eq!(post(&mut stream, "/mutate", &review("last", "Pod", &Value::Null)).await.status, 200);
}

#[test]
fn sigterm_is_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--drain-delay", "100ms"]);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    let log = fs::read_to_string(dir.path().join("events.log")).unwrap();
    let actions = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone());
    // How often it told that it is ready, or not, is a matter of time.
    let actions: Vec<Value> = actions.filter(|action| action != "ready").collect();
    assert_eq!(actions, ["start", "drain", "stop"], "{log}");
}

#[test]
fn a_second_signal_cuts_the_end_short() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--drain-delay", "1h"]);
    server.signal("INT");
    let log = dir.path().join("events.log");
    within_reason("it does not drain", || !logged(&log, "drain").is_empty());
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.child.try_wait().unwrap(), None);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_idle_server_keeps_is_little() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let fresh = server.kept_kib();
    let config = client(&dir.path().join("ca.pem"), None);
    let body = review("warm", "Pod", &"x".repeat(10_000).into());
    for _ in 0..64 {
        let mut stream = connect(server.address("https"), &config).await.unwrap();
        for _ in 0..5 {
            post(&mut stream, "/mutate", &body).await;
        }
    }
    let closed = async || {
        let metrics = plain_get(server.address("ops"), "/metrics").await.body;
        String::from_utf8(metrics).unwrap().lines().any(|line| line == "stepspan_connections 0")
    };
    until(closed).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let warm = server.kept_kib();
    println!("kept: {fresh} KiB fresh, {warm} KiB after 320 reviews on 64 connections");
    assert!(warm < 10_000, "{warm} KiB");
}

fn refused(args: &[&str]) -> String {
    let Output { status, stderr, stdout } = stepspan(args).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{text}");
    text
}

#[test]
fn what_keeps_it_from_starting_is_said_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (crt, key) = (path("tls.crt"), path("tls.key"));
    let files = ["--tls-cert", &crt, "--tls-key", &key];
    assert!(refused(&[]).contains("--tls-cert <PATH>|--tls-self-signed"));
    let text = refused(&files);
    assert!(text.contains("tls.crt (--tls-cert): No such file") && text.contains("check the path"), "{text}");
    assert_eq!(text.matches("No such file").count(), 1, "said once: {text}");
    fs::write(&crt, "rubbish").unwrap();
    assert!(refused(&files).contains("BEGIN CERTIFICATE"));
    assert!(refused(&["--tls-self-signed", "--write-ca", "/nonexistent/ca.pem"]).contains("--write-ca"));
    assert!(refused(&["--tls-self-signed", "--policy", "/nonexistent"]).contains("--policy"));
    assert!(refused(&["--tls-self-signed", "--max-body", "8MB"]).contains("ends in KiB, MiB or GiB"));
    assert!(refused(&["--tls-self-signed", "--body-timeout", "5"]).contains("300ms, 5s, 2m"));
    assert!(refused(&["--tls-self-signed", "--otlp-endpoint", "collector"]).contains("http://HOST:4317"));
    assert!(refused(&["--tls-self-signed", "--log-file", "/nonexistent/log"]).contains("--log-file"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let text = refused(&["--tls-self-signed", "--bind", "127.0.0.1", "--https-port", &port]);
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("choose another port"), "{text}");
}
