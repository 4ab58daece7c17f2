//! What is known of one Workflow: its nodes, when each began, and what of them was counted and sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stepspan_contract::attributes::clean;

use super::counts::{Counted, Labels};
use super::ledger::Ledger;
use super::marks::number;
use super::seen::{Active, Due, Key, Object};
use crate::trace::node::Node;
use crate::trace::outcome::{DELETED, Outcome};
use crate::trace::phase::Phase;
use crate::trace::pod::Pod;
use crate::trace::status::{SECOND, Time};
use crate::trace::{Known, Run, Spans, Tree, kept};

/// A Workflow and its pods come by two watches: so long is waited for what a pod says of a step that has ended.
const PATIENCE: Duration = Duration::from_secs(5);
const MILLISECOND: u64 = 1_000_000;

/// What has become of the span of a run of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// The run goes on, or waits.
    Not,
    /// It has ended; since when that is known.
    Ended(Instant),
    /// It is in the queue; since when it has ended.
    Queued(Instant),
    /// It has arrived, or is not to be sent.
    Done,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    first: Time,
    last: Time,
    sent: Sent,
    counted: bool,
}

/// What is known of one Workflow.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Until all of it is counted and sent.
    pub(super) run: Option<Run>,
    pub(super) known: Known,
    /// By node id; the Workflow itself by the empty one.
    starts: HashMap<String, Start>,
    /// Spans of runs that were begun anew before they could be sent.
    left: Vec<Due>,
    /// How often it was worked on.
    pub(super) times: u64,
    /// Not only its pods were seen.
    is_seen: bool,
    pub(super) is_gone: bool,
    /// Its nodes cannot be read any more.
    pub(super) is_unread: bool,
}

impl Watched {
    /// Whether only its pods were seen.
    pub(super) fn is_new(&self) -> bool {
        !self.is_seen
    }

    /// Before `new` is noted: what `argo retry` begins anew in it, or takes out of it, is counted and made a span as it was.
    pub(super) fn keep(&mut self, new: &Run, ledger: &mut Ledger) {
        let begun =
            |id: &str| if id.is_empty() { new.started } else { new.nodes.get(id).and_then(|node| node.started) };
        let lost = |(id, start): &(&String, &Start)| {
            begun(id) != Some(start.last) && (matches!(start.sent, Sent::Ended(_)) || !start.counted)
        };
        let lost: Vec<String> = self.starts.iter().filter(lost).map(|(id, _)| id.clone()).collect();
        if lost.is_empty() || self.run.is_none() {
            return;
        }
        self.count_these(&new.uid, &lost, ledger);
        let ended: Vec<String> = lost.into_iter().filter(|id| self.has_ended_unsent(id)).collect();
        let spans = self.spans(&new.uid, ended, ledger);
        self.left.extend(spans);
    }

    fn has_ended_unsent(&self, id: &str) -> bool {
        self.starts.get(id).is_some_and(|start| matches!(start.sent, Sent::Ended(_)))
    }

    /// Notes what has begun, again or for the first time, and what has ended.
    ///
    /// Gives how many steps were begun anew that were never counted: they ended while nobody watched.
    pub(super) fn note(&mut self, run: &Run, ledger: &mut Ledger, now: Instant) -> u64 {
        if !std::mem::replace(&mut self.is_seen, true) {
            self.recall(run, ledger);
        }
        let mut uncounted = 0;
        let over = run.phase.is_final();
        let root = run.started.map(|started| ("", started, over, false));
        let nodes = run.nodes.values().filter_map(|node| {
            Some((node.id.as_str(), node.started?, over || node.phase.is_final(), node.kind.is_step()))
        });
        for (id, started, ended, is_step) in root.into_iter().chain(nodes) {
            let before = self.starts.get(id).copied().or_else(|| remembered(ledger, &run.uid, id));
            let mut start = match before {
                Some(before) if before.last == started => before,
                Some(before) => Start { first: before.first, last: started, sent: Sent::Not, counted: false },
                None => Start { first: started, last: started, sent: Sent::Not, counted: false },
            };
            if before.is_none_or(|before| before.last != started) {
                uncounted += u64::from(is_step && before.is_some_and(|before| !before.counted));
                let is_of_before =
                    |pod: &Pod| before.is_some_and(|before| is_nearer(pod.created, before.last, started));
                if self.known.pods.get(id).is_some_and(|pod| pod.has_ended && is_of_before(pod)) {
                    self.known.pods.remove(id);
                }
                ledger.begin(&run.uid, id, (start.first, started), is_step);
            }
            if start.first != started {
                self.known.firsts.insert(id.to_owned(), start.first);
            }
            match start.sent {
                Sent::Not if ended => start.sent = Sent::Ended(now),
                // The controller took it back: it had not heard of the pod.
                Sent::Ended(_) if !ended => start.sent = Sent::Not,
                _ => {}
            }
            match self.starts.get_mut(id) {
                Some(known) => *known = start,
                None => drop(self.starts.insert(id.to_owned(), start)),
            }
        }
        uncounted
    }

