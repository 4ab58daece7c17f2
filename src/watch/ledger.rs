//! What was counted, and of which nodes: in shards, each of which is stored whole.
//!
//! Counts are shown only after they are stored ([`Ledger::stored`]), so whoever dies has shown no more than the next holder finds. A shard
//! has both the nodes of its Workflows and the sums that came of them: they cannot part.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use serde::{Deserialize, Serialize};

use super::counts::{Counted, Labels, Sums, bucket};
use super::kept::KeptPods;
use super::marks::{Mark, Marks, number, pack, seconds, unpack};
use crate::identity;
use crate::trace::kept;
use crate::trace::outcome::Outcome;
use crate::trace::pod::Pod;
use crate::trace::status::{SECOND, Time};

/// Shards. Another number would look for Workflows where they are not.
pub const SHARDS: usize = 16;
/// The form in which they are stored.
const VERSION: u32 = 1;
/// So many label sets that others stand for are told apart.
const MOST_CAPPED: usize = 1_000_000;
/// How long a series of a pull request or task is shown after its last step, and after its run.
pub const SHOWN_FOR: u64 = 15 * 60;
/// How long any other: else the names of what is not run any more would take the room of all label sets in the end.
pub const KEPT_FOR: u64 = 7 * 24 * 3600;

/// What of a Workflow can be neither counted nor sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Steps that began and were never counted.
    pub steps: u64,
    /// Spans that never arrived.
    pub spans: u64,
}

/// The last step that came into a bucket and has a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemplar {
    /// Its trace.
    pub trace: String,
    /// How long it took.
    pub took_ms: u64,
    /// When it ended.
    pub at: Time,
}

/// By labels, then by outcome and bucket.
pub type Exemplars = BTreeMap<Labels, BTreeMap<(Outcome, usize), Exemplar>>;

/// All shards.
#[derive(Debug, Default)]
pub struct Ledger {
    shards: [Shard; SHARDS],
    /// The clock, in seconds since 1970: nothing here looks at one.
    now: u64,
    /// Most label sets; 0 is no bound.
    most: usize,
    known: BTreeSet<Labels>,
    /// How long, in seconds, a new series is shown at 0 before anything else: so long takes a scrape to come by.
    zero_for: u64,
    /// When each series was shown for the first time, by whichever holder; 0 where that was not kept.
    first: BTreeMap<Labels, u64>,
    /// When steps of these labels ran for the last time; of those of a holder before, since when this one knows them.
    ran: BTreeMap<Labels, u64>,
    /// Labels that others stand for, by their hash.
    capped: HashSet<u64>,
    hasher: RandomState,
    /// Not stored: the next holder has its own.
    exemplars: Exemplars,
}

#[derive(Debug, Default)]
struct Shard {
    workflows: BTreeMap<String, Marks>,
    pods: BTreeMap<String, KeptPods>,
    sums: BTreeMap<Labels, Sums>,
    shown: BTreeMap<Labels, Sums>,
    is_dirty: bool,
}

/// A shard as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    shards: usize,
    workflows: BTreeMap<String, String>,
    #[serde(default)]
    pods: BTreeMap<String, KeptPods>,
    sums: Vec<(Labels, Sums)>,
}

/// A stored shard cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no ledger.
    #[error("not a ledger: {0}")]
    Form(String),
    /// Another release wrote it.
    #[error("of version {0} with {1} shards, where this release has {VERSION} and {SHARDS}")]
    Version(u32, usize),
}

impl Ledger {
    /// An empty one, with room for `most` label sets, each of which is shown at 0 for so many seconds first.
    pub fn new(most: usize, zero_for: u64) -> Self {
        Self { most, zero_for, ..Self::default() }
    }

    /// The clock moves on.
    pub fn at(&mut self, now: u64) {
        self.now = now;
    }

    /// What the clock says.
    pub fn time(&self) -> Time {
        self.now * SECOND
    }

    /// A node has begun, or begun again.
    pub fn begin(&mut self, workflow: &str, node: &str, (first, last): (Time, Time), is_step: bool) {
        let mark = Mark { first: seconds(first), last: seconds(last), is_step, ..Mark::default() };
        let shard = self.shard(workflow);
        let marks = shard.workflows.entry(workflow.to_owned()).or_default();
        if marks.insert(number(node), mark).is_some()
            && let Some(kept) = shard.pods.get_mut(workflow)
        {
            kept.remove(number(node));
        }
        shard.is_dirty = true;
    }

