//! From what becomes of pods to what is stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use super::{
    LONGEST_WAIT, Phase, Settings, Stop, Stops,
    symptom::{Health, Seen},
};

/// How long a failed pod counts: it stays where it is, unlike one that is stuck.
const FAILURE_COUNTS: Duration = Duration::from_mins(10);

/// Pods are stamped by another clock than ours: by so much they may differ, where a trial is long enough for it.
const CLOCKS: Duration = Duration::from_secs(10);

/// All circuits.
#[derive(Debug)]
pub struct Circuits {
    settings: Settings,
    stops: Stops,
    sick: BTreeMap<String, Sick>,
    /// When our part was last seen to start, in whatever pod.
    well: Option<SystemTime>,
}

/// A pod in which our part does not start.
#[derive(Debug)]
struct Sick {
    pod: Pod,
    created: SystemTime,
    why: String,
    /// When it was first seen so.
    first: SystemTime,
    /// When it is held against us.
    counts_from: SystemTime,
    /// Until when, where it is not until it is gone.
    counts_until: Option<SystemTime>,
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
        Self { settings, stops, sick: BTreeMap::new(), well: None }
    }

    /// What is stopped.
    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Somebody else says what is stopped: an operator. Pods of before are old news.
    pub fn overrule(&mut self, stops: Stops, now: SystemTime) {
        self.stops = Stops { closed: Some(now), ..stops };
    }

    /// Takes in how a pod is doing.
    pub fn see(&mut self, seen: Seen, now: SystemTime) -> Vec<Turn> {
        let Seen { uid, namespace, name, created, health } = seen;
        let (why, counts_from, counts_until) = match health {
            Health::Unknown => {
                self.sick.remove(&uid);
                return Vec::new();
            }
            Health::Well => {
                let recovered = self.sick.remove(&uid).is_some();
                return self.well(&namespace, created, recovered, now);
            }
            Health::Stuck(why) => (why, now + self.settings.after, None),
            Health::Failed(why, at) => (why, now, Some(at + FAILURE_COUNTS)),
        };
        let pod = Pod { namespace, name, uid: uid.clone() };
        let fresh = Sick { pod, created, why, first: now, counts_from, counts_until };
        match self.sick.get_mut(&uid) {
            // The same illness by another word: it is as old as before.
            Some(known) if known.counts_until.is_some() == fresh.counts_until.is_some() => known.why = fresh.why,
            _ => drop(self.sick.insert(uid, fresh)),
        }
        Vec::new()
    }

    /// A pod is gone.
    pub fn gone(&mut self, uid: &str) {
        self.sick.remove(uid);
    }

    /// Whether the cluster's circuit would open before long, if our part started nowhere: it has to be looked whether it does.
    pub fn is_in_doubt(&self) -> bool {
        let none_since = self.sick.values().filter(|sick| self.none_started_since(sick));
        let namespaces: BTreeSet<&str> = none_since.map(|sick| sick.pod.namespace.as_str()).collect();
        self.stops.cluster.is_none() && namespaces.len() >= self.settings.namespaces
    }

    /// Forgets the pods that are not to be kept.
    pub fn keep(&mut self, whom: impl Fn(&str) -> bool) {
        self.sick.retain(|uid, _| whom(uid));
    }

    /// What has come to pass by `now`.
    pub fn turn(&mut self, now: SystemTime) -> Vec<Turn> {
        self.sick.retain(|_, sick| sick.counts_until.is_none_or(|until| now < until));
        let turns: Vec<Turn> = if let Some(stop) = &self.stops.cluster {
            self.next(stop, None, now).into_iter().collect()
        } else {
            let stopped = self.stops.namespaces.iter();
            let turned = stopped.filter_map(|(of, stop)| self.next(stop, Some(of), now));
            turned.chain(self.opening(now)).chain(self.opening_everywhere(now)).collect()
        };
        self.apply(&turns, now);
        turns
    }

    /// How long nothing can come to pass by itself.
    pub fn rest(&self, now: SystemTime) -> Option<Duration> {
        let due: Vec<_> = match &self.stops.cluster {
            Some(stop) => vec![stop.until],
            None => self.stops.namespaces.values().map(|stop| stop.until).collect(),
        };
        let counting = self.sick.values().map(|sick| sick.counts_from).filter(|at| *at > now);
        let next = due.into_iter().chain(counting).min()?;
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

    /// The cluster's circuit: pods are stuck in several namespaces, and since then none has started in any.
    fn opening_everywhere(&self, now: SystemTime) -> Option<Turn> {
        let stuck: Vec<&Sick> = self.counting(now).filter(|sick| self.none_started_since(sick)).collect();
        let namespaces: BTreeSet<&str> = stuck.iter().map(|sick| sick.pod.namespace.as_str()).collect();
        if namespaces.len() < self.settings.namespaces || stuck.len() < self.settings.pods {
            return None;
        }
        let first = stuck.iter().min_by_key(|sick| (sick.created, &sick.pod.name))?;
        let count = format!("{} pods of {} namespaces", stuck.len(), namespaces.len());
        let reason = format!("{count}, such as {}/{}: {}", first.pod.namespace, first.pod.name, first.why);
        let stop = self.open(now, self.settings.retry, reason);
        Some(Turn { namespace: None, now: Some(stop), pod: Some(first.pod.clone()) })
    }

    /// Whether our part has started nowhere since this pod was first seen so. Times are in whole seconds: what is of the same second is
    /// taken for before.
    fn none_started_since(&self, sick: &Sick) -> bool {
        self.well.is_none_or(|well| sick.first > well)
    }

    /// Whether our part does not start in some pod of a namespace, or of the cluster; since when does not count.
    fn any_sick(&self, of: Option<&str>) -> bool {
        self.sick.values().any(|sick| of.is_none_or(|namespace| sick.pod.namespace == namespace))
    }

    /// What becomes of a circuit that is not closed.
    fn next(&self, stop: &Stop, of: Option<&str>, now: SystemTime) -> Option<Turn> {
        let turn = |stop: Stop, pod: Option<Pod>| Turn { namespace: of.map(str::to_owned), now: Some(stop), pod };
        let failed = || {
            let here = |sick: &&Sick| of.is_none_or(|namespace| sick.pod.namespace == namespace);
            let mut held = self.sick.values().filter(|sick| sick.counts_from <= now);
            held.find(|sick| here(sick) && is_of_trial(stop, sick.created))
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

    /// Our part of a pod runs. A pod of a trial, or one that was stuck, says that what was stopped is mended: for its own
    /// namespace, and for the cluster. Of the other namespaces it says nothing.
    fn well(&mut self, namespace: &str, created: SystemTime, recovered: bool, now: SystemTime) -> Vec<Turn> {
        self.well = Some(now);
        let mended = |stop: &Stop| recovered || (stop.phase == Phase::Trial && is_of_trial(stop, created));
        let cluster = self.stops.cluster.iter().filter(|stop| mended(stop)).map(|_| Turn::closed(None));
        let own = self.stops.namespaces.get(namespace).into_iter();
        let own = own.filter(|stop| mended(stop) || self.stops.cluster.as_ref().is_some_and(mended));
        let turns: Vec<Turn> = cluster.chain(own.map(|_| Turn::closed(Some(namespace)))).collect();
        self.apply(&turns, now);
        turns
    }

    fn counting(&self, now: SystemTime) -> impl Iterator<Item = &Sick> {
        let old = move |sick: &&Sick| self.stops.closed.is_some_and(|closed| sick.created <= closed);
        self.sick.values().filter(move |sick| sick.counts_from <= now && !old(sick))
    }

    fn apply(&mut self, turns: &[Turn], at: SystemTime) {
        for Turn { namespace, now, .. } in turns {
            if now.is_none() {
                self.stops.closed = Some(at);
            }
            match (namespace, now) {
                (None, stop) => self.stops.cluster.clone_from(stop),
                (Some(namespace), None) => drop(self.stops.namespaces.remove(namespace)),
                (Some(namespace), Some(stop)) => drop(self.stops.namespaces.insert(namespace.clone(), stop.clone())),
            }
        }
    }
}

/// Whether a pod was created when a trial let it through.
fn is_of_trial(stop: &Stop, created: SystemTime) -> bool {
    // In whole seconds, and by the API server's clock.
    created + CLOCKS.min(stop.wait() / 4).max(Duration::from_secs(1)) > stop.since
}

#[cfg(test)]
mod tests;
