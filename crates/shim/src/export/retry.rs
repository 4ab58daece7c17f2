//! How long to wait before the next try.

use std::time::Duration;

use crate::identity;

const FIRST: Duration = Duration::from_millis(30);
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential backoff with jitter (OTLP specification, "OTLP/gRPC Throttling").
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    /// Begins with short waits: the whole budget is half a second.
    pub fn new() -> Self {
        Self(FIRST)
    }

    /// The next wait: between half and all of a bound that doubles.
    pub fn next(&mut self) -> Duration {
        let bound = self.0;
        self.0 = (bound * 2).min(LONGEST);
        let random = identity::bytes(&identity::random(2)).first().copied().unwrap_or_default();
        bound / 2 + bound / 2 * u32::from(random) / 255
    }
}
