//! The event log: one JSON object a line, `{ts, action, success, latency_ms, payload, error}`.
//!
//! Lines are made where the event happens and written by a thread of their own, behind a bounded queue. `emit` never
//! waits: when the queue is full the line is dropped and counted (`stepspan_events_dropped_total`).

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::telemetry::rotate::{Kept, RotatingFile};

const QUEUE: usize = 4096;
/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(2);
/// Bytes that are written at once.
const TOGETHER: usize = 16 * 1024;

/// How much is written; each level includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What needs a person.
    Error,
    /// Fail-open answers and refused reloads.
    Warn,
    /// Injections, unexpected skips and what the server itself does.
    Info,
    /// Every review, the expected skips too.
    Debug,
}

/// Where the lines go.
#[derive(Debug, Clone)]
pub enum Target {
    /// Standard error.
    Stderr,
    /// A file that rotates by size.
    File(Kept),
    /// Both.
    Both(Kept),
}

impl Target {
    fn file(&self) -> Option<&Kept> {
        match self {
            Self::Stderr => None,
            Self::File(kept) | Self::Both(kept) => Some(kept),
        }
    }
}

/// One event.
#[derive(Debug)]
pub struct Event<P = Value> {
    /// A word: `review`, `start`, `policies`, `certificate`, `pause`, `ready`, `drain`, `stop`.
    pub action: &'static str,
    /// How much it matters.
    pub level: Level,
    /// How long it took, where that says something.
    pub latency: Option<Duration>,
    /// The facts; never a value of an env variable, label, annotation or Secret.
    pub payload: P,
    /// What went wrong; `success` in the line is the absence of this.
    pub error: Option<String>,
}

impl Event {
    /// An event at [`Level::Info`].
    pub fn info(action: &'static str, payload: Value) -> Self {
        Self { action, level: Level::Info, latency: None, payload, error: None }
    }

    /// An event at [`Level::Error`].
    pub fn error(action: &'static str, payload: Value, error: impl fmt::Display) -> Self {
        Self { action, level: Level::Error, latency: None, payload, error: Some(error.to_string()) }
    }
}

#[derive(Serialize)]
struct Line<'a, P> {
    ts: String,
    action: &'a str,
    success: bool,
    latency_ms: Option<f64>,
    payload: &'a P,
    error: Option<&'a str>,
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file {path}: {why}; give a path in a writable folder, or leave --log-file out")]
pub struct OpenError {
    path: PathBuf,
    why: io::Error,
}

/// The door to the writer thread, which ends when this is dropped.
#[derive(Debug)]
pub struct EventLog {
    queue: SyncSender<Message>,
    level: Level,
    dropped: Counter,
}

impl EventLog {
    /// Opens the target and starts the writer.
    pub fn open(target: &Target, level: Level, dropped: Counter) -> Result<Self, OpenError> {
        let fail = |path: &Path, why| OpenError { path: path.to_owned(), why };
        let open = |kept: &Kept| RotatingFile::open(kept).map_err(|e| fail(&kept.path, e));
        let sink = Sink { stderr: !matches!(target, Target::File(_)), file: target.file().map(open).transpose()? };
        let (queue, inbox) = mpsc::sync_channel(QUEUE);
        let path = target.file().map_or(Path::new("stderr"), |kept| kept.path.as_path());
        let lost = dropped.clone();
        thread::Builder::new()
            .name("events".into())
            .stack_size(128 * 1024)
            .spawn(move || write_all(&inbox, sink, &lost))
            .map_err(|e| fail(path, e))?;
        Ok(Self { queue, level, dropped })
    }

    /// Whether an event of this level would be written: ask before making a payload.
    pub fn wants(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Queues one line; never waits.
    pub fn emit<P: Serialize>(&self, event: &Event<P>) {
        if !self.wants(event.level) {
            return;
        }
        let line = Line {
            ts: rfc3339(OffsetDateTime::now_utc()),
            action: event.action,
            success: event.error.is_none(),
            latency_ms: event.latency.map(|d| (d.as_secs_f64() * 1e6).round() / 1e3),
            payload: &event.payload,
            error: event.error.as_deref(),
        };
        let Ok(mut bytes) = serde_json::to_vec(&line) else { return };
        bytes.push(b'\n');
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(Message::Line(bytes)) {
            self.dropped.inc();
        }
    }

    /// Waits until all that was queued is written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            // Past the patience the lines are simply late.
            let _ = wait.recv_timeout(patience);
        }
    }
}

