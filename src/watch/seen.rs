//! What is known of every Workflow that exists, and which of its spans are to be sent. No clock, no network of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counts::Labels;
use super::ledger::Ledger;
use super::watched::Watched;
use crate::trace::Run;
use crate::trace::pod::Pod;
use crate::trace::span::Span;
use crate::trace::status::Time;

/// Workflows that were deleted with spans that are not sent yet; more are forgotten, and their spans are counted as missed.
const DEPARTED: usize = 1_000;

/// The span of one run of a node; of the Workflow itself, where the node's id is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The Workflow's UID.
    pub workflow: String,
    /// The node's id.
    pub node: String,
    /// When this run of it began.
    pub started: Time,
}

/// A Workflow, as people call it, and how often it was worked on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How often it was worked on, this time too.
    pub times: u64,
    /// How often in a row that failed before.
    pub retry: u64,
}

/// A span that has ended and was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which one it is.
    pub key: Key,
    /// Whose it is.
    pub object: Arc<Object>,
    /// What is sent.
    pub span: Span,
}

/// What goes on now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Active {
    /// The labels of every step that runs.
    pub labels: BTreeSet<Labels>,
    /// How many steps run, by repo.
    pub steps: BTreeMap<String, u64>,
    /// The pull requests whose Workflows go on, by repo.
    pub prs: BTreeMap<String, BTreeSet<String>>,
}

/// Every Workflow that exists, and some that do not any more.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was counted, and what was sent, by this replica and by those before it.
    pub ledger: Ledger,
    workflows: HashMap<String, Watched>,
    /// Those that have something to send, or to wait for.
    open: BTreeSet<String>,
    departed: usize,
    missed: u64,
    uncounted: u64,
    /// Those whose nodes cannot be read, and how often in a row that was so.
    unread: BTreeMap<String, u64>,
    /// While they are listed: those that were not named yet.
    unlisted: Option<BTreeSet<String>>,
}

impl Seen {
    /// Nothing is seen yet, but for what is in the ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// All Workflows are listed from here on.
    pub fn listing(&mut self) {
        self.unread.clear();
        self.unlisted =
            Some(self.workflows.iter().filter(|(_, one)| !one.is_gone).map(|(uid, _)| uid.clone()).collect());
    }

    /// They have all been listed: what was not among them is not there any more.
    pub fn listed(&mut self, now: Instant) {
        for uid in self.unlisted.take().unwrap_or_default() {
            self.gone(&uid, now);
        }
        let is_there =
            |uid: &&String| self.workflows.get(*uid).is_some_and(|one| !one.is_new()) || self.unread.contains_key(*uid);
        let known: Vec<String> = self.ledger.workflows().filter(|uid| !is_there(uid)).cloned().collect();
        for uid in known {
            self.lose(&uid);
        }
    }

    /// Of a Workflow that is not there any more nothing but the ledger is known.
    fn lose(&mut self, uid: &str) {
        let lost = self.ledger.forget(uid);
        self.uncounted += lost.steps;
        self.missed += lost.spans;
    }

    /// A Workflow is there, though nothing else is known of it: what was counted of it stays counted. Gives how often that was so before.
    pub fn exists(&mut self, uid: &str) -> u64 {
        if let Some(unlisted) = &mut self.unlisted {
            unlisted.remove(uid);
        }
        if let Some(one) = self.workflows.get_mut(uid) {
            one.is_unread = true;
        }
        let times = self.unread.entry(uid.to_owned()).or_default();
        *times += 1;
        *times - 1
    }

    /// A Workflow is as it is said here.
    pub fn workflow(&mut self, run: Run, now: Instant) {
        if let Some(unlisted) = &mut self.unlisted {
            unlisted.remove(&run.uid);
        }
        let uid = run.uid.clone();
        self.unread.remove(&uid);
        let one = self.workflows.entry(uid.clone()).or_default();
        one.is_unread = false;
        one.times += 1;
        one.known.pods.retain(|_, pod| pod.settle(&run.namespace));
        one.keep(&run, &mut self.ledger);
        self.uncounted += one.note(&run, &mut self.ledger, now);
        if one.is_settled(&run) {
            one.let_go();
            self.ledger.settled(&uid);
        } else {
            one.run = Some(run);
            self.open.insert(uid);
        }
    }

    /// A Workflow was deleted.
    pub fn gone(&mut self, uid: &str, now: Instant) {
        if self.unread.remove(uid).is_some() && !self.workflows.contains_key(uid) {
            self.lose(uid);
        }
        let Some(one) = self.workflows.get_mut(uid).filter(|one| !one.is_gone) else { return };
        one.is_gone = true;
        one.count_now(uid, &mut self.ledger);
        one.cut_off(now, self.ledger.time());
        // Its spans are sent, or counted below.
        self.uncounted += self.ledger.forget(uid).steps;
        let waits = one.unsent();
        if waits == 0 || self.departed == DEPARTED {
            self.missed += waits;
            self.forget(uid);
        } else {
            self.departed += 1;
        }
    }

