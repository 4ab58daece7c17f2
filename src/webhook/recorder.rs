//! Writes [records](crate::record) of reviews, off the request path: a bounded queue, a thread of its own, files that rotate by size.
//!
//! A review that finds the queue full, or its memory used up, is not recorded, and counted (`stepspan_records_dropped_total`).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    admission::Reviewed,
    context::Context,
    inject::reason::SkipReason,
    record::{self, Account},
    source::store::Loaded,
    telemetry::{
        events::{Event, EventLog, rfc3339},
        rotate::{Kept, RotatingFile},
    },
};

/// Reviews that wait to be written.
const QUEUE: usize = 1024;
/// Bytes of all that wait.
const MEMORY: usize = 8 << 20;

/// The records' file could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the file of records {path}: {why}; give a path in a writable folder, or leave --record out")]
pub struct RecordError {
    path: String,
    why: io::Error,
}

/// Counts what becomes of records.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Written.
    pub written: Counter,
    /// Lost.
    pub dropped: Counter,
}

/// What is needed to make a record.
struct Review {
    body: Vec<u8>,
    was: Account,
    policies: Arc<Loaded>,
    context: Arc<Context>,
    at: OffsetDateTime,
}

enum Message {
    Review(Box<Review>),
    Flush(SyncSender<()>),
}

/// The door to the thread that writes, which ends when this is dropped.
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<Message>,
    waiting: Arc<AtomicUsize>,
    counters: Counters,
}

impl Recorder {
    /// Opens the newest file and starts the thread.
    ///
    /// # Errors
    /// The file or the thread cannot be had.
    pub fn open(kept: &Kept, counters: Counters, events: Arc<EventLog>) -> Result<Self, RecordError> {
        let fail = |why| RecordError { path: kept.path.display().to_string(), why };
        let file = RotatingFile::open(kept).map_err(fail)?;
        let (queue, inbox) = mpsc::sync_channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer { file, waiting: Arc::clone(&waiting), counters: counters.clone(), events, failing: false };
        let thread = thread::Builder::new().name("records".into()).stack_size(512 * 1024);
        thread.spawn(move || writer.run(&inbox)).map_err(fail)?;
        Ok(Self { queue, waiting, counters })
    }

    /// Queues a review of a step's pod; never waits.
    pub fn record(&self, body: &[u8], reviewed: &Reviewed, policies: &Arc<Loaded>, context: &Arc<Context>) {
        if !is_of_a_step(reviewed) {
            return;
        }
        let before = self.waiting.fetch_add(body.len(), Ordering::Relaxed);
        let fits = before + body.len() <= MEMORY;
        let queued = fits && {
            let (was, at) = (Account::of(reviewed), OffsetDateTime::now_utc());
            let (policies, context) = (Arc::clone(policies), Arc::clone(context));
            let review = Review { body: body.to_vec(), was, policies, context, at };
            self.queue.try_send(Message::Review(Box::new(review))).is_ok()
        };
        if !queued {
            self.waiting.fetch_sub(body.len(), Ordering::Relaxed);
            self.counters.dropped.inc();
        }
    }

    /// Waits until all that was queued is written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            // Past the patience the records are simply late.
            let _ = wait.recv_timeout(patience);
        }
    }
}

/// Pods that Argo did not make, and what only asks, are nothing to try a policy on.
fn is_of_a_step(reviewed: &Reviewed) -> bool {
    let foreign = matches!(
        reviewed.reason,
        Some(SkipReason::NotArgo | SkipReason::NotCreate | SkipReason::WrongKind | SkipReason::Malformed)
    );
    reviewed.kind == "Pod" && !reviewed.dry_run && !foreign
}

struct Writer {
    file: RotatingFile,
    waiting: Arc<AtomicUsize>,
    counters: Counters,
    events: Arc<EventLog>,
    /// The last write failed: told once, not line by line.
    failing: bool,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Message>) {
        while let Ok(message) = inbox.recv() {
            match message {
                Message::Review(review) => {
                    self.write(&review);
                    self.waiting.fetch_sub(review.body.len(), Ordering::Relaxed);
                }
                // Nobody waiting any more is fine.
                Message::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn write(&mut self, review: &Review) {
        let Review { body, was, policies, context, at } = review;
        let Some(line) = record::line(body, &policies.set, context, was.clone(), &rfc3339(*at)) else { return };
        match self.file.write_lines(&line) {
            Ok(()) => {
                self.counters.written.inc();
                self.failing = false;
            }
            Err(error) => {
                self.counters.dropped.inc();
                if !std::mem::replace(&mut self.failing, true) {
                    self.events.emit(&Event::error("record", json!({}), error));
                }
            }
        }
    }
}
