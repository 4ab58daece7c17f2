//! From what becomes of pods to what is stopped.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{
    LONGEST_WAIT, Phase, Settings, Stop, Stops,
    symptom::{Health, Seen},
};

/// How long a failed pod counts: it stays where it is, unlike one that is stuck.
const FAILURE_COUNTS: Duration = Duration::from_mins(10);

/// All circuits.
#[derive(Debug)]
pub struct Circuits {
    settings: Settings,
    stops: Stops,
    sick: BTreeMap<String, Sick>,
}

/// A pod in which our part does not start.
#[derive(Debug)]
struct Sick {
    pod: Pod,
    created: SystemTime,
    why: String,
    /// When it is held against us.
    counts_from: SystemTime,
    /// Until when, where it is not until it is gone.
    counts_until: Option<SystemTime>,
    /// It is from before the circuit closed: it may take its time.
    excused: bool,
}

/// Which pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// A circuit that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whose; `None` is the cluster's.
    pub namespace: Option<String>,
    /// What it is now; `None` is closed.
    pub now: Option<Stop>,
    /// A pod that made it open.
    pub pod: Option<Pod>,
}

impl Turn {
    fn closed(namespace: Option<&str>) -> Self {
        Self { namespace: namespace.map(str::to_owned), now: None, pod: None }
    }
}

impl Circuits {
    /// Goes on from what is stopped; every pod is still to be seen.
    pub fn new(settings: Settings, stops: Stops) -> Self {
        Self { settings, stops, sick: BTreeMap::new() }
    }

    /// What is stopped.
    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Somebody else says what is stopped: an operator.
    pub fn overrule(&mut self, stops: Stops) {
        self.stops = stops;
        self.excuse(|_| true);
    }

    /// Takes in how a pod is doing.
    pub fn see(&mut self, seen: Seen, now: SystemTime) -> Vec<Turn> {
        let Seen { uid, namespace, name, created, health } = seen;
        let (why, counts_from, counts_until) = match health {
            Health::Unknown => {
                self.sick.remove(&uid);
                return Vec::new();
            }
            Health::Well(at) => {
                self.sick.remove(&uid);
                return self.well(&namespace, at);
            }
            Health::Stuck(why) => (why, now + self.settings.after, None),
            Health::Failed(why, at) => (why, at, Some(at + FAILURE_COUNTS)),
        };
        let pod = Pod { namespace, name, uid: uid.clone() };
        let fresh = Sick { pod, created, why: String::new(), counts_from, counts_until, excused: false };
        self.sick.entry(uid).or_insert(fresh).why = why;
        Vec::new()
    }

    /// A pod is gone.
    pub fn gone(&mut self, uid: &str) {
        self.sick.remove(uid);
    }

    /// Forgets the pods that are not to be kept.
    pub fn keep(&mut self, whom: impl Fn(&str) -> bool) {
        self.sick.retain(|uid, _| whom(uid));
    }

    /// What has come to pass by `now`.
    pub fn turn(&mut self, now: SystemTime) -> Vec<Turn> {
        self.sick.retain(|_, sick| sick.counts_until.is_none_or(|until| now < until));
        if let Some(stop) = &self.stops.cluster {
            let mut turns: Vec<_> = self.next(stop, None, now).into_iter().collect();
            if turns.iter().any(|turn| turn.now.is_none()) {
                turns.extend(self.stops.namespaces.keys().map(|namespace| Turn::closed(Some(namespace))));
            }
            self.apply(&turns);
            return turns;
        }
        let stopped = self.stops.namespaces.iter();
        let mut turns: Vec<_> = stopped.filter_map(|(of, stop)| self.next(stop, Some(of), now)).collect();
        turns.extend(self.opening(now));
        self.apply(&turns);
        // A namespace that is quiet, or gone, says nothing of the cluster.
        let ill = self.stops.namespaces.iter().filter(|(namespace, _)| self.any_sick(Some(namespace)));
        let reasons: Vec<_> = ill.map(|(_, stop)| stop.reason.clone()).collect();
        if let Some(reason) = reasons.last().filter(|_| reasons.len() >= self.settings.namespaces) {
            let stop = self.open(now, self.settings.retry, reason.clone());
            let turn = Turn { namespace: None, now: Some(stop), pod: None };
            self.apply(std::slice::from_ref(&turn));
            turns.push(turn);
        }
        turns
    }

    /// How long nothing can come to pass by itself.
    pub fn rest(&self, now: SystemTime) -> Option<Duration> {
        let due = self.stops.all().map(|(_, stop)| stop.until);
        let counting = self.sick.values().filter(|sick| !sick.excused).map(|sick| sick.counts_from);
        let next = due.chain(counting.filter(|at| *at > now)).min()?;
        Some(next.duration_since(now).unwrap_or_default())
    }

