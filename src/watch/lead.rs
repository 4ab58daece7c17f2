//! What the holder of the Lease does: hears of changes, has spans sent, and shows counts once they are stored.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kube::Client;
use kube::api::ObjectMeta;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::config::Config;
use super::counts::{Labels, Sums};
use super::coverage::Coverage;
use super::deliver::Sender;
use super::follow::{self, Change};
use super::health::Health;
use super::ledger::Ledger;
use super::lists::{Lists, Pods};
use super::own::{End, Own, Work};
use super::seen::{Active, Due, Key, Object, Seen};
use super::steps::Steps;
use super::store::{Store, StoreError};
use super::tasks::AbortOnDrop;
use crate::cluster::lease::Holder as _;
use crate::telemetry::events::{Event, EventLog, Level};
use crate::trace::Run;

/// Changes that wait to be heard.
const CHANGES: usize = 256;
/// How often it is looked for what waited long enough.
const TICK: Duration = Duration::from_millis(500);
/// How often the ledger is stored, where it changed.
const STORE: Duration = Duration::from_secs(2);
/// On the way out: so long may what is queued take to arrive, and what was counted to be stored.
const LAST: Duration = Duration::from_secs(10);

/// Watches for as long as this is polled; ends when `stop` says so, and what is queued has had its time.
///
/// # Errors
/// The ledger cannot be read, or another replica has written it: what is known here is worth nothing then.
pub(super) async fn lead(
    client: Client,
    config: &Config,
    sender: &Arc<Sender>,
    health: &Arc<Health>,
    own: Option<&Own>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), StoreError> {
    let mut store = Store::new(client.clone(), &config.namespace, &config.lease);
    let mut ledger = Ledger::new(config.series, config.zero_for.as_secs());
    ledger.at(seconds());
    store.load(&mut ledger).await?;

    let (mut heard, mut tasks) = follow_all(client, config, health);
    let (queue, queued) = mpsc::channel::<Due>(config.queue);
    let (arrived, mut arrivals) = mpsc::unbounded_channel::<Vec<Key>>();
    let to = Arc::clone(sender);
    let delivery = tokio::spawn(async move { to.run(queued, arrived).await });
    let _delivery = AbortOnDrop::of(&delivery);

    let seen = Seen::new(ledger);
    let shows = config.step_metrics;
    let mut leader = Leader {
        seen,
        store,
        queue,
        storing: None,
        active: Active::default(),
        lists: Lists::default(),
        is_stale: true,
        shows,
        own,
        health,
    };
    let (mut tick, mut storing) = (tokio::time::interval(TICK), tokio::time::interval(STORE));
    // Whoever is late must not do nothing else from then on.
    for interval in [&mut tick, &mut storing] {
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            done = leader.stored() => leader.show_stored(done)?,
            Some(keys) = arrivals.recv() => leader.seen.arrived(&keys),
            _ = tick.tick() => leader.send(),
            _ = storing.tick() => leader.store(),
            // The last, as it may be ready for long: thousands of Workflows are listed.
            Some(change) = heard.recv() => leader.hear(change),
        }
    }
    tasks.shutdown().await;
    leader.send();
    let (closed, _) = mpsc::channel(1);
    leader.queue = closed;
    // What has not arrived by then is sent by the next holder.
    let _ = tokio::time::timeout(LAST, delivery).await;
    while let Ok(keys) = arrivals.try_recv() {
        leader.seen.arrived(&keys);
    }
    tokio::time::timeout(LAST, leader.store_last()).await.unwrap_or(Ok(()))
}

fn follow_all(client: Client, config: &Config, health: &Arc<Health>) -> (mpsc::Receiver<Change>, JoinSet<()>) {
    let (changes, heard) = mpsc::channel(CHANGES);
    let mut tasks = JoinSet::new();
    let (one, only, tell, to) = (client.clone(), config.only.clone(), Arc::clone(health), changes.clone());
    tasks.spawn(async move { follow::workflows(one, only.as_deref(), to, &*tell).await });
    let (sights, seen) = mpsc::channel(CHANGES);
    tasks.spawn(Coverage::new(client.clone(), config, Arc::clone(health)).run(seen));
    let (only, tell, to) = (config.only.clone(), Arc::clone(health), (changes, sights));
    tasks.spawn(async move { follow::pods(client, only.as_deref(), to, &*tell).await });
    (heard, tasks)
}