    /// Pods that were deleted while nobody watched, as far as a holder before us kept what counts of them.
    fn recall(&mut self, run: &Run, ledger: &Ledger) {
        let Some(kept) = ledger.kept(&run.uid) else { return };
        for id in run.nodes.keys() {
            if !self.known.pods.contains_key(id)
                && let Some(pod) = kept.of(number(id)).and_then(kept::read)
            {
                self.known.pods.insert(id.clone(), pod);
            }
        }
    }

    /// Keeps what counts of its pods for holders after us.
    pub(super) fn keep_pods(&self, uid: &str, ledger: &mut Ledger) {
        let Some(run) = &self.run else { return };
        // What has another name may be of another Workflow.
        ledger.keep(uid, self.known.pods.iter().filter(|(id, _)| run.nodes.contains_key(*id)));
    }

    /// Its Workflow was deleted while it ran, at that time: what ran of it has ended by that, and counts for nothing.
    pub(super) fn cut_off(&mut self, now: Instant, at: Time) {
        let Some(run) = self.run.as_mut().filter(|run| !run.phase.is_final()) else { return };
        (run.phase, run.message, run.finished) = (Phase::Error, DELETED.into(), Some(at));
        for node in run.nodes.values_mut().filter(|node| !node.phase.is_final()) {
            (node.phase, node.message, node.finished) = (Phase::Error, DELETED.into(), Some(at));
        }
        for start in self.starts.values_mut().filter(|start| start.sent == Sent::Not) {
            (start.sent, start.counted) = (Sent::Ended(now), true);
        }
    }

    /// Whether a Workflow is over, and all of it was counted and sent.
    pub(super) fn is_settled(&self, run: &Run) -> bool {
        let uncounted = |node: &Node| {
            node.kind.is_step()
                && node.phase.is_final()
                && self.starts.get(&node.id).is_some_and(|start| !start.counted)
        };
        run.phase.is_final() && self.unsent() == 0 && !run.nodes.values().any(uncounted)
    }

    /// Whether nothing is left to be sent, nor will be as far as is known.
    pub(super) fn is_done(&self) -> bool {
        let has_ended = self.is_gone || self.run.as_ref().is_none_or(|run| run.phase.is_final());
        has_ended && self.unsent() == 0
    }

    /// Lets go of what is only needed to make spans: what has become of each node the ledger knows.
    pub(super) fn let_go(&mut self) {
        self.run = None;
        self.known = Known::default();
        self.starts = HashMap::new();
    }

    /// How many spans have ended and have not arrived.
    pub(super) fn unsent(&self) -> u64 {
        let of_nodes =
            self.starts.values().filter(|start| matches!(start.sent, Sent::Ended(_) | Sent::Queued(_))).count();
        (of_nodes + self.left.len()) as u64
    }

