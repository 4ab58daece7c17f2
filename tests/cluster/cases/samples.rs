//! Adding a file to `workflows/` adds a trial. Its Workflow declares in annotations how it has to end:
//! `test.stepspan.dev/phase` and `test.stepspan.dev/pods`, the number of pods that API server and controller made of
//! it (daemons and agents included, though they are gone in the end).

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{Shared, trial};
use crate::harness::{
    namespace::{Namespace, describe},
    workflows,
};

/// A file of `workflows/`.
pub struct Sample {
    pub stem: String,
    pub yaml: String,
}

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let trials = samples()?.into_iter().map(|sample| {
        trial(cluster, format!("samples::{}", sample.stem), move |cluster| {
            let namespace = cluster.namespace(&sample.stem, &json!({}))?;
            sample.run(&namespace).map(drop)
        })
    });
    Ok(trials.collect())
}

/// All files of `workflows/`, by name.
pub fn samples() -> Result<Vec<Sample>> {
    Ok(workflows::read("workflows")?.into_iter().map(|(stem, yaml)| Sample { stem, yaml }).collect())
}

impl Sample {
    /// Runs the workflow to its end and holds it to what it declares.
    pub fn run(&self, namespace: &Namespace<'_>) -> Result<Value> {
        let submitted = namespace.submit(&self.yaml)?;
        let declared = |key: &str| {
            let key = format!("test.stepspan.dev/{key}");
            submitted["metadata"]["annotations"][&key].as_str().with_context(|| format!("annotation {key} is missing"))
        };
        let (phase, pods) = (declared("phase")?, declared("pods")?.parse::<usize>()?);
        let ended = namespace.wait_end(&submitted)?;
        ensure!(ended["status"]["phase"] == phase, "ended otherwise than {phase}:\n{}", describe(&ended));

        let made = namespace.pods(&ended)?;
        eprintln!("cluster: {} {phase}, {} pods", self.stem, made.len());
        let names: Vec<&Value> = made.iter().map(|pod| &pod["metadata"]["name"]).collect();
        ensure!(made.len() == pods, "{} pods instead of {pods}: {names:?}\n{}", made.len(), describe(&ended));
        Ok(ended)
    }
}

/// One of them.
pub fn sample(stem: &str) -> Result<Sample> {
    samples()?.into_iter().find(|sample| sample.stem == stem).with_context(|| format!("no sample {stem}"))
}
