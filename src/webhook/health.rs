//! Whether the server can do its work, check by check.
//!
//! Ready means: policies loaded, certificate in date, a synthetic review answered, the served certificate seen on our own
//! port, not draining. A degraded check (an old version kept because the new one is broken) is shown and leaves us
//! ready: taking every replica out because of one typo would be worse than running on the last good version.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    breaker,
    telemetry::{events::rfc3339, metrics::Metrics},
    webhook::{
        check::{self, Check, State},
        keeper::Trouble,
        kept::Kept,
        ops::Status,
    },
};

/// What the last probe found; an error says what to look at.
pub(super) type Probe = Result<String, String>;

/// The state of the whole server.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) kept: Kept,
    pub(super) metrics: Arc<Metrics>,
    pub(super) draining: Arc<AtomicBool>,
    /// Where there is a cluster.
    pub(super) cluster: Option<Trouble>,
    pub(super) began: Instant,
    probes: Mutex<(Probe, Probe)>,
}

impl Status for Health {
    fn readiness(&self) -> (bool, Value) {
        check::readiness(&self.checks())
    }

    fn health(&self) -> (bool, Value) {
        check::health(&self.checks(), self.began)
    }

    fn metrics(&self) -> Result<String, fmt::Error> {
        self.metrics.set_ready(self.ready());
        self.metrics.render()
    }
}

impl Health {
    pub(super) fn new(kept: Kept, metrics: Arc<Metrics>, draining: Arc<AtomicBool>, cluster: Option<Trouble>) -> Self {
        let pending = || Err("not tried yet".to_owned());
        let probes = Mutex::new((pending(), pending()));
        Self { kept, metrics, draining, cluster, began: Instant::now(), probes }
    }

    /// Takes the newest result of the synthetic review and of the dial; `None` keeps the last one.
    pub(super) fn probed(&self, review: Option<Probe>, dial: Option<Probe>) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(review) = review {
            probes.0 = review;
        }
        if let Some(dial) = dial {
            probes.1 = dial;
        }
    }

    /// All checks, in the order in which a person would look at them.
    pub(super) fn checks(&self) -> Vec<Check> {
        let (review, dial) = self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut checks =
            vec![self.policies_check(), self.pause_check(), self.breaker_check(), self.certificate_check()];
        checks.extend(self.cluster.as_ref().map(cluster_check));
        if self.kept.facts.awaits_namespaces() {
            let reason = "not listed yet: policies may ask for their labels".into();
            checks.push(Check { name: "namespaces", state: State::Failed, reason, detail: Value::Null });
        }
        checks.extend([probe_check("self-review", review), probe_check("self-dial", dial), self.drain_check()]);
        checks
    }

    /// Whether to send us requests.
    pub(super) fn ready(&self) -> bool {
        check::ready(&self.checks())
    }

    fn policies_check(&self) -> Check {
        let loaded = self.kept.policies.current();
        let detail = json!({
            "generation": loaded.generation,
            "hash": loaded.hash,
            "resources": loaded.resources,
            "loaded_at": rfc3339(OffsetDateTime::from(loaded.at)),
        });
        let (state, reason) = match self.kept.policies.error() {
            _ if self.kept.policies.awaits_resources() => {
                (State::Failed, "the InjectionPolicies have not been listed yet".to_owned())
            }
            None => (State::Ok, "loaded".to_owned()),
            Some(error) => (State::Degraded, format!("the last good version stays in force: {error}")),
        };
        Check { name: "policies", state, reason, detail }
    }

    fn pause_check(&self) -> Check {
        let paused = self.kept.pause.paused();
        let reason = if paused { "paused by the operator: nothing is injected" } else { "injecting" };
        Check { name: "pause", state: State::Ok, reason: reason.into(), detail: json!({"paused": paused}) }
    }

    fn breaker_check(&self) -> Check {
        let stops = self.kept.gate.stops();
        let told: Vec<String> = stops
            .all()
            .map(|(scope, stop)| format!("{} for {}: {}", stop.phase.label(), breaker::in_words(scope), stop.reason))
            .collect();
        let (state, reason) = if self.kept.gate.awaits() {
            (State::Failed, "not known yet where injection is stopped".to_owned())
        } else if told.is_empty() {
            (State::Ok, "closed".to_owned())
        } else {
            (State::Degraded, told.join("; "))
        };
        Check { name: "breaker", state, reason, detail: json!(*stops) }
    }

    fn certificate_check(&self) -> Check {
        let name = "certificate";
        let Some(served) = self.kept.tls.current() else {
            let reason = match self.kept.tls.error() {
                None => "none yet: it comes from the cluster, see the check api-server".into(),
                Some(error) => format!("none: the one there is cannot be served: {error}"),
            };
            return Check { name, state: State::Failed, reason, detail: Value::Null };
        };
        let until = rfc3339(OffsetDateTime::from(served.not_after));
        let (state, reason) = if served.not_after <= SystemTime::now() {
            (State::Failed, format!("expired on {until}"))
        } else if let Some(error) = self.kept.tls.error() {
            (State::Degraded, format!("the last good pair stays in force, valid until {until}: {error}"))
        } else {
            (State::Ok, format!("valid until {until}"))
        };
        Check { name, state, reason, detail: json!({"not_after": until, "sha256": served.fingerprint}) }
    }

    fn drain_check(&self) -> Check {
        let draining = self.draining.load(Ordering::Relaxed);
        let (state, reason) =
            if draining { (State::Failed, "stopping: no new requests, please") } else { (State::Ok, "serving") };
        Check { name: "drain", state, reason: reason.into(), detail: Value::Null }
    }
}

fn cluster_check(trouble: &Trouble) -> Check {
    let (state, reason) = match trouble.last() {
        None => (State::Ok, "no failure".to_owned()),
        Some(error) => (State::Degraded, format!("the last known state serves on: {error}")),
    };
    Check { name: "api-server", state, reason, detail: Value::Null }
}

fn probe_check(name: &'static str, probe: Probe) -> Check {
    let (state, reason) = match probe {
        Ok(reason) => (State::Ok, reason),
        Err(reason) => (State::Failed, reason),
    };
    Check { name, state, reason, detail: Value::Null }
}