    /// Since when the one of them waits that waits longest.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let since = |start: &Start| match start.sent {
            Sent::Ended(since) | Sent::Queued(since) => Some(since),
            Sent::Not | Sent::Done => None,
        };
        self.starts.values().filter_map(since).min()
    }

    /// A span has arrived; whether it is that of the last run.
    pub(super) fn arrived(&mut self, key: &Key) -> bool {
        let start = self.starts.get_mut(&key.node).filter(|start| start.last == key.started);
        let Some(start) = start else { return false };
        start.sent = Sent::Done;
        if let Some(pod) = self.known.pods.get_mut(&key.node) {
            pod.forget_events();
        }
        true
    }

    /// Counts the steps that have ended and whose pods have said their last.
    pub(super) fn count(&mut self, uid: &str, ledger: &mut Ledger, now: Instant) -> usize {
        let Some(run) = &self.run else { return 0 };
        let ready: Vec<String> = self.ready(run, now, |start| !start.counted).cloned().collect();
        self.count_these(uid, &ready, ledger);
        ready.len()
    }

    /// Counts every step that has ended, whatever its pod may still say.
    pub(super) fn count_now(&mut self, uid: &str, ledger: &mut Ledger) {
        let ended = |start: &Start| !start.counted && start.sent != Sent::Not;
        let ids: Vec<String> = self.starts.iter().filter(|(_, start)| ended(start)).map(|(id, _)| id.clone()).collect();
        self.count_these(uid, &ids, ledger);
    }

    fn count_these(&mut self, uid: &str, ids: &[String], ledger: &mut Ledger) {
        let Some(run) = &self.run else { return };
        if ids.is_empty() {
            return;
        }
        let tree = Tree::of(run);
        let spans = Spans::of(run, &tree, &self.known);
        for id in ids {
            let node = run.nodes.get(id).filter(|node| node.kind.is_step());
            // What its Workflow left running may still come to an end.
            if node.is_some_and(|node| !node.phase.is_final()) {
                continue;
            }
            if let Some(start) = self.starts.get_mut(id) {
                start.counted = true;
            }
            let Some(node) = node else { continue };
            let Some(outcome) = Outcome::of(node.phase, &node.message) else { continue };
            let (started, finished) = (node.started.unwrap_or_default(), node.finished.unwrap_or_default());
            let counted = Counted {
                labels: labels(run, node, |name| match self.known.pod_of(node) {
                    Some(pod) => pod.value(name),
                    // Of a pod that nobody has seen: what the others have in common.
                    None => spans.common(name),
                }),
                outcome,
                took_ms: finished.saturating_sub(started) / MILLISECOND,
                at: finished,
                trace: spans.is_exported(Some(node)).then(|| spans.trace().as_str().to_owned()),
            };
            ledger.count(uid, id, counted);
        }
    }

    /// Up to `room` spans, which then count as queued.
    pub(super) fn take(&mut self, uid: &str, ledger: &mut Ledger, now: Instant, room: usize) -> Vec<Due> {
        let mut due: Vec<Due> = self.left.drain(..self.left.len().min(room)).collect();
        let Some(run) = &self.run else { return due };
        let ready = self.ready(run, now, |start| matches!(start.sent, Sent::Ended(_)));
        let ids: Vec<String> = ready.take(room - due.len()).cloned().collect();
        due.extend(self.spans(uid, ids, ledger));
        due
    }

    /// Whether there is anything to count or to send, or nothing more to wait for.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        let is_wanted = |start: &Start| !start.counted || matches!(start.sent, Sent::Ended(_));
        let has_more = || self.run.as_ref().is_some_and(|run| self.ready(run, now, is_wanted).next().is_some());
        !self.left.is_empty() || self.is_done() || has_more()
    }

    /// What people call it.
    pub(super) fn object(&self) -> Object {
        let name = |of: fn(&Run) -> &String| self.run.as_ref().map(of).cloned().unwrap_or_default();
        Object { namespace: name(|run| &run.namespace), name: name(|run| &run.name), times: self.times, retry: 0 }
    }

    /// The spans of runs that have ended, which then count as queued.
    fn spans(&mut self, uid: &str, ids: Vec<String>, ledger: &mut Ledger) -> Vec<Due> {
        let mut due = Vec::with_capacity(ids.len());
        let Some(run) = self.run.as_ref().filter(|_| !ids.is_empty()) else { return due };
        let object = Arc::new(self.object());
        let tree = Tree::of(run);
        let spans = Spans::of(run, &tree, &self.known);
        for id in ids {
            let span = match run.nodes.get(&id) {
                Some(node) => spans.node(node).filter(|_| spans.is_exported(Some(node))),
                None if id.is_empty() => spans.workflow().filter(|_| spans.is_exported(None)),
                None => None,
            };
            let Some(start) = self.starts.get_mut(&id) else { continue };
            start.sent = match start.sent {
                Sent::Ended(since) | Sent::Queued(since) if span.is_some() => Sent::Queued(since),
                _ => Sent::Done,
            };
            if span.is_none() {
                ledger.sent(uid, &id);
            }
            let key = Key { workflow: uid.to_owned(), node: id, started: start.last };
            due.extend(span.map(|span| Due { key, object: Arc::clone(&object), span }));
        }
        due
    }

    /// What has ended, is wanted, and of which nothing more is to be heard.
    fn ready<'s>(
        &'s self,
        run: &'s Run,
        now: Instant,
        is_wanted: impl Fn(&Start) -> bool + 's,
    ) -> impl Iterator<Item = &'s String> {
        // Whether a trace is taken, its pods say: before the first of them nothing is sent.
        let waits = !run.phase.is_final() && !self.is_gone && self.known.pods.is_empty();
        let is_ready = move |id: &str, start: &Start| match start.sent {
            Sent::Not => false,
            Sent::Ended(since) if now.duration_since(since) < PATIENCE && !self.is_gone => {
                pod_is_seen(&self.known, run.nodes.get(id))
            }
            _ => true,
        };
        let ready = self.starts.iter().filter(move |(id, start)| !waits && is_wanted(start) && is_ready(id, start));
        ready.map(|(id, _)| id)
    }

    /// Shows which steps run now, under which labels they will count, and for which pull request.
    pub(super) fn show(&self, ledger: &mut Ledger, active: &mut Active) {
        let Some(run) = self.run.as_ref().filter(|run| !run.phase.is_final() && !self.is_gone && !self.is_unread)
        else {
            return;
        };
        for node in run.nodes.values().filter(|node| node.kind.is_step() && node.started.is_some()) {
            let pod = self.known.pod_of(node);
            let labels = ledger.fit(labels(run, node, |name| pod.map_or("", |pod| pod.value(name))));
            let repo = labels.get("repo").to_owned();
            let pr = labels.get("prNumber");
            if !pr.is_empty() {
                active.prs.entry(repo.clone()).or_default().insert(pr.to_owned());
            }
            if !node.phase.is_final() {
                *active.steps.entry(repo).or_default() += 1;
            }
            // Before its pod is known its labels are not.
            if pod.is_some() {
                active.labels.insert(labels);
            }
        }
    }
}

