use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use super::{RACE, Sample, expected, outcome, samples, trial};
use crate::{
    cases::Shared,
    harness::{Cluster, kept, stepspan::Stepspan},
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
    let traced = sample.namespace(cluster, "traced")?;
    let parent = sample.declared("parent").map(|parent| format!("  traceContext: {{parent: {parent}}}\n"));
    let policy = patient_policy() + &parent.unwrap_or_default();
    let stepspan = Stepspan::start(cluster, &traced, Some(&policy))?;
    let with = sample.run(&traced)?;
    kept::run("node", &sample.stem, &traced, &with)?;
    as_without_us(cluster, sample, &outcome::of(cluster, &traced, &with)?)?;
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

/// How often a sample is run without us at most. Argo alone does not always come to the same: what a command's grandchild or its
/// executor writes last is lost now and then. What it came to with us is asked for again only where the sample declares a race.
const RUNS: usize = 3;

/// What a sample came to with us has to be what it comes to without us; that is asked for again only where it differs.
pub fn as_without_us(cluster: &Cluster, sample: &Sample, with: &Value) -> Result<()> {
    static KNOWN: Mutex<BTreeMap<String, Vec<Value>>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seen = known().get(&sample.stem).cloned().unwrap_or_default();
    loop {
        if !seen.is_empty() {
            let Err(difference) = outcome::among(&seen, with) else { return Ok(()) };
            let race = if sample.races(&difference) { RACE } else { "" };
            ensure!(seen.len() < RUNS, "{race}{difference:#}");
            eprintln!("cluster: {} is run without us once more: {difference:#}", sample.stem);
        }
        let without = without_us(cluster, sample)?;
        known().entry(sample.stem.clone()).or_default().push(without.clone());
        seen.push(without);
    }
}

/// What it comes to in a namespace that no webhook is registered for.
fn without_us(cluster: &Cluster, sample: &Sample) -> Result<Value> {
    let namespace = sample.namespace(cluster, "plain")?;
    outcome::of(cluster, &namespace, &sample.run(&namespace)?)
}
