//! Trials with pods that run.

mod breaker;
mod cert_manager;
mod different;
mod doctor;
pub mod expected;
mod faults;
mod half_open;
pub mod harm;
mod install;
mod links;
mod load;
mod outcome;
mod own_secret;
/// Every file of `workflows/` ends with us as it ends without us, and each of its commands is one span.
pub mod parity;
pub mod release;
mod replica_process;
mod unreachable;
mod watch;

use std::sync::{PoisonError, RwLock};

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    cases::{self, Shared},
    harness::{Cluster, namespace::Namespace, workflows},
};

pub fn all(cluster: &Shared) -> Result<Vec<Trial>> {
    let mut trials = parity::trials(cluster)?;
    trials.extend(unreachable::trials(cluster)?);
    trials.extend(different::trials(cluster));
    trials.extend(install::trials(cluster));
    trials.extend(breaker::trials(cluster));
    trials.extend(faults::trials(cluster));
    trials.extend(half_open::trials(cluster));
    trials.extend(own_secret::trials(cluster));
    trials.extend(cert_manager::trials(cluster));
    trials.extend(doctor::trials(cluster));
    trials.extend(links::trials(cluster));
    trials.extend(watch::trials(cluster)?);
    // Each of them waits until no other trial runs, and lets none begin meanwhile: at first, none does.
    trials.sort_by_key(|trial| trial.kind() != ALONE);
    Ok(trials)
}

/// Held for writing by a trial that needs the machine for itself, for reading by every other.
static MACHINE: RwLock<()> = RwLock::new(());

/// The kind of a trial that needs it.
const ALONE: &str = "alone";

/// How a workflow fails, with or without us, whose `wait` container Argo signalled before that listened.
const TOO_EARLY: &str = "wait: Error (exit code 2)";

/// How the error begins of a trial in which a step lost, or won, a race that its sample declares.
const RACE: &str = "in a race, ";

/// How the error begins of a trial in which this machine was slower than the longest time that a policy can give a step or its probe.
const TOO_SLOW: &str = "on a machine that is too slow, ";

/// A trial that shares the machine, or does not. One that failed as [`TOO_EARLY`], [`RACE`] or [`TOO_SLOW`] says is told of, and tried
/// once more in namespaces of its own; whatever else fails has failed.
pub fn trial(
    cluster: &Shared,
    name: String,
    alone: bool,
    body: impl Fn(&Cluster) -> Result<()> + Send + 'static,
) -> Trial {
    let told = name.clone();
    let trial = cases::trial(cluster, name, move |cluster| {
        // What is guarded cannot be left half done.
        let _shared = (!alone).then(|| MACHINE.read().unwrap_or_else(PoisonError::into_inner));
        let _exclusive = alone.then(|| MACHINE.write().unwrap_or_else(PoisonError::into_inner));
        match body(cluster) {
            Err(error) if [TOO_EARLY, RACE, TOO_SLOW].iter().any(|known| format!("{error:#}").contains(known)) => {
                eprintln!("cluster: {told} failed, and is tried once more: {error:#}");
                body(cluster)
            }
            done => done,
        }
    });
    if alone { trial.with_kind(ALONE) } else { trial }
}

/// A file of `workflows/`. Its annotations say how it ends (`test.stepspan.dev/phase`), and which Pod Security level its
/// namespace enforces (`test.stepspan.dev/pod-security`), how many spans it leaves (`test.stepspan.dev/spans`) and what their
/// parents are (`test.stepspan.dev/parent`, as the policy's `traceContext.parent`), and whether no other trial may run meanwhile
/// (`test.stepspan.dev/alone`): on a machine that is too busy, Argo signals its own `wait` container before that listens, and the
/// step fails with or without us. Nodes with `test.stepspan.dev/races` in their names come out in more ways than one.
#[derive(Clone)]
pub struct Sample {
    stem: String,
    yaml: String,
}

fn samples() -> Result<Vec<Sample>> {
    Ok(workflows::read("node/workflows")?.into_iter().map(|(stem, yaml)| Sample { stem, yaml }).collect())
}

impl Sample {
    /// The value of an annotation `test.stepspan.dev/<key>`.
    fn declared(&self, key: &str) -> Option<&str> {
        let key = format!("test.stepspan.dev/{key}: ");
        let rest = &self.yaml[self.yaml.find(&key)? + key.len()..];
        rest.split([',', '}', '\n']).next()
    }

    fn namespace<'c>(&self, cluster: &'c Cluster, stem: &str) -> Result<Namespace<'c>> {
        let labels = match self.declared("pod-security") {
            Some(level) => json!({"pod-security.kubernetes.io/enforce": level}),
            None => json!({}),
        };
        cluster.namespace(&format!("{stem}-{}", self.stem), &labels)
    }

    /// Whether this difference is one of a node that races.
    fn races(&self, difference: &anyhow::Error) -> bool {
        let text = difference.to_string();
        let part = text.lines().next().unwrap_or_default();
        self.declared("races").is_some_and(|name| part.contains(name))
    }

    fn is_alone(&self) -> bool {
        self.declared("alone").is_some()
    }

    /// Runs it to its end, which has to be the declared one.
    fn run(&self, namespace: &Namespace<'_>) -> Result<Value> {
        namespace.run(&self.yaml, self.declared("phase").context("no phase is declared")?)
    }
}
