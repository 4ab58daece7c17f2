//! Spans -> the Collector. A batch is sent until it is taken: what waits behind it waits in a bounded queue, and what finds no room there is made
//! again from its Workflow.
//!
//! A batch that is refused is halved until the span is found that is at fault. That one is given up only where others are taken, time and again: a
//! Collector whose own backend is in trouble refuses all of them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span as Proto;
use prost::Message as _;
use serde_json::json;
use tokio::sync::mpsc;

use super::metrics::Metrics;
use super::otlp::{Failure, Rejected, Wire, spans};
use super::own::{End, Own, Work};
use super::seen::{Due, Key, Object};
use crate::telemetry::events::{Event, EventLog};

/// Spans in one request.
const BATCH: usize = 512;
/// Bytes in one request: a Collector takes 4 MiB where it was not told otherwise.
const LARGEST: usize = 1 << 20;
/// Between a batch that was not taken and the next attempt: doubled each time.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// So often in a row may requests be refused before the Collector is held to be at fault, and no span: ten halvings lead to one.
const REFUSALS: usize = 32;
/// So often is one span refused by itself, in rounds of which others are taken, before it is given up.
const TRIES: u64 = 3;

/// Whoever takes spans.
pub(super) trait Take {
    /// Takes them, or not.
    fn take(&self, spans: Vec<Proto>) -> impl Future<Output = Result<Rejected, Failure>> + Send;
}

impl Take for Wire {
    async fn take(&self, spans: Vec<Proto>) -> Result<Rejected, Failure> {
        self.spans(spans).await
    }
}

/// Sends spans.
#[derive(Debug)]
pub(super) struct Sender<T = Wire> {
    to: T,
    endpoint: String,
    /// How long after the first failure it is tried again.
    again: Duration,
    metrics: Arc<Metrics>,
    events: Arc<EventLog>,
    own: Option<Arc<Own>>,
}

/// A span on its way.
#[derive(Clone)]
struct Item {
    key: Key,
    object: Arc<Object>,
    span: Proto,
    /// Rounds in which it was refused by itself, while others were taken.
    tries: u64,
}

/// What became of a batch.
#[derive(Default)]
struct Round {
    /// Something of it was taken, or of what was taken before.
    took: bool,
    /// The last span that was taken.
    last: Option<Proto>,
    /// What was not tried any more.
    left: Vec<Item>,
    /// What was refused by itself, and why.
    refused: Vec<(Item, String)>,
}

type Arrived = mpsc::UnboundedSender<Vec<Key>>;

impl<T: Take + Sync> Sender<T> {
    pub(super) fn new(to: T, endpoint: &str, metrics: Arc<Metrics>, events: Arc<EventLog>) -> Self {
        Self { to, endpoint: endpoint.to_owned(), again: AGAIN, metrics, events, own: None }
    }

    /// Traces what it does.
    #[must_use]
    pub(super) fn traced(self, own: Option<Arc<Own>>) -> Self {
        Self { own, ..self }
    }

    /// Sends what comes, until nobody sends more; says what has arrived.
    pub(super) async fn run(&self, mut queue: mpsc::Receiver<Due>, arrived: Arrived) {
        let mut refused: Vec<Item> = Vec::new();
        let (mut wait, mut proof) = (self.again, None::<Proto>);
        loop {
            let mut due = Vec::new();
            if refused.is_empty() {
                if queue.recv_many(&mut due, BATCH).await == 0 {
                    return;
                }
            } else {
                // One more at least, each time: among others it is seen whether it is these that are at fault.
                let room = BATCH.saturating_sub(refused.len()).max(1);
                let more = tokio::time::timeout(wait, queue.recv_many(&mut due, room));
                if more.await == Ok(0) {
                    return;
                }
                tokio::time::sleep(wait).await;
            }
            let new = |due: Due| {
                let span = spans::span(due.span)?;
                Some(Item { key: due.key, object: due.object, span, tries: 0 })
            };
            refused.extend(due.into_iter().filter_map(new));
            let mut round = self.send_all(std::mem::take(&mut refused), &arrived).await;
            if let Some(last) = round.last.take() {
                proof = Some(last);
            }
            // Once more what it took before: it has the same ids, and shows whether it is these that are at fault.
            if let Some(span) = proof.clone().filter(|_| !round.took && !round.refused.is_empty()) {
                round.took = self.to.take(vec![span]).await.is_ok();
            }
            wait = if round.took { self.again } else { (wait * 2).min(LONGEST) };
            refused = self.not_given_up(round, &arrived);
        }
    }

