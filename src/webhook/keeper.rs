//! Keeps the server up to date while it runs: files, what the cluster says, and what the server finds when it tries itself.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::json;
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    breaker::{Stops, circuit::Turn},
    cluster::{Known, Listener, lease::Holder, registration::Registration},
    config::Config,
    source::store::Polled,
    telemetry::events::{Event, EventLog, rfc3339},
    webhook::{health::Health, mutate::Reviewer, ops::Status, probe, tls::Served},
};

const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_AGAIN: Duration = Duration::from_secs(1);

/// Looks at files, hears the cluster and tries the server, for as long as it runs.
pub(super) struct Keeper {
    pub(super) health: Arc<Health>,
    pub(super) events: Arc<EventLog>,
    changed: Notify,
}

impl Keeper {
    pub(super) fn new(health: Arc<Health>, events: Arc<EventLog>) -> Arc<Self> {
        Arc::new(Self { health, events, changed: Notify::new() })
    }

    /// Starts to look; `registration` is the live webhook configuration, where there is a cluster.
    pub(super) fn start(
        self: Arc<Self>,
        config: &Config,
        reviewer: Reviewer,
        address: SocketAddr,
        registration: Option<watch::Receiver<Known<Registration>>>,
    ) -> JoinSet<()> {
        let dial = probe::Dial {
            address,
            tls: Arc::clone(&self.health.kept.tls),
            ca_bundle: config.ca_bundle.clone(),
            registration,
            server_name: config.server_name.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&self).poll_files(config.poll));
        tasks.spawn(self.probe(reviewer, dial, config.limits.connections));
        tasks
    }

    async fn poll_files(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let keeper = Arc::clone(&self);
            // Only a runtime that is shutting down cancels it.
            let _ = tokio::task::spawn_blocking(move || keeper.poll_once()).await;
        }
    }

    fn poll_once(&self) {
        let health = &self.health;
        self.tell_pause(health.kept.pause.poll());
        self.tell_policies(health.kept.policies.poll());
        self.tell_certificate(health.kept.tls.poll());
    }

    fn tell_policies(&self, polled: Polled) {
        let loaded = self.health.kept.policies.current();
        match &polled {
            Polled::Reloaded => self.health.metrics.policies_loaded(&loaded),
            Polled::Refused(_) => self.health.metrics.policies_refused(),
            Polled::Unchanged | Polled::Recovered => {}
        }
        let payload = json!({"generation": loaded.generation, "hash": loaded.hash, "resources": loaded.resources});
        self.tell("policies", polled, payload);
    }

    fn tell_pause(&self, changed: Option<bool>) {
        if let Some(paused) = changed {
            self.health.metrics.set_paused(paused);
            self.events.emit(&Event::info("pause", json!({"paused": paused})));
        }
    }

    fn tell_certificate(&self, polled: Polled) {
        let served = self.health.kept.tls.current();
        match (&polled, &served) {
            (Polled::Reloaded, Some(served)) => self.health.metrics.certificate_loaded(served.not_after),
            (Polled::Refused(_), _) => self.health.metrics.certificate_refused(),
            _ => {}
        }
        let of = |served: Arc<Served>| json!({"not_after": rfc3339(OffsetDateTime::from(served.not_after)), "sha256": served.fingerprint});
        self.tell("certificate", polled, served.map_or(serde_json::Value::Null, of));
    }

    fn tell(&self, action: &'static str, polled: Polled, payload: serde_json::Value) {
        match polled {
            Polled::Unchanged => return,
            Polled::Reloaded | Polled::Recovered => self.events.emit(&Event::info(action, payload)),
            Polled::Refused(error) => self.events.emit(&Event::error(action, payload, error)),
        }
        self.changed.notify_one();
    }

    async fn probe(self: Arc<Self>, reviewer: Reviewer, dial: probe::Dial, limit: usize) {
        let mut was_ready = None;
        loop {
            let review =
                probe::review(reviewer, &self.health.kept.policies.current().set, &self.health.kept.facts.current());
            let dialled = dial.dial().await;
            // At the limit our own dial is turned away like any other: that says nothing about the certificate.
            let full = usize::try_from(self.health.metrics.connections.get()).is_ok_and(|open| open >= limit);
            let failed = dialled.is_err();
            self.health.probed(Some(review), (!failed || !full).then_some(dialled));
            let ready = self.health.ready();
            self.health.metrics.set_ready(ready);
            if was_ready.replace(ready) != Some(ready) {
                self.tell_readiness(ready);
            }
            let pause = if failed { PROBE_AGAIN } else { PROBE_EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn tell_readiness(&self, ready: bool) {
        let (_, detail) = self.health.readiness();
        let event = if ready {
            Event::info("ready", detail)
        } else {
            Event::error("ready", detail, "not ready: see the failed checks")
        };
        self.events.emit(&event);
    }
}

impl Listener for Keeper {
    fn certificate(&self, polled: Polled) {
        self.tell_certificate(polled);
    }

    fn issued(&self, step: &'static str) {
        self.events.emit(&Event::info("keys", json!({"step": step})));
    }

    fn registered(&self, registration: &Registration) {
        self.tell_pause(self.health.kept.pause.annotated(registration.paused));
        self.changed.notify_one();
    }

    fn listed(&self) {
        self.changed.notify_one();
    }

    fn policies(&self, polled: Polled) {
        self.tell_policies(polled);
    }

    fn stopped(&self, stops: &Stops) {
        self.health.metrics.set_stops(stops.all().map(|(scope, _)| scope));
        let payload = json!({"stopped": stops});
        self.events.emit(&if stops.is_empty() {
            Event::info("breaker", payload)
        } else {
            Event::error("breaker", payload, "our image cannot start there: pods go without it")
        });
    }

    fn turned(&self, turn: &Turn) {
        self.health.metrics.turned(turn.now.as_ref().map_or("closed", |stop| stop.phase.label()));
    }
}

impl Holder for Keeper {
    fn leads(&self, leads: bool) {
        self.health.metrics.set_leads(leads);
        self.events.emit(&Event::info("lease", json!({"held": leads})));
    }

    fn failed(&self, error: String) {
        self.health.metrics.cluster_failed();
        if let Some(trouble) = &self.health.cluster {
            trouble.failed(&error);
        }
        self.events.emit(&Event::error("cluster", json!({}), error));
    }
}

/// What last went wrong with the API server.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<(String, Instant)>>);

/// A failure that was not followed by another is over by then: every watch tries again sooner.
const FORGOTTEN: Duration = Duration::from_mins(1);

impl Trouble {
    pub(crate) fn failed(&self, error: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((error.to_owned(), Instant::now()));
    }

    /// The last failure, if it is not long ago.
    pub(crate) fn last(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(_, at)| at.elapsed() < FORGOTTEN).map(|(error, _)| error.clone())
    }
}
