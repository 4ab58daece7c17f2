//! A Collector that says anything at all: HTTP/1.1, HTTP/2 frames, gRPC trailers, messages of Protocol Buffers. The exchange ends, and
//! nothing panics.
//!
//! `cargo +nightly fuzz run shim_collector -- -max_len=2000 -timeout=10`

#![no_main]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use stepspan_shim::export::{Client, Protocol, Signal, Target, answer};
use stepspan_shim::otlp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The connection's preface of a server: SETTINGS, and the acknowledgement of ours (RFC 9113, section 3.4).
const PREFACE: [u8; 18] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
const GUARD: Duration = Duration::from_secs(5);

fuzz_target!(|data: &[u8]| {
    let _ = otlp::answer::rejected(data);
    let _ = otlp::answer::retry_delay(data);
    headers(data);
    let [mode, rest @ ..] = data else { return };
    let (protocol, said) = match mode % 3 {
        0 => (Protocol::Http, rest.to_vec()),
        1 => (Protocol::Grpc, [&PREFACE[..], rest].concat()),
        _ => (Protocol::Grpc, [&PREFACE[..], &frames(rest)].concat()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let done = tokio::time::timeout(GUARD, exchange(protocol, said)).await;
        assert!(done.is_ok(), "an exchange without end");
    });
});

async fn exchange(protocol: Protocol, said: Vec<u8>) {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        let _ = theirs.write_all(&said).await;
        let _ = theirs.flush().await;
        let mut sink = [0; 1024];
        // What we said; then the connection ends.
        let _ = tokio::time::timeout(Duration::from_millis(20), theirs.read(&mut sink)).await;
    });
    if let Ok(mut client) = Client::over(ours, protocol).await {
        let target = Target { host: "collector".into(), port: 4317, protocol, ..Target::default() };
        let _ = client.send(&target, Signal::Trace, b"request").await;
    }
    let _ = server.await;
}

/// The input cut into frames with right lengths, mostly of our stream.
fn frames(mut rest: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let [kind, flags, length, tail @ ..] = rest {
        let (payload, next) = tail.split_at(tail.len().min(usize::from(*length)));
        let length = u32::try_from(payload.len()).expect("a byte's worth").to_be_bytes();
        all.extend(&length[1..]);
        all.extend([kind % 11, *flags, 0, 0, 0, u8::from(kind & 0x40 == 0)]);
        all.extend(payload);
        rest = next;
    }
    all
}

fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut lines = data.split(|byte| *byte == b'\n');
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "retry-after"] {
        if let Some(value) = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok()) {
            headers.insert(name, value);
        }
    }
    let body = lines.next().unwrap_or_default();
    for status in [200, 429, 503, 400] {
        let status = StatusCode::from_u16(status).expect("a status");
        let _ = answer::grpc(status, &headers, None, body);
        let _ = answer::http(status, &headers, body);
    }
}