    /// A step's pod is as it is said here.
    pub fn pod(&mut self, mut pod: Pod) {
        let one = self.workflows.entry(std::mem::take(&mut pod.workflow)).or_default();
        // Whoever knows a UID can make a pod that names it, in a namespace of his own.
        let is_foreign = one.run.as_ref().is_some_and(|run| !pod.settle(&run.namespace));
        // Of a run that is all sent nothing is kept, but of one that begins anew its pods may be heard of first.
        let is_wanted =
            one.run.is_some() || one.is_new() || !pod.has_ended || one.known.pods.contains_key(&pod.node_id);
        if is_wanted && !is_foreign {
            one.known.pods.insert(std::mem::take(&mut pod.node_id), pod);
        }
    }

    /// A step's pod was deleted, and this was its last word.
    pub fn pod_gone(&mut self, mut pod: Pod) {
        pod.has_ended = true;
        let is_of_nobody = self.workflows.get(&pod.workflow).is_none_or(Watched::is_new);
        if !is_of_nobody {
            return self.pod(pod);
        }
        // A pod of a Workflow that nobody has seen.
        let Some(one) = self.workflows.get_mut(&pod.workflow) else { return };
        if one.known.pods.get(&pod.node_id).is_some_and(|known| known.namespace == pod.namespace) {
            one.known.pods.remove(&pod.node_id);
        }
        if one.known.pods.is_empty() {
            self.workflows.remove(&pod.workflow);
        }
    }

    /// Workflows of which something may be counted or sent now.
    pub fn ready(&self, now: Instant) -> Vec<String> {
        let is_ready = |uid: &&String| self.workflows.get(*uid).is_some_and(|one| one.is_ready(now));
        self.open.iter().filter(is_ready).cloned().collect()
    }

    /// Counts the steps of a Workflow that have ended and whose pods have said their last; how many those are.
    pub fn count(&mut self, uid: &str, now: Instant) -> usize {
        self.workflows.get_mut(uid).map_or(0, |one| one.count(uid, &mut self.ledger, now))
    }

    /// Up to `room` spans of a Workflow that are to be sent, which then count as queued.
    pub fn take(&mut self, uid: &str, now: Instant, room: usize) -> Vec<Due> {
        let Some(one) = self.workflows.get_mut(uid) else { return Vec::new() };
        let due = one.take(uid, &mut self.ledger, now, room);
        if one.is_done() {
            self.close(uid);
        }
        due
    }

    /// A Workflow as people call it; without a name where it is not known any more.
    pub fn object(&self, uid: &str) -> Object {
        self.workflows.get(uid).map(Watched::object).unwrap_or_default()
    }

    /// Spans have arrived.
    pub fn arrived(&mut self, keys: &[Key]) {
        for key in keys {
            if self.workflows.get_mut(&key.workflow).is_some_and(|one| one.arrived(key)) {
                self.ledger.sent(&key.workflow, &key.node);
            }
        }
        let of: BTreeSet<&str> = keys.iter().map(|key| key.workflow.as_str()).collect();
        for uid in of {
            if self.workflows.get(uid).is_some_and(Watched::is_done) {
                self.close(uid);
            }
        }
    }

    /// Spans that were not sent because their Workflow was deleted, since the last time this was asked.
    pub fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Steps that began and were never counted, because their Workflow was deleted first; since the last time this was asked.
    pub fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// The steps that run now, and the labels under which they will count.
    pub fn active(&mut self) -> Active {
        let mut active = Active::default();
        for uid in &self.open {
            if let Some(one) = self.workflows.get(uid) {
                one.keep_pods(uid, &mut self.ledger);
                one.show(&mut self.ledger, &mut active);
            }
        }
        active
    }

    /// How long the span has waited that waits longest to be sent, or for its pod's last word.
    pub fn lag(&self, now: Instant) -> Duration {
        let open = self.open.iter().filter_map(|uid| self.workflows.get(uid)?.waits_since());
        open.min().map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// How many Workflows are known, and how many of them have not ended or are not all sent.
    pub fn sizes(&self) -> (usize, usize) {
        (self.workflows.len(), self.open.len())
    }

    /// Lets go of what is only needed to make spans.
    fn close(&mut self, uid: &str) {
        self.open.remove(uid);
        let Some(one) = self.workflows.get_mut(uid) else { return };
        if one.is_gone {
            self.departed -= 1;
            self.forget(uid);
        } else {
            one.let_go();
            self.ledger.settled(uid);
        }
    }

    fn forget(&mut self, uid: &str) {
        self.workflows.remove(uid);
        self.open.remove(uid);
    }
}