/// A shard, its sums, and what became of writing it.
type Written = (usize, BTreeMap<Labels, Sums>, Result<ObjectMeta, StoreError>);

struct Leader<'h> {
    seen: Seen,
    store: Store,
    queue: mpsc::Sender<Due>,
    storing: Option<JoinHandle<Vec<Written>>>,
    active: Active,
    lists: Lists,
    /// Something was heard since the last time that steps were shown.
    is_stale: bool,
    /// Whether the metrics of steps are shown.
    shows: bool,
    own: Option<&'h Own>,
    health: &'h Health,
}

impl Leader<'_> {
    fn hear(&mut self, change: Change) {
        self.is_stale = true;
        match change {
            Change::Listing => self.seen.listing(),
            Change::Listed => {
                self.seen.listed(Instant::now());
                self.lists.workflows = Some(Instant::now());
                self.health.metrics.listed.set(1);
            }
            Change::Workflow(run, read) => self.workflow(*run, read),
            Change::Unreadable(uid, called, why) => self.unreadable(&uid, called, &why.to_string()),
            Change::WorkflowGone(uid) => self.seen.gone(&uid, Instant::now()),
            Change::Pod(pod) => {
                self.lists.pod_heard();
                self.seen.pod(*pod);
            }
            Change::PodGone(pod) => {
                self.lists.pod_heard();
                self.seen.pod_gone(*pod);
            }
            Change::PodsListing => self.lists.pods = Pods::Listing,
            Change::PodsListed => self.lists.pods = Pods::Followed,
            Change::PodsLost => self.lists.pods_lost(),
        }
    }

    /// A Workflow is so now; it waited since it was read.
    fn workflow(&mut self, run: Run, read: Instant) {
        let mut work = Work::begin(self.own, "change");
        work.waited("wait", read);
        let (uid, now) = (run.uid.clone(), Instant::now());
        // Of one that is settled nothing is kept, its name neither.
        let called = self.own.map(|_| [run.namespace.clone(), run.name.clone()]);
        work.stage("note", || self.seen.workflow(run, now));
        let called = called.map(|[namespace, name]| Object { namespace, name, ..self.seen.object(&uid) });
        if self.lists.are_done() {
            self.process(&uid, now, &mut work);
        }
        work.end(|| called.unwrap_or_default(), &End::Done);
    }

    fn unreadable(&mut self, uid: &str, [namespace, name]: [String; 2], why: &str) {
        let work = Work::begin(self.own, "change");
        let retry = self.seen.exists(uid);
        self.health.metrics.unreadable.inc();
        // Each change of it is one more.
        if retry == 0 {
            tell_unreadable(&self.health.events, &format!("{namespace}/{name}"), why);
        }
        work.end(|| Object { namespace, name, times: retry + 1, retry }, &End::Failed(why.to_owned()));
    }

    /// Counts what has ended of a Workflow, and puts it into the queue as far as there is room: what is not taken now is made again later.
    /// Gives how much that was.
    fn process(&mut self, uid: &str, now: Instant, work: &mut Work<'_>) -> usize {
        let counted = work.stage("count", || self.seen.count(uid, now));
        let due = work.stage("spans", || self.seen.take(uid, now, self.queue.capacity()));
        let taken = due.len();
        work.stage("queue", || {
            for due in due {
                // There is room for it, and the other end is kept.
                let _ = self.queue.try_send(due);
            }
        });
        counted + taken
    }

    /// Looks for what has waited long enough.
    fn send(&mut self) {
        self.seen.ledger.at(seconds());
        if !self.lists.are_done() {
            return;
        }
        let now = Instant::now();
        for uid in self.seen.ready(now) {
            let mut work = Work::begin(self.own, "tick");
            let called = self.own.map(|_| self.seen.object(&uid));
            // A queue that is full is no work.
            if self.process(&uid, now, &mut work) > 0 {
                work.end(|| called.unwrap_or_default(), &End::Done);
            }
        }
        self.show(now);
    }

    /// Begins to store what changed; one such round at a time.
    fn store(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            self.active = self.seen.active();
        }
        if self.lists.are_done() {
            self.seen.ledger.drop_over(&self.active.labels);
        }
        self.show_steps();
        if self.storing.is_some() {
            return;
        }
        let changed = self.seen.ledger.changed();
        if changed.is_empty() {
            return;
        }
        let store = self.store.clone();
        self.storing = Some(tokio::spawn(async move {
            let mut written = Vec::new();
            for (shard, bytes, sums) in changed {
                let result = store.write(shard, &bytes).await;
                written.push((shard, sums, result));
            }
            written
        }));
    }

    /// Waits until a round is over; for ever where there is none.
    async fn stored(&mut self) -> Vec<Written> {
        let Some(storing) = &mut self.storing else { return std::future::pending().await };
        let written = storing.await.unwrap_or_default();
        self.storing = None;
        written
    }

    /// What is stored may be shown.
    fn show_stored(&mut self, written: Vec<Written>) -> Result<(), StoreError> {
        for (shard, sums, result) in written {
            match result {
                Ok(metadata) => {
                    self.store.written(shard, metadata);
                    self.seen.ledger.stored(shard, sums);
                }
                Err(conflict @ StoreError::Conflict(_)) => return Err(conflict),
                Err(error) => {
                    self.seen.ledger.not_stored(shard);
                    self.health.failed(error.to_string());
                }
            }
        }
        self.show_steps();
        Ok(())
    }

    async fn store_last(&mut self) -> Result<(), StoreError> {
        for _ in 0..2 {
            self.store();
            if self.storing.is_some() {
                let written = self.stored().await;
                self.show_stored(written)?;
            }
        }
        Ok(())
    }

    fn show(&mut self, now: Instant) {
        let metrics = &self.health.metrics;
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (known, open) = self.seen.sizes();
        metrics.workflows.set(gauge(known));
        metrics.open.set(gauge(open));
        metrics.lag.set(i64::try_from(self.seen.lag(now).as_secs()).unwrap_or(i64::MAX));
        metrics.queued.set(gauge(self.queue.max_capacity() - self.queue.capacity()));
        metrics.uncounted.inc_by(self.seen.take_uncounted());
        metrics.capped.set(gauge(self.seen.ledger.capped()));
        let missed = self.seen.take_missed();
        if missed > 0 {
            metrics.missed.inc_by(missed);
            let why = "Workflows were deleted before their spans could be sent";
            self.health.events.emit(&Event::error("missed", json!({"spans": missed}), why));
        }
    }

    fn show_steps(&mut self) {
        if !self.shows {
            return;
        }
        let ledger = &mut self.seen.ledger;
        let sums = ledger.shown(&self.active.labels);
        let steps = Steps { sums, active: self.active.clone(), exemplars: ledger.exemplars().clone() };
        *self.health.metrics.steps.lock().unwrap_or_else(PoisonError::into_inner) = Some(steps);
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        // Whatever is shown from now on is another's.
        *self.health.metrics.steps.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let metrics = &self.health.metrics;
        for gauge in [&metrics.listed, &metrics.open, &metrics.lag, &metrics.queued, &metrics.undelivered] {
            gauge.set(0);
        }
        metrics.no_pods();
        if let Some(storing) = &self.storing {
            storing.abort();
        }
    }
}

fn tell_unreadable(events: &EventLog, name: &str, why: &str) {
    let payload = json!({"workflow": name});
    events.emit(&Event { level: Level::Warn, ..Event::error("workflow", payload, why) });
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