    /// Sends all of it that is taken.
    async fn send_all(&self, batch: Vec<Item>, arrived: &Arrived) -> Round {
        let mut left = parts(batch);
        left.reverse();
        let (mut round, mut refusals) = (Round::default(), 0);
        while let Some(mut part) = left.pop() {
            match self.send(&part).await {
                Ok(()) => {
                    round.took = true;
                    round.last = part.last().map(|item| item.span.clone());
                    // Nobody waits for it any more where this replica does not lead.
                    let _ = arrived.send(part.into_iter().map(|item| item.key).collect());
                    continue;
                }
                Err(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    left.extend([second, part]);
                }
                Err(why) => round.refused.extend(part.into_iter().map(|item| (item, why.clone()))),
            }
            refusals += 1;
            if !round.took && refusals >= REFUSALS {
                break;
            }
        }
        round.left = left.into_iter().rev().flatten().collect();
        round
    }

    /// What is tried again; the others of a round come first then. Where nothing was taken the Collector is at fault, and no span.
    fn not_given_up(&self, round: Round, arrived: &Arrived) -> Vec<Item> {
        let mut again = round.left;
        for (mut item, why) in round.refused {
            item.tries += u64::from(round.took);
            if item.tries < TRIES {
                again.push(item);
                continue;
            }
            let object = || Object { retry: TRIES, ..(*item.object).clone() };
            Work::begin(self.own.as_deref(), "deliver").end(object, &End::Forgotten(why.clone()));
            self.metrics.refused.inc();
            let payload = json!({"workflow": item.key.workflow, "node": item.key.node, "endpoint": self.endpoint});
            self.events.emit(&Event::error("refused", payload, why));
            // It is not to be sent any more.
            let _ = arrived.send(vec![item.key]);
        }
        if again.is_empty() {
            self.metrics.undelivered.set(0);
        }
        again
    }

    /// Sends until it is taken or refused.
    async fn send(&self, items: &[Item]) -> Result<(), String> {
        let mut wait = self.again;
        for retry in 0.. {
            let work = Work::begin(self.own.as_deref(), "deliver");
            let spans = items.iter().map(|item| item.span.clone()).collect();
            let (why, is_refused) = match self.to.take(spans).await {
                Ok(rejected) => {
                    self.taken(items.len() as u64, &rejected);
                    Self::tell(&work, items, retry, &End::Done);
                    return Ok(());
                }
                Err(Failure::Refused(why)) => (why, true),
                Err(Failure::Away(why)) => (why, false),
            };
            self.metrics.export_failures.inc();
            self.metrics.undelivered.set(1);
            let payload = json!({"endpoint": self.endpoint, "spans": items.len(), "again_in_ms": wait.as_millis()});
            self.events.emit(&Event::error("export", payload, &why));
            Self::tell(&work, items, retry, &End::Failed(why.clone()));
            if is_refused {
                return Err(why);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
        Ok(())
    }

    /// One span for each object of a request.
    fn tell(work: &Work<'_>, items: &[Item], retry: u64, end: &End) {
        let mut told: Vec<&Arc<Object>> = Vec::new();
        for item in items.iter().filter(|_| work.is_heard()) {
            if !told.contains(&&item.object) {
                told.push(&item.object);
                work.clone().end(|| Object { retry, ..(*item.object).clone() }, end);
            }
        }
    }

    fn taken(&self, count: u64, rejected: &Rejected) {
        self.metrics.undelivered.set(0);
        self.metrics.sent.inc_by(count.saturating_sub(rejected.count));
        self.metrics.refused.inc_by(rejected.count);
        if rejected.count > 0 {
            let payload = json!({"endpoint": self.endpoint, "spans": rejected.count});
            self.events.emit(&Event::error("refused", payload, &rejected.why));
        }
    }
}

/// In requests of a size that a Collector takes.
fn parts(items: Vec<Item>) -> Vec<Vec<Item>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let of_it = item.span.encoded_len();
        if bytes + of_it > LARGEST && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += of_it;
        part.push(item);
    }
    parts.extend(Some(part).filter(|part| !part.is_empty()));
    parts
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use super::*;
    use crate::identity::{SpanId, TraceId};
    use crate::telemetry::events::{Level, Target};
    use crate::telemetry::rotate::Kept;
    use crate::trace::span::Span;

