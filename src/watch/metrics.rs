//! `/metrics` of `stepspan watch`: how it itself is.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info};
use prometheus_client::registry::Registry;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::exposition;
use super::steps::Steps;
use crate::telemetry::metrics::Cause;
use crate::webhook::server::Counts;

/// Every series of it. Handles are cheap clones of shared atomics.
#[derive(Default)]
pub struct Metrics {
    registry: Registry,
    pub(super) leader: Gauge,
    pub(super) listed: Gauge,
    pub(super) workflows: Gauge,
    pub(super) open: Gauge,
    pub(super) lag: Gauge,
    pub(super) unreadable: Counter,
    pub(super) sent: Counter,
    pub(super) queued: Gauge,
    pub(super) missed: Counter,
    pub(super) refused: Counter,
    pub(super) export_failures: Counter,
    pub(super) push_failures: Counter,
    /// 1 while the Collector does not take what it is sent.
    pub(super) undelivered: Gauge,
    pub(super) cluster_errors: Counter,
    pub(super) events_dropped: Counter,
    pub(super) uncounted: Counter,
    pub(super) capped: Gauge,
    /// By `outcome` and `reason`.
    pub(super) step_pods: Family<[(&'static str, &'static str); 2], Gauge>,
    /// When the first and the last pod of the newest window were created, by `reason`.
    window: [Family<[(&'static str, &'static str); 1], Gauge>; 2],
    ports: Counter,
    /// The metrics of steps, while this replica leads.
    pub(super) steps: Mutex<Option<Steps>>,
}

impl Metrics {
    /// All at 0.
    pub fn new() -> Self {
        let mut m = Self { registry: Registry::with_prefix("stepspan_watch"), ..Self::default() };
        let r = &mut m.registry;
        r.register("leader", "1 while this replica holds the Lease, and watches", m.leader.clone());
        r.register("listed", "1 once all Workflows have been listed by this replica", m.listed.clone());
        r.register("workflows", "Workflows that are known", m.workflows.clone());
        r.register("workflows_open", "Workflows that go on, or have spans that are not sent", m.open.clone());
        r.register("lag_seconds", "How long the span has waited that waits longest to be sent", m.lag.clone());
        r.register(
            "workflows_unreadable",
            "Times a Workflow's nodes could not be read: offloaded, or packed in an unknown way",
            m.unreadable.clone(),
        );
        r.register("spans_sent", "Spans that the Collector has taken", m.sent.clone());
        r.register("spans_queued", "Spans that wait to be sent", m.queued.clone());
        r.register("spans_missed", "Spans of Workflows that were deleted before they could be sent", m.missed.clone());
        r.register(
            "spans_refused",
            "Spans that the Collector did not take while it took others, and which were given up",
            m.refused.clone(),
        );
        r.register(
            "steps_uncounted",
            "Steps that began and were never counted: their Workflow was deleted first",
            m.uncounted.clone(),
        );
        r.register(
            "step_pods",
            "Pods of steps that exist, by whether they were injected, and why not",
            m.step_pods.clone(),
        );
        let [from, to] = &m.window;
        r.register(
            "missed_from_timestamp_seconds",
            "When the first pod was created of those that nobody looked at last",
            from.clone(),
        );
        r.register("missed_to_timestamp_seconds", "When the last of them was", to.clone());
        r.register("labels_capped", "Label sets that stand under other", m.capped.clone());
        r.register("export_failures", "Batches that the Collector did not take, each time", m.export_failures.clone());
        r.register(
            "metrics_export_failures",
            "Requests with metrics of steps that the Collector did not take; the next one has them",
            m.push_failures.clone(),
        );
        r.register("undelivered", "1 while the Collector does not take what it is sent", m.undelivered.clone());
        r.register("cluster_errors", "Failed reads and writes of the Kubernetes API", m.cluster_errors.clone());
        r.register("events_dropped", "Event lines lost because the writer fell behind", m.events_dropped.clone());
        r.register("port_failures", "Connections to this port that were not served as asked", m.ports.clone());
        r.register("build", "Version of this server", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        m
    }

    /// Pods were missed between two times, as Kubernetes writes them.
    pub(super) fn missed_pods(&self, reason: &'static str, from: &str, to: &str) {
        let seconds = |text| OffsetDateTime::parse(text, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp);
        let [first, last] = self.window.each_ref().map(|times| times.get_or_create_owned(&[("reason", reason)]));
        if last.get() <= seconds(to) {
            last.set(seconds(to));
            first.set(seconds(from));
        }
    }

    /// Whatever was said of pods is another's to say.
    pub(super) fn no_pods(&self) {
        self.step_pods.clear();
        self.window.iter().for_each(Family::clear);
    }

    /// The whole exposition, ending in `# EOF`.
    ///
    /// # Errors
    /// None of its own: writing to a String cannot fail.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(8 * 1024);
        text::encode_registry(&mut out, &self.registry)?;
        if let Some(steps) = &*self.steps.lock().unwrap_or_else(PoisonError::into_inner) {
            exposition::write(steps, &mut out)?;
        }
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Counts for Metrics {
    fn failed(&self, _: Cause) {
        self.ports.inc();
    }

    fn rejected(&self) {
        self.ports.inc();
    }
}
