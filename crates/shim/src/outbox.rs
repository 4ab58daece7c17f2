//! What goes out, and over which connection: the step's span and metrics at its end, the spans of its parts before and with it.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{Instant as Moment, timeout_at};

use crate::command::Ended;
use crate::export::{Client, Signal, Target, Verdict, connect, deliver};
use crate::relay::{self, Parts};
use crate::report;
use crate::run::Began;
use crate::step::Step;

/// A connection still not made after this is begun anew: TCP waits longer and longer between its attempts.
const STALE: Duration = Duration::from_millis(900);
/// Spans of parts are sent together (`OTEL_BSP_SCHEDULE_DELAY`'s default).
const GATHER: Duration = Duration::from_secs(5);
/// They are sent while nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection, and what goes over it.
pub struct Outbox<'a> {
    step: &'a Step,
    preparing: Option<(JoinHandle<Result<Client, Verdict>>, Moment)>,
    parts: Option<Parts>,
    sending: Option<JoinHandle<Result<(), String>>>,
    send_at: Option<Moment>,
    done: bool,
}

impl<'a> Outbox<'a> {
    /// `parts` are those of a step; a part has none.
    pub fn new(step: &'a Step, parts: Option<Parts>) -> Self {
        Self { step, preparing: None, parts, sending: None, send_at: None, done: false }
    }

    /// Connects while the command runs; a part whose span another shim sends has no need to.
    pub fn prepare(&mut self) {
        if let (Ok(target), None) = (&self.step.target, &self.step.relay) {
            let target: Target = target.clone();
            self.preparing = Some((tokio::spawn(async move { connect(&target).await }), Moment::now()));
        }
    }

    /// Whether a connection is kept that nobody uses.
    pub fn is_prepared(&self) -> bool {
        self.preparing.is_some()
    }

    /// Gives the connection up; one that is still wanted later is made anew.
    pub fn rest(&mut self) {
        if let Some((preparing, _)) = self.preparing.take() {
            preparing.abort();
        }
    }

    /// Gathers spans of parts and sends them, for as long as this is polled; nothing is lost where it no longer is.
    pub async fn gather(&mut self) {
        let Some(parts) = &mut self.parts else { return std::future::pending().await };
        loop {
            match self.send_at {
                None => {
                    parts.next().await;
                    self.send_at = parts.are_waiting().then(|| Moment::now() + GATHER);
                }
                Some(at) => {
                    if timeout_at(at, parts.next()).await.is_ok() {
                        continue;
                    }
                    let busy = self.sending.as_ref().is_some_and(|sending| !sending.is_finished());
                    self.send_at = busy.then(|| Moment::now() + GATHER);
                    if !busy {
                        send(parts, &mut self.sending, self.step).await;
                    }
                }
            }
        }
    }

    /// Sends what the end of the command makes known, within the budget.
    pub async fn finish(&mut self, ended: Ended, began: Began, end: Instant, program: &str, asked: bool) {
        if self.done {
            return;
        }
        self.done = true;
        let deadline = Moment::from_std(end) + self.step.budget;
        let mut requests = report::requests(self.step, ended, began, end, program, asked);
        if let Some(name) = &self.step.relay {
            // What the step's shim takes is its affair; where there is none any more, it is ours.
            requests.retain(|(_, request)| relay::hand_over(name, request, self.step.budget / 5).is_err());
            if requests.is_empty() {
                return;
            }
        }
        let (waiting, lost) = self.parts.as_mut().map(Parts::take).unwrap_or_default();
        if !waiting.is_empty() {
            requests.push((Signal::Parts, waiting));
        }
        let mut dropped = self.deliver(requests, deadline).await;
        let early = match self.sending.take() {
            Some(sending) => timeout_at(deadline, sending).await.map_or(Ok(()), |sent| sent.unwrap_or(Ok(()))),
            None => Ok(()),
        };
        dropped.extend(early.err().map(|why| (Signal::Parts, why)));
        dropped.extend((lost > 0).then(|| (Signal::Parts, format!("no room for {lost} of them"))));
        tell(&dropped);
    }

    async fn deliver(&mut self, requests: Vec<(Signal, Vec<u8>)>, deadline: Moment) -> Vec<(Signal, String)> {
        let mut dropped = Vec::new();
        let target = match &self.step.target {
            Ok(target) => target,
            Err(why) => return requests.into_iter().map(|(signal, _)| (signal, why.clone())).collect(),
        };
        let mut client = match self.preparing.take() {
            // A failed attempt is made once more: the Collector may have come up since.
            Some((preparing, since)) if preparing.is_finished() || since.elapsed() < STALE => {
                timeout_at(deadline, preparing).await.ok().and_then(Result::ok).and_then(Result::ok)
            }
            Some((preparing, _)) => {
                preparing.abort();
                None
            }
            None => None,
        };
        for (signal, request) in requests {
            if let Err(why) = deliver(&mut client, target, (signal, request), deadline).await {
                dropped.push((signal, why));
            }
        }
        dropped
    }
}

/// Sends what waits. What was sent before has ended, so this waits for nothing.
async fn send(parts: &mut Parts, sending: &mut Option<JoinHandle<Result<(), String>>>, step: &Step) {
    let before = match sending.take() {
        Some(before) => before.await.unwrap_or(Ok(())),
        None => Ok(()),
    };
    if let Err(why) = before {
        tell(&[(Signal::Parts, why)]);
    }
    let (Ok(target), (waiting, lost)) = (&step.target, parts.take()) else { return };
    if lost > 0 {
        tell(&[(Signal::Parts, format!("no room for {lost} of them"))]);
    }
    let target = target.clone();
    *sending = Some(tokio::spawn(async move {
        deliver(&mut None, &target, (Signal::Parts, waiting), Moment::now() + PATIENCE).await
    }));
}

/// One line for all that was dropped.
fn tell(dropped: &[(Signal, String)]) {
    let what: Vec<&str> = dropped.iter().map(|(signal, _)| signal.what()).collect();
    if let Some((_, why)) = dropped.first() {
        report::say(&format!("{} dropped: {why}", what.join(" and ")));
    }
}
