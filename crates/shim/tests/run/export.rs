//! Collectors of every manner: the step's result is the same, and it ends in time.

use std::time::Instant;

use crate::collector::{Collector, Manner};
use crate::{GUARD, config, run, shim, text};

const ILL_MANNERS: [Manner; 6] =
    [Manner::Refusing, Manner::Silent, Manner::Garbage, Manner::Closing, Manner::Resetting, Manner::Endless];
/// A budget in milliseconds that nobody may wait for: far above the guard.
const ENDLESS: u64 = 600_000;

#[test]
fn both_protocols_compressed_or_not_arrive_with_headers() {
    for protocol in ["grpc", "http/protobuf"] {
        for compression in ["none", "gzip"] {
            let collector = Collector::start(Manner::Good);
            let mut config = config(&collector.url(), protocol);
            config.headers = vec![("Authorization".into(), "STEPSPAN_HEADER_0".into())];
            let mut command = shim(&config, &["true"]);
            command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression).env("STEPSPAN_HEADER_0", "Bearer secret");
            let output = command.output().unwrap();
            assert_eq!(text(&output.stderr), "", "{protocol} {compression}");
            assert_eq!(collector.spans(1).len(), 1);
            assert_eq!(collector.received().headers[0]["authorization"], "Bearer secret");
        }
    }
}

#[test]
fn a_busy_collector_is_asked_again() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start(Manner::BusyOnce);
        let output = run(&config(&collector.url(), protocol), &["true"]);
        assert_eq!((text(&output.stderr).as_str(), collector.spans(1).len()), ("", 1), "{protocol}");
        assert_eq!(collector.received().headers.len(), 2);
    }
}

#[test]
fn a_collector_that_says_when_is_asked_again_then() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start(Manner::ThrottledOnce);
        let output = run(&config(&collector.url(), protocol), &["true"]);
        assert_eq!((text(&output.stderr).as_str(), collector.spans(1).len()), ("", 1), "{protocol}");
        assert_eq!(collector.received().headers.len(), 2);
    }
}

#[test]
fn nobody_waits_for_a_time_that_never_comes() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start(Manner::Throttled);
        let mut config = config(&collector.url(), protocol);
        config.budget_ms = ENDLESS;
        let began = Instant::now();
        let output = run(&config, &["true"]);
        assert!(began.elapsed() < GUARD, "{protocol}");
        let why = if protocol == "grpc" { "gRPC status 8" } else { "HTTP 429" };
        assert_eq!(text(&output.stderr), format!("stepspan: the span dropped: {why}\n"));
        assert_eq!(collector.received().headers.len(), 1);
    }
}

#[test]
fn what_was_rejected_is_told_and_not_sent_again() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start(Manner::Rejecting);
        let output = run(&config(&collector.url(), protocol), &["true"]);
        assert_eq!(text(&output.stderr), "stepspan: the span dropped: rejected: no room\n", "{protocol}");
        assert_eq!(collector.received().headers.len(), 1);
    }
}

#[test]
fn whatever_the_collector_does_the_step_s_result_is_its_own() {
    for protocol in ["grpc", "http/protobuf"] {
        for manner in ILL_MANNERS {
            let collector = Collector::start(manner);
            let mut config = config(&collector.url(), protocol);
            config.budget_ms = 500;
            let began = Instant::now();
            let output = run(&config, &["sh", "-c", "echo out; exit 7"]);
            assert!(began.elapsed() < GUARD, "{protocol} {manner:?}");
            assert_eq!(output.status.code(), Some(7), "{protocol} {manner:?}");
            assert!(text(&output.stdout).ends_with("\nout\n"));
            let stderr = text(&output.stderr);
            assert!(
                stderr.starts_with("stepspan: the span dropped: ") && stderr.lines().count() == 1,
                "{manner:?}: {stderr}"
            );
        }
    }
}

/// No second attempt mends these.
#[test]
fn what_is_wrong_here_is_told_at_once() {
    let collector = Collector::start(Manner::Good);
    let mut unsendable = config(&collector.url(), "grpc");
    unsendable.headers = vec![("x".into(), "STEPSPAN_HEADER_0".into())];
    let output = shim(&unsendable, &["true"]).env("STEPSPAN_HEADER_0", "a\nb").output().unwrap();
    assert_eq!(text(&output.stderr), "stepspan: the span dropped: headers that cannot be sent\n");
    let mut blind = config("https://127.0.0.1:1", "grpc");
    (blind.ca_file, blind.budget_ms) = (Some("/nowhere.pem".into()), ENDLESS);
    let began = Instant::now();
    let output = run(&blind, &["true"]);
    assert!(began.elapsed() < GUARD);
    assert_eq!(text(&output.stderr), "stepspan: the span dropped: no CA certificate in /nowhere.pem\n");
    let output = run(&config("http://127.0.0.1:1", "http/json"), &["true"]);
    assert_eq!(text(&output.stderr), "stepspan: no span: protocol http/json\n");
    let mut broken = config("http://127.0.0.1:1", "grpc").encode();
    broken.push_str("env sometimes OTEL_EXPORTER_OTLP_HEADERS=secret\n");
    let output = shim(&blind, &["true"]).env("STEPSPAN_CONFIG", broken).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("of the configuration cannot be read") && !stderr.contains("secret"), "{stderr}");
}

#[test]
fn nobody_there_is_one_line_too() {
    // Time for one attempt at least, where one is refused.
    for (url, why, budget_ms) in [
        ("http://127.0.0.1:1", "127.0.0.1:1: connection refused", 3_000),
        // RFC 5737: nobody has this address.
        ("http://192.0.2.1:4317", "192.0.2.1:4317", 500),
        ("https://127.0.0.1:1", "connection refused", 3_000),
    ] {
        let config = stepspan_contract::Config { budget_ms, ..config(url, "grpc") };
        let began = Instant::now();
        let output = run(&config, &["true"]);
        assert!(began.elapsed() < GUARD);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0));
        assert!(stderr.contains(why) && stderr.lines().count() == 1, "{stderr}");
    }
}
