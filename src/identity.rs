//! Trace and span ids, and the sampling decision.
//!
//! Ids are the first hex digits of SHA-256 over the texts of [`stepspan_contract::identity`], so that webhook, shim, watch and
//! a shell with `sha256sum` compute the same.

use std::fmt;

use sha2::{Digest, Sha256};
use stepspan_contract::{identity, traceparent};

/// A trace id: 32 lower-case hex digits, not all zero (W3C Trace Context, section 3.2.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId(String);

/// A span id: 16 lower-case hex digits, not all zero (W3C Trace Context, section 3.2.2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanId(String);

/// A traceparent (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The parent span.
    pub span: SpanId,
    /// The flag `sampled`.
    pub sampled: bool,
}

impl TraceId {
    /// The trace of a Workflow.
    pub fn of_workflow(uid: &str) -> Self {
        Self(hex(&identity::trace(uid), 32))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a ratio takes this trace: its last 56 bits, which W3C Trace Context level 2 holds for random, against the
    /// threshold of OpenTelemetry's consistent probability sampling. A trace taken at a ratio is taken at every higher one.
    #[allow(clippy::cast_precision_loss, reason = "rounding 56 bits to 53 is far below the precision of any ratio")]
    pub fn sampled_at(&self, ratio: f64) -> bool {
        const SPACE: f64 = (1u64 << 56) as f64;
        let random = self.0.get(18..).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        random as f64 >= (1.0 - ratio) * SPACE
    }
}

impl SpanId {
    /// The span of a Workflow's node.
    pub fn of_node(workflow_uid: &str, node_id: &str) -> Self {
        Self(hex(&identity::node_span(workflow_uid, node_id), 16))
    }

    /// The span of a Workflow.
    pub fn of_workflow(uid: &str) -> Self {
        Self(hex(&identity::workflow_span(uid), 16))
    }

    /// The span of a node that `argo retry` has run again; `started_at` as its status has it.
    pub fn of_node_again(workflow_uid: &str, node_id: &str, started_at: &str) -> Self {
        Self(hex(&format!("{}/{started_at}", identity::node_span(workflow_uid, node_id)), 16))
    }

    /// The span of a Workflow that `argo retry` has run again; `started_at` as its status has it.
    pub fn of_workflow_again(uid: &str, started_at: &str) -> Self {
        Self(hex(&format!("{}/{started_at}", identity::workflow_span(uid)), 16))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TraceParent {
    /// Reads a traceparent; `None` where it is not of version 00's form (later versions may have more after it).
    pub fn read(text: &str) -> Option<Self> {
        let traceparent::Parts { trace, span, sampled } = traceparent::parts(text)?;
        Some(Self { trace: TraceId(trace.to_owned()), span: SpanId(span.to_owned()), sampled })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace.0, self.span.0, u8::from(self.sampled))
    }
}

/// The first `digits` hex digits of a text's SHA-256.
pub fn hex(text: &str, digits: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(text.as_bytes());
    let nibbles = hash.iter().flat_map(|b| [b >> 4, b & 15]);
    nibbles.take(digits).map(|n| char::from(DIGITS[usize::from(n)])).collect()
}

/// The first hex digits of `H(x)`, the hash of design and contract: SHA-256 of `stepspan/1/` + x.
pub fn h(text: &str, digits: usize) -> String {
    hex(&format!("{}{text}", identity::PREFIX), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_sha256sum_says() {
        // printf stepspan/1/trace/8d63ca73-369e-4578-96fd-5199f99dd77e | sha256sum
        let trace = TraceId::of_workflow("8d63ca73-369e-4578-96fd-5199f99dd77e");
        assert_eq!(trace.as_str(), TRACE);
        // printf stepspan/1/node/8d63ca73-369e-4578-96fd-5199f99dd77e/t-jlncq-4125659631 | sha256sum
        let node = SpanId::of_node("8d63ca73-369e-4578-96fd-5199f99dd77e", "t-jlncq-4125659631");
        assert_eq!(node.as_str(), NODE);
    }
    const TRACE: &str = "73890c2da831a57f26005e08762a279a";
    const NODE: &str = "53838fbf4af0418e";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::read(text).unwrap().to_string(), text);
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-$(TOKEN)-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn ratios_take_their_share_and_grow() {
        let ids: Vec<_> = (0..4000).map(|i| TraceId::of_workflow(&format!("uid-{i}"))).collect();
        let share = |ratio| ids.iter().filter(|id| id.sampled_at(ratio)).count();
        assert_eq!((share(0.0), share(1.0)), (0, 4000));
        assert!((1800..2200).contains(&share(0.5)), "{}", share(0.5));
        assert!(ids.iter().filter(|id| id.sampled_at(0.1)).all(|id| id.sampled_at(0.2)));
    }
}
