//! An event log ([`super::events`]) summed up: of each action how often, how well, and how long.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::events::rfc3339;

/// Actions and, of each, errors that are told apart; a log that somebody else wrote may have any number of them.
const MOST: usize = 100;
/// What stands for more.
const OTHER: &str = "other";
/// So much of an error tells it from others.
const LENGTH: usize = 200;
/// Latencies are kept to a thousandth of their size.
const DIGITS: u8 = 3;

/// Longer ones, in microseconds, are as long as this: 11 days.
const LONGEST: u64 = 1_000_000_000_000;

/// What is read of a line.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    ts: Cow<'l, str>,
    #[serde(borrow)]
    action: Cow<'l, str>,
    success: bool,
    #[serde(default)]
    latency_ms: Option<f64>,
    #[serde(borrow, default)]
    error: Option<Cow<'l, str>>,
}

/// Why a line is no event.
#[derive(Debug, thiserror::Error)]
pub enum NoEvent {
    /// It is no JSON, or lacks a field.
    #[error("no event ({0}): a line is {{\"ts\", \"action\", \"success\", \"latency_ms\", \"payload\", \"error\"}}")]
    Form(#[from] serde_json::Error),
    /// Its time cannot be read.
    #[error("ts is no time such as 2026-11-23T10:15:30Z: {0}")]
    Time(String),
}

/// What was read so far.
#[derive(Debug)]
pub struct Summary {
    since: Option<OffsetDateTime>,
    seen: Option<(OffsetDateTime, OffsetDateTime)>,
    actions: BTreeMap<String, Action>,
    events: u64,
    earlier: u64,
}

#[derive(Debug)]
struct Action {
    count: u64,
    failed: u64,
    /// In microseconds.
    latency: Histogram<u64>,
    errors: BTreeMap<String, Failure>,
}

#[derive(Debug)]
struct Failure {
    count: u64,
    last: OffsetDateTime,
}

/// A summary as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When the first event was, and the last; RFC 3339.
    pub from: Option<String>,
    /// See `from`.
    pub to: Option<String>,
    /// How many there were.
    pub events: u64,
    /// How many were left out because they were before the time that was asked for.
    pub earlier: u64,
    /// By name.
    pub actions: Vec<OfAction>,
}

/// Of one action.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfAction {
    /// Its name.
    pub action: String,
    /// How often it was.
    pub count: u64,
    /// How often it failed.
    pub failed: u64,
    /// Share of those that did not fail, from 0 to 1.
    pub success_rate: f64,
    /// How long it took; `None` where that says nothing.
    pub latency_ms: Option<Latency>,
    /// What went wrong, the most frequent first.
    pub errors: Vec<OfError>,
}

/// Milliseconds, exact to a thousandth of their size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// How many said how long they took.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 95 of 100 took no longer.
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Events with the same error.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfError {
    /// Its beginning.
    pub error: String,
    /// How often it was.
    pub count: u64,
    /// When it was last; RFC 3339.
    pub last: String,
}

impl Summary {
    /// Of events at that time or later.
    pub fn new(since: Option<OffsetDateTime>) -> Self {
        Self { since, seen: None, actions: BTreeMap::new(), events: 0, earlier: 0 }
    }