    /// These pods of nodes are known: what counts of those that are new is kept.
    pub fn keep<'p>(&mut self, workflow: &str, pods: impl Iterator<Item = (&'p String, &'p Pod)>) {
        let shard = self.shard(workflow);
        let known = shard.pods.get(workflow);
        let pods = pods.map(|(node, pod)| (number(node), pod));
        let new: Vec<_> = pods.filter(|(node, _)| known.is_none_or(|known| !known.has(*node))).collect();
        if new.is_empty() {
            return;
        }
        let kept = shard.pods.entry(workflow.to_owned()).or_default();
        for (node, pod) in new {
            kept.keep(node, kept::kept(pod));
        }
        shard.is_dirty = true;
    }

    /// What is kept of the pods of a Workflow.
    pub fn kept(&self, workflow: &str) -> Option<&KeptPods> {
        self.shards[shard_of(workflow)].pods.get(workflow)
    }

    /// All of a Workflow is counted and sent: of its pods nothing more is needed.
    pub fn settled(&mut self, workflow: &str) {
        let shard = self.shard(workflow);
        shard.is_dirty |= shard.pods.remove(workflow).is_some();
    }

    /// A step has ended: once for each of its runs.
    pub fn count(&mut self, workflow: &str, node: &str, mut counted: Counted) {
        counted.labels = self.fit(counted.labels);
        let now = self.now;
        let began = *self.first.entry(counted.labels.clone()).or_insert(now);
        let shard = self.shard(workflow);
        let marks = shard.workflows.entry(workflow.to_owned()).or_default();
        let mark = marks.entry(number(node)).or_default();
        if std::mem::replace(&mut mark.counted, true) {
            return;
        }
        shard.sums.entry(counted.labels.clone()).or_default().add(&counted, now, began);
        shard.is_dirty = true;
        let Counted { labels, outcome, took_ms, at, trace } = counted;
        if let Some(trace) = trace {
            let of_labels = self.exemplars.entry(labels).or_default();
            of_labels.insert((outcome, bucket(took_ms)), Exemplar { trace, took_ms, at });
        }
    }

    /// The span of a node's last run has arrived, or is not to be sent.
    pub fn sent(&mut self, workflow: &str, node: &str) {
        let shard = self.shard(workflow);
        let mark = shard.workflows.get_mut(workflow).and_then(|marks| marks.get_mut(&number(node)));
        if let Some(mark) = mark.filter(|mark| !mark.sent) {
            mark.sent = true;
            shard.is_dirty = true;
        }
    }

    /// A Workflow is not there any more.
    pub fn forget(&mut self, workflow: &str) -> Lost {
        let shard = self.shard(workflow);
        shard.pods.remove(workflow);
        let Some(marks) = shard.workflows.remove(workflow) else { return Lost::default() };
        shard.is_dirty = true;
        let steps = marks.values().filter(|mark| mark.is_step && !mark.counted).count() as u64;
        Lost { steps, spans: marks.values().filter(|mark| !mark.sent).count() as u64 }
    }

    /// What is known of a Workflow from before.
    pub fn marks(&self, workflow: &str) -> Option<&Marks> {
        self.shards[shard_of(workflow)].workflows.get(workflow)
    }

    /// Every Workflow that anything is known of.
    pub fn workflows(&self) -> impl Iterator<Item = &String> {
        self.shards.iter().flat_map(|shard| shard.workflows.keys())
    }

    /// Labels under which there is room.
    pub fn fit(&mut self, labels: Labels) -> Labels {
        if self.known.contains(&labels) {
            return labels;
        }
        let fitting = if self.most == 0 || self.known.len() < self.most {
            labels
        } else {
            if self.capped.len() < MOST_CAPPED {
                self.capped.insert(self.hasher.hash_one(&labels));
            }
            let any = labels.of_any_task();
            // A tenth more, for what stands for many.
            let is_known = self.known.contains(&any) || self.known.len() < self.most + self.most / 10;
            if any != labels && is_known { any } else { Labels::of_anything() }
        };
        self.known.insert(fitting.clone());
        fitting
    }

    /// How many label sets stand under others, since this replica leads; a million at most.
    pub fn capped(&self) -> usize {
        self.capped.len()
    }

    /// The shards that differ from what is stored, as they are to be stored.
    pub fn changed(&mut self) -> Vec<(usize, Vec<u8>, BTreeMap<Labels, Sums>)> {
        let mut changed = Vec::new();
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if std::mem::take(&mut shard.is_dirty) {
                changed.push((at, shard.encode(), shard.sums.clone()));
            }
        }
        changed
    }

    /// A shard was stored with these sums: they may be shown.
    pub fn stored(&mut self, shard: usize, mut sums: BTreeMap<Labels, Sums>) {
        let shard = &mut self.shards[shard];
        // What was dropped while this was stored stays dropped.
        sums.retain(|labels, _| shard.sums.contains_key(labels));
        shard.shown = sums;
    }

    /// A shard was not stored.
    pub fn not_stored(&mut self, shard: usize) {
        self.shards[shard].is_dirty = true;
    }

    /// Takes a shard as it was stored.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn restore(&mut self, shard: usize, bytes: &[u8]) -> Result<(), Unreadable> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| Unreadable::Form(error.to_string()))?;
        if (stored.version, stored.shards) != (VERSION, SHARDS) {
            return Err(Unreadable::Version(stored.version, stored.shards));
        }
        let marks = |(uid, text): (String, String)| Some((uid, unpack(&text)?));
        let workflows = stored.workflows.into_iter().map(marks).collect::<Option<_>>();
        let workflows = workflows.ok_or_else(|| Unreadable::Form("the nodes of a Workflow".into()))?;
        let sums: BTreeMap<_, _> = stored.sums.into_iter().collect();
        self.known.extend(sums.keys().cloned());
        for (labels, sums) in &sums {
            let first = self.first.entry(labels.clone()).or_insert(sums.first);
            *first = (*first).min(sums.first);
            // A pull request's step may run still. Of what is for all of them the last step says enough.
            let ran = self.ran.entry(labels.clone()).or_default();
            *ran = if labels.are_fleeting() { self.now } else { sums.last.max(*ran) };
        }
        self.shards[shard] = Shard { workflows, pods: stored.pods, shown: sums.clone(), sums, is_dirty: false };
        Ok(())
    }

    /// What may be shown: all that is stored. `active` are labels of steps that run; they are there at 0.
    pub fn shown(&mut self, active: &BTreeSet<Labels>) -> BTreeMap<Labels, Sums> {
        let mut all: BTreeMap<Labels, Sums> = active.iter().map(|labels| (labels.clone(), Sums::default())).collect();
        for (labels, sums) in self.shards.iter().flat_map(|shard| &shard.shown) {
            all.entry(labels.clone()).or_default().merge(sums);
        }
        for (labels, sums) in &mut all {
            let first = *self.first.entry(labels.clone()).or_insert(self.now);
            if first > 0 && first + self.zero_for > self.now {
                *sums = Sums::default();
            }
            sums.first = first;
        }
        all
    }

    /// The last step of each bucket that has a trace.
    pub fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// Drops what is over for long, also from what is shown: a series that went and came again with what it had would count twice.
    pub fn drop_over(&mut self, active: &BTreeSet<Labels>) {
        let mut last = std::mem::take(&mut self.ran);
        last.extend(active.iter().map(|labels| (labels.clone(), self.now)));
        for (labels, sums) in self.shards.iter().flat_map(|shard| &shard.sums) {
            let known = last.entry(labels.clone()).or_default();
            *known = sums.last.max(*known);
        }
        last.retain(|labels, last| !self.is_over(labels, *last));
        self.ran = last;
        for shard in &mut self.shards {
            let before = shard.sums.len();
            shard.sums.retain(|labels, _| self.ran.contains_key(labels));
            shard.shown.retain(|labels, _| self.ran.contains_key(labels));
            shard.is_dirty |= shard.sums.len() != before;
        }
        let of_sums = self.shards.iter().flat_map(|shard| shard.sums.keys());
        self.known = active.iter().chain(of_sums).cloned().collect();
        self.first.retain(|labels, _| self.ran.contains_key(labels));
        self.exemplars.retain(|labels, _| self.ran.contains_key(labels));
    }

    fn is_over(&self, labels: &Labels, last: u64) -> bool {
        let shown_for = if labels.are_fleeting() { SHOWN_FOR } else { KEPT_FOR };
        last + shown_for < self.now
    }

    fn shard(&mut self, workflow: &str) -> &mut Shard {
        &mut self.shards[shard_of(workflow)]
    }
}

impl Shard {
    fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            shards: SHARDS,
            workflows: self.workflows.iter().map(|(uid, marks)| (uid.clone(), pack(marks))).collect(),
            pods: self.pods.clone(),
            sums: self.sums.iter().map(|(labels, sums)| (labels.clone(), sums.clone())).collect(),
        };
        // Texts and numbers under texts: JSON has them all.
        serde_json::to_vec(&stored).unwrap_or_default()
    }
}

/// By the UID's hash, so that shards are alike in size.
fn shard_of(workflow: &str) -> usize {
    usize::from_str_radix(&identity::hex(workflow, 4), 16).unwrap_or(0) % SHARDS
}
