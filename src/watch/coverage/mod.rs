//! Which pods of steps were injected, and why others were not: as metrics and as Events. `stepspan status` says the same of a moment.
//!
//! What admission wrote into a pod counts. Where it wrote nothing, [`judge`](crate::coverage::judge) says whether the pod was meant, once, by
//! what is true when it is first heard of: only then the API server is asked for policies and the webhook configuration.

mod pods;
mod tell;
mod windows;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

pub(super) use pods::Kind;

use self::pods::Pods;
use self::tell::Teller;
use self::windows::{Missed, Windows};
use super::config::Config;
use super::health::Health;
use crate::cluster::ask::Asker;
use crate::cluster::lease::Holder as _;
use crate::coverage::facts::Facts;
use crate::coverage::judge::{Cause, State, unmarked};
use crate::telemetry::events::rfc3339;

/// What is known of the cluster is asked for again after so long, where it is needed.
const FRESH: Duration = Duration::from_secs(10);
/// Pods that wait for that while the API server does not answer.
const WAITING: usize = 1_000;
/// A window that was over before this replica began is told where it is as young.
const YOUNG: Duration = Duration::from_mins(10);

/// What is heard of pods.
#[derive(Debug)]
pub(super) enum Sight {
    /// All are listed from here on.
    Listing,
    /// They have been.
    Listed,
    /// A pod is so.
    Pod(Box<Seen>),
    /// The one with this UID was deleted.
    Gone(String),
}

/// A pod of a Workflow.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// As Kubernetes writes it.
    pub(super) created: String,
    /// What admission wrote into it.
    pub(super) status: Option<String>,
    /// Its metadata and spec, where admission wrote nothing.
    pub(super) whole: Value,
}

/// Of one term of the Lease's holder.
pub(super) struct Coverage {
    asker: Asker,
    /// Namespace and name of the install whose webhook and policies count; without it what admission has not marked is not judged.
    install: Option<(String, String)>,
    facts: Option<(Instant, Facts)>,
    /// When the last question failed.
    failed: Option<Instant>,
    pods: Pods,
    windows: Windows,
    /// Those that were missed, while they are listed.
    listed: Vec<(u64, Missed)>,
    /// Those that could not be judged yet.
    waiting: VecDeque<Box<Seen>>,
    teller: Teller,
    health: Arc<Health>,
}

impl Coverage {
    pub(super) fn new(client: Client, config: &Config, health: Arc<Health>) -> Self {
        Self {
            asker: Asker::new(client.clone()),
            install: config.install.clone().map(|name| (config.namespace.clone(), name)),
            facts: None,
            failed: None,
            pods: Pods::default(),
            windows: Windows::default(),
            listed: Vec::new(),
            waiting: VecDeque::new(),
            teller: Teller::new(client, config.identity.clone(), Arc::clone(&health)),
            health,
        }
    }

    /// Hears of pods until nobody tells of them any more.
    pub(super) async fn run(mut self, mut sights: mpsc::Receiver<Sight>) {
        let mut again = tokio::time::interval(FRESH);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                sight = sights.recv() => match sight {
                    Some(sight) => self.hear(sight).await,
                    None => return,
                },
                _ = again.tick() => {
                    for seen in std::mem::take(&mut self.waiting) {
                        if self.pods.exists(self.pods.key(&seen.uid)) {
                            self.pod(seen).await;
                        }
                    }
                }
            }
            self.show();
        }
    }

    async fn hear(&mut self, sight: Sight) {
        match sight {
            Sight::Listing => {
                self.pods.listing();
                self.listed.clear();
            }
            Sight::Listed => self.all_listed().await,
            Sight::Pod(seen) => self.pod(seen).await,
            Sight::Gone(uid) => self.pods.gone(self.pods.key(&uid)),
        }
    }

    async fn pod(&mut self, seen: Box<Seen>) {
        let key = self.pods.key(&seen.uid);
        let is_judged = self.pods.is_judged(key);
        if let Some(status) = &seen.status {
            let state = State::written(status);
            self.pods.is(key, Kind::of(&state));
            if state == State::Injected {
                for window in self.windows.injected(&seen.namespace, &seen.created) {
                    self.teller.over(&window).await;
                }
            }
            return;
        }
        if is_judged {
            return;
        }
        let is_listing = self.pods.is_listing();
        let Some(facts) = self.facts().await else {
            self.pods.is(key, Kind::UNMARKED);
            if self.install.is_some() && self.waiting.len() < WAITING {
                self.waiting.push_back(seen);
            }
            return;
        };
        let mut state = unmarked(&seen.whole, &seen.namespace, &seen.created, facts);
        // Of those that are listed the newest injected one is not known yet.
        if state == State::Missed(Cause::Unanswered) && !is_listing {
            state = State::Missed(facts.stopped(&seen.namespace).unwrap_or(Cause::Unanswered));
        }
        self.pods.is(key, Kind::of(&state));
        let State::Missed(cause) = state else { return };
        let Seen { uid, namespace, name, created, .. } = *seen;
        let missed = Missed { namespace, created, cause, pod: [name, uid] };
        if is_listing {
            self.listed.push((key, missed));
        } else {
            self.missed(missed, true).await;
        }
    }

    /// What was listed can be told apart now: what stops injection stopped it since the last pod that was injected.
    async fn all_listed(&mut self) {
        self.pods.listed();
        for (key, mut missed) in std::mem::take(&mut self.listed) {
            let stopped = self.facts.as_ref().and_then(|(_, facts)| facts.stopped(&missed.namespace));
            if let (Cause::Unanswered, Some(cause)) = (missed.cause, stopped)
                && !self.windows.was_injected_since(&missed.namespace, &missed.created)
            {
                missed.cause = cause;
                self.pods.is(key, Kind::of(&State::Missed(cause)));
            }
            self.missed(missed, false).await;
        }
        let young = rfc3339(OffsetDateTime::from(SystemTime::now() - YOUNG));
        for window in self.windows.open().filter(|window| window.to > young) {
            self.teller.open(window).await;
        }
    }

    async fn missed(&mut self, missed: Missed, tells: bool) {
        let Some(window) = self.windows.missed(missed) else { return };
        self.health.metrics.missed_pods(window.cause.word(), &window.from, &window.to);
        if tells {
            self.teller.open(window).await;
        }
    }

    /// What is true of the cluster, not older than [`FRESH`] as far as the API server answers.
    async fn facts(&mut self) -> Option<&Facts> {
        let (namespace, name) = self.install.as_ref()?;
        let is_due = |since: Instant| since.elapsed() > FRESH;
        let is_old = self.facts.as_ref().is_none_or(|(since, _)| is_due(*since));
        if is_old && self.failed.is_none_or(is_due) {
            match Facts::of_install(&self.asker, namespace, name).await {
                Ok(facts) => (self.facts, self.failed) = (Some((Instant::now(), facts)), None),
                Err(refusal) => {
                    self.failed = Some(Instant::now());
                    self.health.failed(format!("what injects, and into what: {refusal}"));
                }
            }
        }
        self.facts.as_ref().map(|(_, facts)| facts)
    }

    fn show(&self) {
        for (kind, count) in self.pods.counts() {
            self.health.metrics.step_pods.get_or_create(&kind.labels()).set(*count);
        }
    }
}