/// A time as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(at: OffsetDateTime) -> String {
    let whole = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_default()
}

struct Sink {
    stderr: bool,
    file: Option<RotatingFile>,
}

impl Sink {
    /// Whether it is wherever it should be: what fails in one place is in the other still.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let told = if self.stderr { io::stderr().lock().write_all(lines) } else { Ok(()) };
        self.file.as_mut().map_or(Ok(()), |file| file.write_lines(lines)).and(told)
    }
}

/// Lines that came together are written together: a wake-up and a write for each would cost more than making it.
fn write_all(inbox: &Receiver<Message>, mut sink: Sink, lost: &Counter) {
    let room = sink.file.as_ref().map_or(TOGETHER, RotatingFile::room).min(TOGETHER);
    while let Ok(first) = inbox.recv() {
        thread::sleep(GATHER);
        let mut lines = Lines::default();
        for message in std::iter::once(first).chain(inbox.try_iter()) {
            match message {
                Message::Line(line) => {
                    if lines.bytes.len() + line.len() > room {
                        lines.write(&mut sink, lost);
                    }
                    lines.push(&line);
                }
                Message::Flush(done) => {
                    lines.write(&mut sink, lost);
                    // Nobody waiting any more is fine.
                    let _ = done.try_send(());
                }
            }
        }
        lines.write(&mut sink, lost);
    }
}

/// Whole lines on their way to the sink.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.count += 1;
    }

    fn write(&mut self, sink: &mut Sink, lost: &Counter) {
        if self.count == 0 {
            return;
        }
        if sink.write(&self.bytes).is_err() {
            lost.inc_by(self.count);
        }
        self.bytes.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_the_six_fields_and_levels_are_kept_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let target = Target::File(Kept { path: path.clone(), max_bytes: 1 << 20, keep: 1 });
        let log = EventLog::open(&target, Level::Info, Counter::default()).unwrap();
        log.emit(&Event { level: Level::Debug, ..Event::info("unseen", json!({})) });
        let latency = Some(Duration::from_micros(1234));
        log.emit(&Event { latency, ..Event::error("review", json!({"uid": "a\nb"}), "broken") });
        log.flush(Duration::from_mins(1));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["ts", "action", "success", "latency_ms", "payload", "error"]);
        assert_eq!(line["latency_ms"], 1.234);
        assert_eq!(line["success"], false);
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn where_both_are_asked_for_a_file_that_fails_is_counted_and_stderr_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept { path: dir.path().join("telemetry.jsonl"), max_bytes: 1 << 20, keep: 1 };
        let (log, lost) = (Target::Both(kept.clone()), Counter::default());
        let log = EventLog::open(&log, Level::Info, lost.clone()).unwrap();
        log.emit(&Event::info("start", json!({})));
        log.flush(Duration::from_mins(1));
        assert_eq!(std::fs::read_to_string(&kept.path).unwrap().lines().count(), 1);
        let full = Target::Both(Kept { path: "/dev/full".into(), ..kept });
        let log = EventLog::open(&full, Level::Info, lost.clone()).unwrap();
        log.emit(&Event::info("start", json!({})));
        log.flush(Duration::from_mins(1));
        assert_eq!(lost.get(), 1);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (queue, _inbox) = mpsc::sync_channel(1);
        let log = EventLog { queue, level: Level::Info, dropped: Counter::default() };
        for _ in 0..3 {
            log.emit(&Event::info("start", json!({})));
        }
        assert_eq!(log.dropped.get(), 2);
    }

    #[test]
    fn an_unwritable_path_is_named_with_a_way_out() {
        let target = Target::File(Kept { path: "/nonexistent/x.log".into(), max_bytes: 1, keep: 1 });
        let error = EventLog::open(&target, Level::Info, Counter::default()).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/x.log") && error.contains("writable"), "{error}");
    }
}
