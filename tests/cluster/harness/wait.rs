//! Waiting, with a deadline that only guards against hangs and an error that says what was awaited.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

const POLL: Duration = Duration::from_millis(50);

/// Asks `attempt` until it yields a value, fails, or `limit` is over.
///
/// `attempt` answers `Ok(None)` for "not yet". The error after the limit names `what`.
pub fn until<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = attempt().with_context(|| format!("while waiting for {what}"))? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(anyhow!("{what}: not within {} s", limit.as_secs()));
        }
        thread::sleep(POLL);
    }
}
