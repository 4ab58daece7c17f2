//! Reads a request body within three bounds: its own length, its own time, and the memory of all bodies together.
//!
//! A body that breaks a bound still yields its beginning, for the uid. A too long one is read on and thrown away for
//! as long as the time lasts and up to four times the limit, since a client that is still writing may never read an
//! answer given early.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::{Instant, timeout_at};

use crate::{config::Limits, telemetry::metrics::Cause};

/// How much of a refused body is kept: the uid stands in its first hundred bytes.
const PREFIX: usize = 64 * 1024;
const DISCARD_FACTOR: usize = 4;

/// The bytes that came, and why not all of them did.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) cut: Option<Cause>,
    _reserved: Reservation,
}

/// Memory that bodies may take together.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }
}

/// A share of a budget, given back when dropped.
#[derive(Debug)]
struct Reservation {
    budget: Arc<Budget>,
    size: usize,
}

impl Reservation {
    fn grow(&mut self, more: usize) -> bool {
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        self.size += more;
        before + more <= self.budget.limit
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Reads `body`; never waits longer than the body timeout.
pub(super) async fn read(body: Body, limits: &Limits, budget: &Arc<Budget>) -> Received {
    let deadline = Instant::now() + limits.body_timeout;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut reserved = Reservation { budget: Arc::clone(budget), size: 0 };
    let mut bytes = Vec::with_capacity(announced.min(PREFIX));
    let mut cut = None;
    let mut length = 0_usize;
    let mut body = pin!(body);
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                cut = cut.or(Some(Cause::Aborted));
                break;
            }
            Err(_) => {
                cut = cut.or(Some(Cause::Timeout));
                break;
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if cut.is_none() && length > limits.body_bytes {
            cut = Some(Cause::TooLarge);
        } else if cut.is_none() && !reserved.grow(data.len()) {
            cut = Some(Cause::Overloaded);
        }
        let room = if cut.is_none() { data.len() } else { PREFIX.saturating_sub(bytes.len()).min(data.len()) };
        bytes.extend_from_slice(&data[..room]);
        if cut.is_some() {
            bytes.truncate(PREFIX);
            bytes.shrink_to_fit();
            let last = limits.body_bytes.saturating_mul(DISCARD_FACTOR);
            if announced > last || length > last {
                break;
            }
        }
    }
    Received { bytes, cut, _reserved: reserved }
}

/// The time a person reads in a warning.
pub(super) fn seconds(time: Duration) -> String {
    format!("{} s", (time.as_secs_f64() * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { body_bytes: 10, body_timeout: Duration::from_millis(100), ..Limits::default() }
    }

    async fn read_text(text: &'static str, budget: &Arc<Budget>) -> Received {
        read(Body::from(text), &limits(), budget).await
    }

    #[tokio::test]
    async fn the_bounds_hold_and_the_memory_comes_back() {
        let budget = Budget::new(15);
        let fits = read_text("0123456789", &budget).await;
        assert_eq!((fits.bytes.as_slice(), fits.cut), (b"0123456789".as_slice(), None));
        let second = read_text("0123456789", &budget).await;
        assert_eq!(second.cut, Some(Cause::Overloaded));
        drop((fits, second));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        let long = read_text("0123456789a", &budget).await;
        assert_eq!((long.bytes.as_slice(), long.cut), (b"0123456789a".as_slice(), Some(Cause::TooLarge)));
    }
}