    /// Refuses requests that have a span of a bad name in them; while it is out of order, all.
    #[derive(Default)]
    struct Collector {
        took: Mutex<Vec<String>>,
        requests: Mutex<usize>,
        out_of_order: Range<usize>,
    }

    impl Take for &Collector {
        async fn take(&self, spans: Vec<Proto>) -> Result<Rejected, Failure> {
            let mut requests = self.requests.lock().unwrap();
            *requests += 1;
            if self.out_of_order.contains(&requests) || spans.iter().any(|span| span.name.starts_with("bad")) {
                return Err(Failure::Refused("no".into()));
            }
            self.took.lock().unwrap().extend(spans.into_iter().map(|span| span.name));
            Ok(Rejected::default())
        }
    }

    fn due(name: &str) -> Due {
        let span = Span {
            trace: TraceId::of_workflow("u"),
            id: SpanId::of_node("u", name),
            parent: None,
            name: name.to_owned(),
            start: 1,
            end: Some(2),
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            error: None,
        };
        Due { key: Key { workflow: "u".into(), node: name.into(), started: 1 }, object: Arc::default(), span }
    }

    /// The names of spans, sent in two batches; gives which were taken, which count as sent, and how many were given up.
    async fn sent(collector: &Collector, first: &[&str], then: &[&str]) -> (Vec<String>, Vec<String>, u64) {
        let metrics = Arc::new(Metrics::new());
        let dir = tempfile::tempdir().unwrap();
        let target = Target::File(Kept { path: dir.path().join("log"), max_bytes: 1 << 20, keep: 1 });
        let events = EventLog::open(&target, Level::Error, metrics.events_dropped.clone()).unwrap();
        let again = Duration::from_millis(1);
        let sender = Sender { again, ..Sender::new(collector, "x", Arc::clone(&metrics), Arc::new(events)) };
        let (queue, queued) = mpsc::channel(1_000);
        let (arrived, mut arrivals) = mpsc::unbounded_channel::<Vec<Key>>();
        let all = first.len() + then.len();
        let feeding = async {
            for name in first {
                queue.try_send(due(name)).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            for name in then {
                queue.try_send(due(name)).unwrap();
            }
            let mut keys: Vec<String> = Vec::new();
            while keys.len() < all {
                keys.extend(arrivals.recv().await.unwrap().into_iter().map(|key| key.node));
            }
            drop(queue);
            keys
        };
        let ((), mut keys) = tokio::join!(sender.run(queued, arrived), feeding);
        let mut took = collector.took.lock().unwrap().clone();
        took.sort();
        // What was taken is sent again, where it is to be seen whether anything is.
        took.dedup();
        keys.sort();
        (took, keys, metrics.refused.get())
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("{at:03}")).collect()
    }

    #[tokio::test]
    async fn a_span_that_is_never_taken_does_not_hold_up_the_others() {
        let good = names(300);
        for bad in [vec![0], vec![299], vec![7, 8, 100], (0..20).collect()] {
            let mut all: Vec<String> = good.clone();
            for at in &bad {
                all[*at] = format!("bad{at}");
            }
            let collector = Collector::default();
            let first: Vec<&str> = all.iter().map(String::as_str).collect();
            let (took, keys, refused) = sent(&collector, &first, &["last"]).await;
            assert_eq!((took.len(), keys.len(), refused), (301 - bad.len(), 301, bad.len() as u64), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_span_alone_waits_for_others_to_prove_it_bad() {
        let (took, keys, refused) = sent(&Collector::default(), &["bad"], &["good"]).await;
        assert_eq!((took, keys.len(), refused), (vec!["good".to_owned()], 2, 1));
    }

    #[tokio::test]
    async fn a_backend_that_fails_in_the_middle_of_a_round_loses_nothing() {
        for out_of_order in [3..60, 3..400, 40..90] {
            let mut all = names(300);
            all[7] = "bad".to_owned();
            let first: Vec<&str> = all.iter().map(String::as_str).collect();
            let collector = Collector { out_of_order, ..Collector::default() };
            let (took, _, refused) = sent(&collector, &first, &[]).await;
            assert_eq!((took.len(), refused), (299, 1));
        }
    }

    #[tokio::test]
    async fn a_collector_that_refuses_everything_gets_everything_later() {
        let collector = Collector { out_of_order: 0..100, ..Collector::default() };
        let all = names(50);
        let first: Vec<&str> = all.iter().map(String::as_str).collect();
        let (took, _, refused) = sent(&collector, &first, &[]).await;
        assert_eq!((took, refused), (all, 0));
    }
}
