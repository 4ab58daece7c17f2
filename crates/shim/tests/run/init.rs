//! The init container's part.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::collector::{Collector, Manner};
use crate::{SHIM, text};

fn init(words: &[&str]) -> Output {
    Command::new(SHIM).arg("init").args(words).env_clear().output().unwrap()
}

#[test]
fn it_installs_itself_and_looks_at_the_collector() {
    for protocol in ["grpc", "http/protobuf"] {
        let folder = tempfile::tempdir().unwrap();
        let collector = Collector::start(Manner::Good);
        let to = folder.path().to_str().unwrap();
        let output = init(&["--to", to, "--probe", &collector.url(), "--protocol", protocol, "--timeout", "60000ms"]);
        let line = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(line.starts_with(r#"{"action":"init","install":"ok","probe":"ok","probe_ms":"#), "{line}");
        let installed = folder.path().join("stepspan-shim");
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o555);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let again = Command::new(&installed).arg("--version").output().unwrap();
        assert!(text(&again.stdout).starts_with("stepspan-shim "));
    }
}

#[test]
fn a_collector_that_is_not_there_costs_the_deadline_at_most_and_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    for (probe, why, timeout) in [
        ("http://127.0.0.1:1", "connection refused", "60000ms"),
        ("http://192.0.2.1:4317", "192.0.2.1:4317: ", "100ms"),
        ("ftp://x", "neither http nor https", "100ms"),
    ] {
        let output = init(&["--to", to, "--probe", probe, "--timeout", timeout]);
        let line = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(line.contains(r#""probe":"failed""#) && line.contains(why), "{line}");
    }
}

/// Such as a load balancer without a backend: writing to it must not end us.
#[test]
fn a_collector_of_bad_manners_fails_nothing() {
    use Manner::{Closing, Endless, Garbage, Refusing, Rejecting, Resetting, Silent};
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    for manner in [Closing, Resetting, Garbage, Silent, Endless, Refusing, Rejecting] {
        let collector = Collector::start(manner);
        for protocol in ["grpc", "http/protobuf"].repeat(if manner == Closing { 20 } else { 1 }) {
            let words = ["--to", to, "--probe", &collector.url(), "--protocol", protocol, "--timeout", "200ms"];
            let output = init(&words);
            assert_eq!(output.status.code(), Some(0), "{manner:?}: {output:?}");
            assert!(text(&output.stdout).starts_with(r#"{"action":"init","install":"ok","probe":"#), "{output:?}");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("termination-log");
    fs::write(&log, "").unwrap();
    let output = init(&["--to", "/proc/nowhere", "--termination-log", log.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(r#""install":"failed""#));
    let sentence = fs::read_to_string(log).unwrap();
    assert!(sentence.starts_with("stepspan: cannot install the shim in /proc/nowhere: "), "{sentence}");
}