    /// The circuits of namespaces that are closed and have too many sick pods.
    fn opening(&self, now: SystemTime) -> Vec<Turn> {
        let mut by_namespace: BTreeMap<&str, Vec<&Sick>> = BTreeMap::new();
        for sick in self.counting(now) {
            by_namespace.entry(&sick.pod.namespace).or_default().push(sick);
        }
        let closed = by_namespace.into_iter().filter(|(namespace, sick)| {
            sick.len() >= self.settings.pods && !self.stops.namespaces.contains_key(*namespace)
        });
        let turn = |(namespace, sick): (&str, Vec<&Sick>)| {
            let first = sick.iter().min_by_key(|sick| (sick.created, &sick.pod.name))?;
            let reason = format!("{} pods, such as {}: {}", sick.len(), first.pod.name, first.why);
            let stop = self.open(now, self.settings.retry, reason);
            Some(Turn { namespace: Some(namespace.to_owned()), now: Some(stop), pod: Some(first.pod.clone()) })
        };
        closed.filter_map(turn).collect()
    }

    /// Whether our part does not start in some pod of a namespace, or of the cluster; since when does not count.
    fn any_sick(&self, of: Option<&str>) -> bool {
        self.sick.values().any(|sick| of.is_none_or(|namespace| sick.pod.namespace == namespace))
    }

    /// What becomes of a circuit that is not closed.
    fn next(&self, stop: &Stop, of: Option<&str>, now: SystemTime) -> Option<Turn> {
        let turn = |stop: Stop, pod: Option<Pod>| Turn { namespace: of.map(str::to_owned), now: Some(stop), pod };
        let failed = || {
            // Creation times are in whole seconds.
            let trial = |sick: &&Sick| sick.created + Duration::from_secs(1) > stop.since;
            let here = |sick: &&Sick| of.is_none_or(|namespace| sick.pod.namespace == namespace);
            self.counting(now).find(|sick| here(sick) && trial(sick))
        };
        match stop.phase {
            Phase::Open if now >= stop.until => {
                let until = now + stop.wait();
                Some(turn(Stop { phase: Phase::Trial, since: now, until, reason: stop.reason.clone() }, None))
            }
            Phase::Open => None,
            Phase::Trial => match failed() {
                Some(sick) => {
                    let reason = format!("a trial failed, {}: {}", sick.pod.name, sick.why);
                    Some(turn(self.open(now, stop.wait() * 2, reason), Some(sick.pod.clone())))
                }
                None if now < stop.until => None,
                // No pod came, and none is left that did not start: as good as new.
                None if !self.any_sick(of) => Some(Turn::closed(of)),
                // Nothing was heard of the trial's pods: the next ones.
                None => Some(turn(Stop { since: now, until: now + stop.wait(), ..stop.clone() }, None)),
            },
        }
    }

    fn open(&self, now: SystemTime, wait: Duration, reason: String) -> Stop {
        let wait = wait.clamp(self.settings.retry, LONGEST_WAIT.max(self.settings.retry));
        Stop { phase: Phase::Open, since: now, until: now + wait, reason }
    }

    /// Our part of a pod began to run at `at`: whatever was stopped before is mended.
    fn well(&mut self, namespace: &str, at: SystemTime) -> Vec<Turn> {
        // Start times are in whole seconds. During a trial any start counts, before it only one since the circuit opened.
        let mended = |stop: &Stop| at > stop.since || (stop.phase == Phase::Trial && at == stop.since);
        let turns: Vec<Turn> = if self.stops.cluster.as_ref().is_some_and(mended) {
            self.excuse(|_| true);
            let all = self.stops.namespaces.keys().map(|namespace| Turn::closed(Some(namespace)));
            std::iter::once(Turn::closed(None)).chain(all).collect()
        } else if self.stops.namespaces.get(namespace).is_some_and(mended) {
            self.excuse(|sick| sick.pod.namespace == namespace);
            vec![Turn::closed(Some(namespace))]
        } else {
            Vec::new()
        };
        self.apply(&turns);
        turns
    }

    fn excuse(&mut self, whom: impl Fn(&Sick) -> bool) {
        self.sick.values_mut().filter(|sick| whom(sick)).for_each(|sick| sick.excused = true);
    }

    fn counting(&self, now: SystemTime) -> impl Iterator<Item = &Sick> {
        self.sick.values().filter(move |sick| !sick.excused && sick.counts_from <= now)
    }

    fn apply(&mut self, turns: &[Turn]) {
        for Turn { namespace, now, .. } in turns {
            match (namespace, now) {
                (None, stop) => self.stops.cluster.clone_from(stop),
                (Some(namespace), None) => drop(self.stops.namespaces.remove(namespace)),
                (Some(namespace), Some(stop)) => drop(self.stops.namespaces.insert(namespace.clone(), stop.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
