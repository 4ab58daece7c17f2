//! How a server stands, check by check: what `/readyz` and `/health` say.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::telemetry::events::rfc3339;

/// How one check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    Degraded,
    Failed,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) detail: Value,
}

/// Whether none has failed.
pub(crate) fn ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Failed)
}

/// The body of `/readyz`.
pub(crate) fn readiness(checks: &[Check]) -> (bool, Value) {
    let ready = ready(checks);
    (ready, json!({"ready": ready, "checks": checks}))
}

/// The body of `/health`.
pub(crate) fn health(checks: &[Check], began: Instant) -> (bool, Value) {
    let has = |state| checks.iter().any(|check| check.state == state);
    let status = match (has(State::Failed), has(State::Degraded)) {
        (true, _) => "unhealthy",
        (false, true) => "degraded",
        (false, false) => "healthy",
    };
    let wrong = checks.iter().filter(|check| check.state != State::Ok);
    let errors: Vec<String> = wrong.map(|check| format!("{}: {}", check.name, check.reason)).collect();
    let body = json!({
        "status": status,
        "timestamp": rfc3339(OffsetDateTime::now_utc()),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": began.elapsed().as_secs(),
        "errors": errors,
    });
    (status != "unhealthy", body)
}