    /// One line more.
    ///
    /// # Errors
    /// It is no event.
    pub fn line(&mut self, line: &[u8]) -> Result<(), NoEvent> {
        let line: Line<'_> = serde_json::from_slice(line)?;
        let at = OffsetDateTime::parse(&line.ts, &Rfc3339).map_err(|_| NoEvent::Time(cut(&line.ts)))?;
        if self.since.is_some_and(|since| at < since) {
            self.earlier += 1;
            return Ok(());
        }
        self.events += 1;
        let (first, last) = self.seen.unwrap_or((at, at));
        self.seen = Some((first.min(at), last.max(at)));
        of(&mut self.actions, cut(&line.action), Action::new).add(&line, at);
        Ok(())
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// As it is shown.
    pub fn report(&self) -> Report {
        let time =
            |of: fn(&(OffsetDateTime, OffsetDateTime)) -> OffsetDateTime| self.seen.as_ref().map(of).map(rfc3339);
        Report {
            from: time(|seen| seen.0),
            to: time(|seen| seen.1),
            events: self.events,
            earlier: self.earlier,
            actions: self.actions.iter().map(|(name, action)| action.report(name)).collect(),
        }
    }
}

impl Action {
    fn new() -> Self {
        // Only a precision above 5 digits is refused.
        let latency = Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("{DIGITS} digits"));
        Self { count: 0, failed: 0, latency, errors: BTreeMap::new() }
    }

    fn add(&mut self, line: &Line<'_>, at: OffsetDateTime) {
        self.count += 1;
        if let Some(ms) = line.latency_ms.filter(|ms| ms.is_finite() && *ms >= 0.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float is cut to the bounds")]
            let micros = (ms * 1e3).round() as u64;
            // It grows by itself, to the longest at the most.
            let _ = self.latency.record(micros.min(LONGEST));
        }
        if line.success {
            return;
        }
        self.failed += 1;
        let error = cut(line.error.as_deref().unwrap_or("not said"));
        let failure = of(&mut self.errors, error, || Failure { count: 0, last: at });
        failure.count += 1;
        failure.last = failure.last.max(at);
    }

    #[expect(clippy::cast_precision_loss, reason = "shares and milliseconds")]
    fn report(&self, name: &str) -> OfAction {
        let ms = |micros: u64| micros as f64 / 1e3;
        let at = |quantile| ms(self.latency.value_at_quantile(quantile).min(self.latency.max()));
        let latency_ms = (!self.latency.is_empty()).then(|| Latency {
            count: self.latency.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: ms(self.latency.max()),
        });
        let mut errors: Vec<OfError> = self
            .errors
            .iter()
            .map(|(error, of)| OfError { error: error.clone(), count: of.count, last: rfc3339(of.last) })
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        let success_rate = (self.count - self.failed) as f64 / self.count.max(1) as f64;
        OfAction { action: name.to_owned(), count: self.count, failed: self.failed, success_rate, latency_ms, errors }
    }
}

/// What goes by a name, where there is room for one more; else what stands for all others.
fn of<T>(all: &mut BTreeMap<String, T>, name: String, new: impl FnOnce() -> T) -> &mut T {
    let name = if all.contains_key(&name) || all.len() < MOST { name } else { OTHER.to_owned() };
    all.entry(name).or_insert_with(new)
}

