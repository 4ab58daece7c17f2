//! Whether a pod may be injected, as a review asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;

use super::{Phase, Stops};

/// What the breaker lets through. Readers wait for nobody unless a trial is on.
#[derive(Debug, Default)]
pub struct Gate {
    stops: ArcSwap<Stops>,
    /// What is stopped is to be heard of, and has not been yet.
    awaited: AtomicBool,
    /// The trials of which this replica has had its pod, by scope.
    spent: Mutex<BTreeMap<String, SystemTime>>,
}

impl Gate {
    /// A gate that is not to be relied on before the first [`Self::set`].
    pub fn awaiting() -> Self {
        Self { awaited: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether what is stopped has not been heard of yet.
    pub fn awaits(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// What is stopped.
    pub fn stops(&self) -> Arc<Stops> {
        self.stops.load_full()
    }

    /// From now on `stops` counts.
    pub fn set(&self, stops: Stops) {
        self.spent().retain(|scope, _| stops.all().any(|(stopped, _)| stopped == scope));
        self.stops.store(Arc::new(stops));
        self.awaited.store(false, Ordering::Relaxed);
    }

    /// Whether a pod of `namespace` that would be injected may be. `real` is false for a dry run, which is no trial.
    pub fn admits(&self, namespace: &str, real: bool) -> bool {
        let stops = self.stops.load();
        match stops.of(namespace) {
            None => true,
            Some((_, stop)) if stop.phase == Phase::Open => false,
            Some((scope, stop)) => real && self.spend(scope, stop.since),
        }
    }

    fn spend(&self, scope: &str, trial: SystemTime) -> bool {
        self.spent().insert(scope.to_owned(), trial) != Some(trial)
    }

    fn spent(&self) -> MutexGuard<'_, BTreeMap<String, SystemTime>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::breaker::Stop;

    fn stop(phase: Phase, since: u64) -> Stop {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
        Stop { phase, since, until: since + Duration::from_mins(5), reason: "ErrImagePull".into() }
    }

    #[test]
    fn an_open_circuit_lets_nothing_through_and_a_trial_one_pod() {
        let gate = Gate::default();
        assert!(gate.admits("ci", true));
        let namespaces =
            BTreeMap::from([("ci".to_owned(), stop(Phase::Open, 1)), ("qa".to_owned(), stop(Phase::Trial, 1))]);
        gate.set(Stops { namespaces, ..Stops::default() });
        assert!(!gate.admits("ci", true) && gate.admits("other", true));
        assert!(!gate.admits("qa", false), "a dry run is no trial");
        assert!(gate.admits("qa", true) && !gate.admits("qa", true));
        let again = BTreeMap::from([("qa".to_owned(), stop(Phase::Trial, 600))]);
        gate.set(Stops { namespaces: again, ..Stops::default() });
        assert!(gate.admits("qa", true) && !gate.admits("qa", true), "each trial has a pod of its own");
        gate.set(Stops { cluster: Some(stop(Phase::Trial, 700)), ..Stops::default() });
        assert!(gate.admits("a", true) && !gate.admits("b", true), "one pod in the whole cluster");
    }
}