/// Whether a pod was created rather with the run that began `before` than with the one that began now: the controller begins a node with its
/// pod, and its clock may differ from the API server's.
fn is_nearer(created: Option<Time>, before: Time, now: Time) -> bool {
    created.is_none_or(|created| created.abs_diff(before) < created.abs_diff(now))
}

/// What a holder before us has stored of it.
fn remembered(ledger: &Ledger, uid: &str, id: &str) -> Option<Start> {
    let mark = ledger.marks(uid)?.get(&number(id))?;
    Some(Start {
        first: u64::from(mark.first) * SECOND,
        last: u64::from(mark.last) * SECOND,
        sent: if mark.sent { Sent::Done } else { Sent::Not },
        counted: mark.counted,
    })
}

/// Whether its pod has said its last.
fn pod_is_seen(known: &Known, node: Option<&Node>) -> bool {
    let Some(node) = node.filter(|node| node.kind.is_step()) else { return true };
    known.pod_of(node).is_some_and(|pod| pod.has_ended)
}

/// What the policy made of the pod; without a policy's, what its labels say by the names that the default policy gives.
fn labels<'p>(run: &Run, node: &Node, of_pod: impl Fn(&str) -> &'p str) -> Labels {
    Labels::of(|name| match name {
        "workflowName" => clean(&run.stem),
        // A Workflow that is one step is called as its template.
        "stepName" => clean(run.step_name(node).unwrap_or(&node.template)),
        name => clean(of_pod(name)),
    })
}