/// Of a text, what tells it from others, in one line.
fn cut(text: &str) -> String {
    text.chars().take(LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn line(second: u32, action: &str, ms: Option<f64>, error: Option<&str>) -> String {
        let ts = format!("2026-11-23T10:15:{second:02}.5Z");
        let success = error.is_none();
        json!({"ts": ts, "action": action, "success": success, "latency_ms": ms, "payload": {}, "error": error})
            .to_string()
    }

    fn summed(since: Option<&str>, lines: &[String]) -> Summary {
        let since = since.map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap());
        let mut summary = Summary::new(since);
        for line in lines {
            summary.line(line.as_bytes()).unwrap();
        }
        summary
    }

    #[test]
    fn actions_are_counted_timed_and_their_errors_told() {
        let mut lines: Vec<String> = (1..=100).map(|n| line(n % 60, "review", Some(f64::from(n)), None)).collect();
        for (second, why) in [(7, "no answer"), (9, "refused"), (8, "no answer")] {
            lines.push(line(second, "export", None, Some(why)));
        }
        lines.push(line(10, "export", None, None));
        let report = summed(None, &lines).report();
        assert_eq!((report.events, report.earlier), (104, 0));
        assert_eq!(report.from.as_deref(), Some("2026-11-23T10:15:00.5Z"));
        assert_eq!(report.to.as_deref(), Some("2026-11-23T10:15:59.5Z"));
        let [export, review] = report.actions.as_slice() else { panic!("{report:?}") };
        assert_eq!((export.count, export.failed, export.success_rate, export.latency_ms), (4, 3, 0.25, None));
        let told: Vec<_> = export.errors.iter().map(|of| (of.error.as_str(), of.count, of.last.as_str())).collect();
        assert_eq!(told, [("no answer", 2, "2026-11-23T10:15:08.5Z"), ("refused", 1, "2026-11-23T10:15:09.5Z")]);
        let latency = review.latency_ms.unwrap();
        assert_eq!(latency.count, 100);
        for (value, wanted) in [(latency.p50, 50.0), (latency.p95, 95.0), (latency.p99, 99.0), (latency.max, 100.0)] {
            assert!((value / wanted - 1.0_f64).abs() < 2e-3, "{value} instead of {wanted}");
        }
    }

    #[test]
    fn what_was_before_is_left_out() {
        let lines: Vec<String> = (0..10).map(|second| line(second, "review", Some(1.0), None)).collect();
        let report = summed(Some("2026-11-23T11:15:04.5+01:00"), &lines).report();
        assert_eq!((report.events, report.earlier), (6, 4));
        assert_eq!(report.from.as_deref(), Some("2026-11-23T10:15:04.5Z"));
        assert_eq!(summed(None, &[]).report().actions, []);
    }

    #[test]
    fn a_line_that_is_no_event_is_told() {
        let mut summary = Summary::new(None);
        for bad in ["", "panicked at src/main.rs", "[]", r#"{"ts":"2026-11-23T10:15:04Z","action":"x"}"#] {
            let error = summary.line(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("no event (") && error.contains("latency_ms"), "{error}");
        }
        let error = summary.line(br#"{"ts":"yesterday","action":"x","success":true}"#).unwrap_err().to_string();
        assert!(error.contains("yesterday"), "{error}");
        assert_eq!(summary.events(), 0);
    }

    #[test]
    fn actions_and_errors_without_end_take_bounded_room() {
        let mut summary = Summary::new(None);
        for n in 0..1_000 {
            let long = format!("{n}{}\n", "x".repeat(10_000));
            summary.line(line(0, &format!("action-{n}"), Some(f64::from(n) * 1e15), Some("why")).as_bytes()).unwrap();
            summary.line(line(0, "one", None, Some(&long)).as_bytes()).unwrap();
        }
        let report = summary.report();
        assert_eq!(report.actions.len(), MOST + 1);
        assert_eq!(report.actions.iter().map(|of| of.count).sum::<u64>(), 2_000);
        let one = report.actions.iter().find(|of| of.action == "one").unwrap();
        assert_eq!((one.errors.len(), one.errors[0].error.as_str(), one.errors[0].count), (MOST + 1, OTHER, 900));
        assert!(one.errors.iter().all(|of| of.error.len() <= LENGTH));
    }

    proptest! {
        /// Percentiles are those of the sorted list, to a thousandth.
        #[test]
        fn percentiles_are_true(times in prop::collection::vec(0.001f64..1e6, 1..200)) {
            let lines: Vec<String> = times.iter().map(|ms| line(0, "a", Some(*ms), None)).collect();
            let latency = summed(None, &lines).report().actions[0].latency_ms.unwrap();
            let mut sorted = times.clone();
            sorted.sort_by(f64::total_cmp);
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
            let at = |quantile: f64| sorted[((quantile * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
            for (value, wanted) in [(latency.p50, at(0.5)), (latency.p95, at(0.95)), (latency.p99, at(0.99))] {
                prop_assert!((value - wanted).abs() <= wanted * 2e-3 + 2e-3, "{value} instead of {wanted}");
            }
        }
    }
}
