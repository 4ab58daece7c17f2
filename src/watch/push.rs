//! The metrics of steps -> the Collector, every so often. They are cumulative: what one request loses the next has.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::metrics::Metrics;
use super::otlp::{Failure, Rejected, Wire, metrics};
use crate::telemetry::events::{Event, EventLog};

/// Sends what is shown, for as long as this is polled; nothing while another replica leads.
pub(super) async fn run(wire: Wire, every: Duration, shown: Arc<Metrics>, events: Arc<EventLog>) {
    let mut tick = tokio::time::interval(every.max(Duration::from_secs(1)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let steps = shown.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(steps) = steps else { continue };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        for request in metrics::requests(&steps, u64::try_from(now).unwrap_or(u64::MAX)) {
            let why = match wire.metrics(request).await {
                Ok(Rejected { count: 0, .. }) => continue,
                Ok(Rejected { count, why }) => format!("{count} of them rejected: {why}"),
                Err(Failure::Away(why) | Failure::Refused(why)) => why,
            };
            shown.push_failures.inc();
            events.emit(&Event::error("metrics", json!({"again_in_ms": every.as_millis()}), why));
        }
    }
}
