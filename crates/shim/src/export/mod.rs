//! Sends what was encoded, within a deadline, by the rules of the OTLP specification (opentelemetry.io/docs/specs/otlp).

pub mod answer;
mod client;
mod connect;
mod retry;
mod target;
mod tls;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

pub use client::Client;
pub use connect::connect;
pub use target::{Protocol, Target};

use retry::Backoff;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Trace,
    /// `ExportTraceServiceRequest` with the spans of a step's parts.
    Parts,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

impl Signal {
    /// For a message to a person.
    pub fn what(self) -> &'static str {
        match self {
            Self::Trace => "the span",
            Self::Parts => "spans of parts",
            Self::Metrics => "the metrics",
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken.
    Taken,
    /// Not taken, and never will be.
    Refused(String),
    /// Perhaps later; the Collector may have said when.
    Later(String, Option<Duration>),
}

impl Verdict {
    /// What stands against it; nothing where it was taken.
    pub fn why(self) -> String {
        match self {
            Self::Taken => String::new(),
            Self::Refused(why) | Self::Later(why, _) => why,
        }
    }
}

/// Sends one request until it is taken, refused, or the deadline has come.
///
/// `client` is a connection that was prepared; it is replaced when it is lost.
///
/// # Errors
/// Why it was dropped.
pub async fn deliver(
    client: &mut Option<Client>,
    target: &Target,
    (signal, request): (Signal, Vec<u8>),
    deadline: Instant,
) -> Result<(), String> {
    let mut backoff = Backoff::new();
    let mut last = String::new();
    loop {
        // What is not there when the time is over.
        let lacking = if client.is_some() { "answer from" } else { "connection to" };
        let answered = timeout_at(deadline, once(client, target, signal, &request)).await;
        let wait = match answered {
            // Cut off in the middle: the answer to this request must not be taken for one to another.
            Err(_) => {
                *client = None;
                let why = format!("no {lacking} {} in time", target.authority());
                return Err(if last.is_empty() { why } else { format!("{last}, then {why}") });
            }
            Ok(Verdict::Taken) => return Ok(()),
            Ok(Verdict::Refused(why)) => return Err(why),
            Ok(Verdict::Later(why, asked)) => {
                // What an earlier attempt heard says more than that the line went dead.
                if last.is_empty() || !why.ends_with(client::LOST) {
                    last = why;
                }
                // A Collector that says "at once" is not asked without a pause.
                backoff.next().max(asked.unwrap_or_default())
            }
        };
        let again = Instant::now() + wait;
        if again >= deadline {
            return Err(last);
        }
        sleep_until(again).await;
    }
}

async fn once(client: &mut Option<Client>, target: &Target, signal: Signal, request: &[u8]) -> Verdict {
    let connected = match client.take() {
        Some(client) => client,
        None => match connect(target).await {
            Ok(client) => client,
            Err(verdict) => return verdict,
        },
    };
    match connected.send(target, signal, request).await {
        Ok((connected, verdict)) => {
            *client = Some(connected);
            verdict
        }
        Err(why) => Verdict::Later(format!("{}: {why}", target.authority()), None),
    }
}
