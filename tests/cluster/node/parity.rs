use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use similar::TextDiff;

use super::{Sample, expected, outcome, samples};
use crate::{
    cases::{Shared, trial},
    harness::{Cluster, stepspan::Stepspan},
};

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let trials = samples()?.into_iter().map(|sample| {
        trial(cluster, format!("node::parity::{}", sample.stem), move |cluster| same_and_traced(cluster, &sample))
    });
    Ok(trials.collect())
}

fn same_and_traced(cluster: &Cluster, sample: &Sample) -> Result<()> {
    let plain = sample.namespace(cluster, "plain")?;
    let without = sample.run(&plain)?;
    let traced = sample.namespace(cluster, "traced")?;
    let stepspan = Stepspan::start(cluster, &traced, None)?;
    let with = sample.run(&traced)?;
    same(&outcome(&without), &outcome(&with))?;
    expected::spans_of(cluster, &traced, &with)?;
    drop(stepspan);
    Ok(())
}

/// An error that shows the difference.
pub fn same(without: &serde_json::Value, with: &serde_json::Value) -> Result<()> {
    let (a, b) = (serde_json::to_string_pretty(without)?, serde_json::to_string_pretty(with)?);
    let diff = TextDiff::from_lines(&a, &b);
    ensure!(a == b, "not the same with us:\n{}", diff.unified_diff().header("without", "with"));
    Ok(())
}
