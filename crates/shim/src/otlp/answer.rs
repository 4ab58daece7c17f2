//! What a Collector answers: partial success, and the wait it asks for.

use std::time::Duration;

use super::wire::{Field, bytes_of, fields, varint_of};

const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";
/// A wait that nobody sits out.
const LONGEST_WAIT: u64 = 3_600;

/// `ExportTraceServiceResponse` and `ExportMetricsServiceResponse`: how many were rejected, and the message. `None` where all were
/// taken; a message without a rejection is a warning and counts as taken (OTLP specification, "Partial Success").
pub fn rejected(response: &[u8]) -> Option<(u64, String)> {
    let partial = bytes_of(response, 1)?;
    let count = varint_of(partial, 1);
    let message = String::from_utf8_lossy(bytes_of(partial, 2).unwrap_or_default());
    (count > 0).then(|| (count, message.into_owned()))
}

/// The wait in a `google.rpc.Status` with `RetryInfo` among its details (header `grpc-status-details-bin`).
pub fn retry_delay(status: &[u8]) -> Option<Duration> {
    let details = fields(status).filter_map(|(field, value)| match value {
        Field::Bytes(any) if field == 3 => Some(any),
        _ => None,
    });
    let info = details.filter(|any| bytes_of(any, 1) == Some(RETRY_INFO)).find_map(|any| bytes_of(any, 2))?;
    let delay = bytes_of(info, 1)?;
    let seconds = varint_of(delay, 1).min(LONGEST_WAIT);
    let nanos = u32::try_from(varint_of(delay, 2)).ok().filter(|nanos| *nanos < 1_000_000_000).unwrap_or_default();
    Some(Duration::new(seconds, nanos))
}
