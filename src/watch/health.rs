//! Whether it can do its work: `/readyz` and `/health`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::metrics::Metrics;
use crate::cluster::lease::Holder;
use crate::telemetry::events::{Event, EventLog};
use crate::webhook::check::{self, Check, State};
use crate::webhook::keeper::Trouble;
use crate::webhook::ops::Status;

/// How this replica stands.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Arc<EventLog>,
    trouble: Trouble,
    draining: AtomicBool,
    began: Instant,
}

impl Health {
    pub(super) fn new(metrics: Arc<Metrics>, events: Arc<EventLog>) -> Self {
        Self { metrics, events, trouble: Trouble::default(), draining: AtomicBool::new(false), began: Instant::now() }
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A replica that waits for the Lease is as ready as the one that has it.
    fn checks(&self) -> [Check; 4] {
        let check = |name, state, reason: &str| Check { name, state, reason: reason.into(), detail: Value::Null };
        let leads = self.metrics.leader.get() == 1;
        let lease = match (leads, self.metrics.listed.get()) {
            (true, 1) => check("lease", State::Ok, "this replica watches"),
            (true, _) => check("lease", State::Ok, "this replica lists Workflows and pods"),
            _ => check("lease", State::Ok, "another replica watches, or none yet"),
        };
        let cluster = match self.trouble.last() {
            Some(why) => check("cluster", State::Degraded, &why),
            None => check("cluster", State::Ok, "the Kubernetes API answers"),
        };
        let collector = match self.metrics.undelivered.get() {
            0 => check("collector", State::Ok, "takes what it is sent"),
            _ => check("collector", State::Degraded, "does not take what it is sent; it is sent again and again"),
        };
        let draining = self.draining.load(Ordering::Relaxed);
        let drain = if draining { check("drain", State::Failed, "is to end") } else { check("drain", State::Ok, "no") };
        [lease, cluster, collector, drain]
    }
}

impl Status for Health {
    fn readiness(&self) -> (bool, Value) {
        check::readiness(&self.checks())
    }

    fn health(&self) -> (bool, Value) {
        check::health(&self.checks(), self.began)
    }

    fn metrics(&self) -> Result<String, fmt::Error> {
        self.metrics.render()
    }
}

impl Holder for Health {
    fn leads(&self, leads: bool) {
        self.metrics.leader.set(i64::from(leads));
        self.events.emit(&Event::info("lease", json!({"held": leads})));
    }

    fn failed(&self, error: String) {
        self.metrics.cluster_errors.inc();
        self.trouble.failed(&error);
        self.events.emit(&Event::error("cluster", json!({}), error));
    }
}
