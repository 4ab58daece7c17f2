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
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

pub(super) use pods::Kind;

use self::pods::Pods;
use self::tell::Teller;
use self::windows::{Missed, Windows};
use super::config::Config;
use super::health::Health;
use crate::cluster::ask::{Answer, Asker, Refusal};
use crate::cluster::lease::Holder as _;
use crate::coverage::facts::Facts;
use crate::coverage::judge::{Cause, State, unmarked};
use crate::telemetry::events::rfc3339;

/// What is known of the cluster is asked for again after so long, where it is needed.
const FRESH: Duration = Duration::from_secs(10);
/// Pods that wait for that.
const WAITING: usize = 1_000;
/// A window is told where its last pod is as young.
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
    /// What is true of the cluster, and when that was answered.
    facts: Option<(Instant, Facts)>,
    /// A question that goes on.
    asking: Option<JoinHandle<Answer<Facts>>>,
    /// When the last question failed.
    failed: Option<Instant>,
    pods: Pods,
    windows: Windows,
    /// Those that were missed, while they are listed.
    listed: Vec<(u64, Missed)>,
    /// Those that are judged once the question is answered.
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
            asking: None,
            failed: None,
            pods: Pods::default(),
            windows: Windows::default(),
            listed: Vec::new(),
            waiting: VecDeque::new(),
            teller: Teller::new(client, config.identity.clone(), Arc::clone(&health)),
            health,
        }
    }

    /// Hears of pods until nobody tells of them any more. It waits for no answer of the API server: whoever tells it of pods waits for nothing.
    pub(super) async fn run(mut self, mut sights: mpsc::Receiver<Sight>) {
        let mut again = tokio::time::interval(FRESH);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                sight = sights.recv() => match sight {
                    Some(sight) => self.hear(sight),
                    None => return,
                },
                answer = answered(&mut self.asking) => self.answered(answer),
                _ = again.tick() => {
                    self.teller.tell_over();
                    if !self.waiting.is_empty() {
                        self.ask();
                    }
                }
            }
            self.show();
        }
    }

    fn hear(&mut self, sight: Sight) {
        match sight {
            Sight::Listing => {
                self.pods.listing();
                self.listed.clear();
            }
            Sight::Listed => self.all_listed(),
            Sight::Pod(seen) => self.pod(seen),
            Sight::Gone(uid) => self.pods.gone(self.pods.key(&uid)),
        }
    }

    fn pod(&mut self, seen: Box<Seen>) {
        let key = self.pods.key(&seen.uid);
        let is_judged = self.pods.is_judged(key);
        if let Some(status) = &seen.status {
            let state = State::written(status);
            self.pods.is(key, Kind::of(&state));
            if state == State::Injected {
                let over = self.windows.injected(&seen.namespace, &seen.created);
                if !over.is_empty() {
                    self.teller.over(over, &seen);
                }
            }
        } else if !is_judged {
            self.unmarked(seen);
        }
    }

    /// Nobody wrote into it: judged by what is true of the cluster, not longer than [`FRESH`] ago as far as the API server answers.
    fn unmarked(&mut self, seen: Box<Seen>) {
        let key = self.pods.key(&seen.uid);
        let is_fresh = |facts: &&(Instant, Facts)| facts.0.elapsed() < FRESH;
        if let Some((_, facts)) = self.facts.as_ref().filter(is_fresh) {
            let state = unmarked(&seen.whole, &seen.namespace, &seen.created, facts);
            return self.judged(key, *seen, &state);
        }
        self.pods.is(key, Kind::UNMARKED);
        self.ask();
        if self.install.is_some() && self.waiting.len() < WAITING {
            self.waiting.push_back(seen);
        }
    }

    fn judged(&mut self, key: u64, seen: Seen, state: &State) {
        self.pods.is(key, Kind::of(state));
        let State::Missed(cause) = *state else { return };
        let Seen { uid, namespace, name, created, .. } = seen;
        let missed = Missed { namespace, created, cause, pod: [name, uid] };
        // Of those that are listed the newest injected one is not known yet.
        if self.pods.is_listing() {
            self.listed.push((key, missed));
        } else {
            self.missed(key, missed, true);
        }
    }

    fn all_listed(&mut self) {
        self.pods.listed();
        for (key, missed) in std::mem::take(&mut self.listed) {
            self.missed(key, missed, false);
        }
        let young = young();
        for window in self.windows.open().filter(|window| window.to > young) {
            self.teller.open(window);
        }
    }

    /// What stops injection now has stopped it since the last pod that was injected.
    fn missed(&mut self, key: u64, mut missed: Missed, tells: bool) {
        let stopped = self.facts.as_ref().and_then(|(_, facts)| facts.stopped(&missed.namespace));
        if let (Cause::Unanswered, Some(cause)) = (missed.cause, stopped)
            && !self.windows.was_injected_since(&missed.namespace, &missed.created)
        {
            missed.cause = cause;
            self.pods.is(key, Kind::of(&State::Missed(cause)));
        }
        let Some(window) = self.windows.missed(missed) else { return };
        self.health.metrics.missed_pods(window.cause.word(), &window.from, &window.to);
        if tells && window.to > young() {
            self.teller.open(window);
        }
    }

    /// Asks what is true of the cluster, unless that goes on, or has just failed.
    fn ask(&mut self) {
        let Some((namespace, name)) = self.install.clone() else { return };
        if self.asking.is_some() || self.failed.is_some_and(|failed| failed.elapsed() < FRESH) {
            return;
        }
        let asker = self.asker.clone();
        self.asking = Some(tokio::spawn(async move { Facts::of_install(&asker, &namespace, &name).await }));
    }

    fn answered(&mut self, answer: Answer<Facts>) {
        match answer {
            Ok(facts) => (self.facts, self.failed) = (Some((Instant::now(), facts)), None),
            Err(refusal) => {
                self.failed = Some(Instant::now());
                return self.health.failed(format!("what injects, and into what: {refusal}"));
            }
        }
        for seen in std::mem::take(&mut self.waiting) {
            if self.pods.exists(self.pods.key(&seen.uid)) {
                self.unmarked(seen);
            }
        }
    }

    fn show(&self) {
        for (kind, count) in self.pods.counts() {
            self.health.metrics.step_pods.get_or_create(&kind.labels()).set(*count);
        }
    }
}

/// Waits for the answer to a question; for ever where there is none.
async fn answered(asking: &mut Option<JoinHandle<Answer<Facts>>>) -> Answer<Facts> {
    let Some(question) = asking else { return std::future::pending().await };
    let answer = question.await;
    *asking = None;
    answer.unwrap_or_else(|error| Err(Refusal::Failed(error.to_string())))
}

/// What was later is told.
fn young() -> String {
    rfc3339(OffsetDateTime::from(SystemTime::now() - YOUNG))
}
