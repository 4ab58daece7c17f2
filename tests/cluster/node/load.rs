//! What goes on all the time while something happens to us: pods that are created to no end, and workflows that run to theirs.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;

use super::release::{pod, quick};
use crate::{
    cases::certificates::is_injected,
    harness::{api::Reply, namespace::Namespace},
};

/// Longer than any call takes that finds somebody to answer.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the API server takes, on a machine that stands still, for an answer that needs nobody else's.
const STALL: Duration = Duration::from_millis(500);

/// From the beginning of a call to its end.
#[derive(Debug, Clone, Copy)]
struct Call {
    began: Instant,
    ended: Instant,
}

/// What became of the calls of one phase.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub injected: usize,
    /// By nobody's fault but ours.
    pub missed: usize,
    /// While the API server took long for an answer of its own as well.
    pub stalled: usize,
    /// The API server itself was away, or gave up on etcd.
    pub away: usize,
    /// Refused because of us.
    pub refused: Vec<String>,
    pub longest: Duration,
    /// Of those that nobody answered, the one that waited least: what a slow machine adds is not in it.
    pub shortest_missed: Option<Duration>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { injected, missed, stalled, away, refused, longest, shortest_missed: _ } = self;
        let refused = refused.len();
        write!(f, "{injected} injected, {missed} missed, {refused} refused, {away} without an API server")?;
        if *stalled > 0 {
            write!(f, ", {stalled} missed by a machine that stood still")?;
        }
        write!(f, "; longest {} ms", longest.as_millis())
    }
}

#[derive(Debug, Default, Clone)]
struct Counted {
    tally: Tally,
    missed: Vec<Call>,
}

/// The load, for as long as it is not [`Load::end`]ed.
pub struct Load<'a> {
    steps: &'a Namespace<'a>,
    pod: Value,
    done: AtomicBool,
    phase: Mutex<&'static str>,
    counted: Mutex<BTreeMap<&'static str, Counted>>,
    stalls: Mutex<Vec<Call>>,
}

impl<'a> Load<'a> {
    /// A load of a namespace, in its first phase.
    pub fn of(steps: &'a Namespace<'a>, phase: &'static str) -> Result<Self> {
        let (phase, pod) = (Mutex::new(phase), pod()?);
        Ok(Self { steps, pod, done: false.into(), phase, counted: Mutex::default(), stalls: Mutex::default() })
    }

    /// Under this name calls are counted from now on; those of before have ended when it returns.
    pub fn begin(&self, phase: &'static str) {
        *held(&self.phase) = phase;
        thread::sleep(SETTLE);
    }

    pub fn end(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::Relaxed)
    }

    /// What became of a phase's calls until now.
    pub fn tally(&self, phase: &str) -> Tally {
        let Counted { mut tally, missed } = held(&self.counted).get(phase).cloned().unwrap_or_default();
        let stalls = held(&self.stalls);
        let by_a_stall = |call: &&Call| stalls.iter().any(|stall| call.began < stall.ended && stall.began < call.ended);
        tally.stalled = missed.iter().filter(by_a_stall).count();
        tally.missed = missed.len() - tally.stalled;
        tally.shortest_missed = missed.iter().map(|call| call.ended - call.began).min();
        tally
    }

    /// Every phase there was.
    pub fn tallies(&self) -> Vec<(&'static str, Tally)> {
        let phases: Vec<_> = held(&self.counted).keys().copied().collect();
        phases.into_iter().map(|phase| (phase, self.tally(phase))).collect()
    }

    /// How often the machine stood still.
    pub fn stalls(&self) -> usize {
        held(&self.stalls).len()
    }

    pub fn create_pods(&self) {
        while self.goes_on() {
            let (phase, began) = (*held(&self.phase), Instant::now());
            let reply = self.steps.create_object("pods?dryRun=All", &self.pod);
            let call = Call { began, ended: Instant::now() };
            let mut counted = held(&self.counted);
            let Counted { tally, missed } = counted.entry(phase).or_default();
            tally.longest = tally.longest.max(call.ended - call.began);
            match reply {
                Ok(reply) if reply.is_success() && is_injected(&reply) => tally.injected += 1,
                Ok(reply) if reply.is_success() => missed.push(call),
                Ok(reply) if is_ours(&reply) => tally.refused.push(reply.message().to_owned()),
                Ok(_) | Err(_) => tally.away += 1,
            }
            drop(counted);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the API server what it answers alone, and notes when that takes long.
    pub fn watch_the_machine(&self) {
        while self.goes_on() {
            let began = Instant::now();
            let answered = self.steps.api().get("/version").is_ok();
            let call = Call { began, ended: Instant::now() };
            if answered && call.ended - call.began > STALL {
                held(&self.stalls).push(call);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Submits a workflow now and then; gives their names.
    pub fn submit_workflows(&self) -> Vec<String> {
        let mut names = Vec::new();
        while self.goes_on() {
            let name = format!("load-{}", names.len());
            // While the API server is away nothing can be submitted.
            if self.steps.submit(&two_steps(&name)).is_ok() {
                names.push(name);
            }
            thread::sleep(Duration::from_secs(2));
        }
        names
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_ours(reply: &Reply) -> bool {
    ["webhook", "stepspan"].iter().any(|word| reply.message().contains(word))
}

/// Two steps, of which the second waits for the first.
pub fn two_steps(name: &str) -> String {
    quick(name, "[[{name: first, template: step}], [{name: second, template: step}]]")
}
