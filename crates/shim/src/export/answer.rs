//! What an answer means: taken, refused, or later (OTLP specification, "Failures" and "Retryable Response Codes").

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};

use super::Verdict;
use crate::otlp::answer;

/// Longest text of a Collector that is shown.
const LONGEST: usize = 120;
/// A wait that nobody sits out.
const LONGEST_WAIT: u64 = 3_600;

/// gRPC codes that may be tried again; `RESOURCE_EXHAUSTED` (8) only where the answer says when.
const RETRYABLE: [u32; 6] = [1, 4, 10, 11, 14, 15];
const EXHAUSTED: u32 = 8;

/// The answer of a gRPC server.
pub fn grpc(status: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>, body: &[u8]) -> Verdict {
    let of = |name: &str| trailers.and_then(|all| all.get(name)).or_else(|| headers.get(name));
    let Some(code) = of("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u32>().ok()) else {
        // Not a gRPC server, or one in front of it (gRPC, "HTTP to gRPC Status Code Mapping").
        let why = format!("HTTP {} without a gRPC status", status.as_u16());
        return if is_retryable(status) { Verdict::Later(why, None) } else { Verdict::Refused(why) };
    };
    let why = || format!("gRPC status {code}{}", of("grpc-message").map(shown).unwrap_or_default());
    let wait = of("grpc-status-details-bin").and_then(|value| answer::retry_delay(&base64(value.as_bytes())));
    match code {
        0 => taken(unframed(body)),
        EXHAUSTED if wait.is_none() => Verdict::Refused(why()),
        code if code == EXHAUSTED || RETRYABLE.contains(&code) => Verdict::Later(why(), wait),
        _ => Verdict::Refused(why()),
    }
}

/// The answer of an HTTP server.
pub fn http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
    let why = format!("HTTP {}", status.as_u16());
    if status == StatusCode::OK {
        return taken(body);
    }
    if is_retryable(status) {
        return Verdict::Later(why, headers.get("retry-after").and_then(|value| retry_after(value.to_str().ok()?)));
    }
    if status.is_success() { Verdict::Taken } else { Verdict::Refused(why) }
}

fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// A partial success is never tried again.
fn taken(response: &[u8]) -> Verdict {
    match answer::rejected(response) {
        None => Verdict::Taken,
        Some((_, message)) => Verdict::Refused(format!("rejected{}", quoted(&message))),
    }
}

/// The message behind gRPC's five bytes of prefix; a compressed one was not asked for and says nothing.
fn unframed(body: &[u8]) -> &[u8] {
    match body {
        [0, _, _, _, _, message @ ..] => message,
        _ => &[],
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(LONGEST_WAIT)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default().min(Duration::from_secs(LONGEST_WAIT)))
}

fn shown(value: &HeaderValue) -> String {
    quoted(value.to_str().unwrap_or_default())
}

/// A text of the Collector's, for one line on a terminal.
fn quoted(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if clean.is_empty() { clean } else { format!(": {clean}") }
}

/// Binary headers are base64, with or without padding (gRPC over HTTP/2, "Custom-Metadata"); what is none is empty.
fn base64(text: &[u8]) -> Vec<u8> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, ANY).decode(text).unwrap_or_default()
}
