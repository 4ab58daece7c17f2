use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use serde_json::Value;

use super::{Sample, expected, outcome, samples, trial};
use crate::{
    cases::Shared,
    harness::{Cluster, stepspan::Stepspan},
};

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let trials = samples()?.into_iter().map(|sample| {
        trial(cluster, format!("node::parity::{}", sample.stem), sample.is_alone(), move |cluster| {
            same_and_traced(cluster, &sample)
        })
    });
    Ok(trials.collect())
}

fn same_and_traced(cluster: &Cluster, sample: &Sample) -> Result<()> {
    let without = without_us(cluster, sample)?;
    let traced = sample.namespace(cluster, "traced")?;
    let parent = sample.declared("parent").map(|parent| format!("  traceContext: {{parent: {parent}}}\n"));
    let policy = patient_policy() + &parent.unwrap_or_default();
    let stepspan = Stepspan::start(cluster, &traced, Some(&policy))?;
    let with = sample.run(&traced)?;
    outcome::same(&without, &outcome::of(cluster, &traced, &with)?)?;
    let spans = sample.declared("spans").context("no number of spans is declared")?.trim_matches('"').parse()?;
    expected::spans_of(cluster, &traced, &with, spans)?;
    drop(stepspan);
    Ok(())
}

/// The default, but for budget and probe: dozens of containers that start at once on a small machine let each other wait, and what is
/// asked here is what arrives, not how soon.
pub fn patient_policy() -> String {
    let patience = "  shim: {budget: 5s}\n  initContainer: {probe: {timeout: 5s}}\n";
    format!("{}{patience}", include_str!("../../../policies/agent-steps/policy.yaml"))
}

static KNOWN: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());

/// Forgets what samples came to without us: the next trial runs them again.
pub fn forget() {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What it comes to in a namespace that no webhook is registered for; run once.
pub fn without_us(cluster: &Cluster, sample: &Sample) -> Result<Value> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(outcome) = known().get(&sample.stem) {
        return Ok(outcome.clone());
    }
    let namespace = sample.namespace(cluster, "plain")?;
    let outcome = outcome::of(cluster, &namespace, &sample.run(&namespace)?)?;
    known().insert(sample.stem.clone(), outcome.clone());
    Ok(outcome)
}
