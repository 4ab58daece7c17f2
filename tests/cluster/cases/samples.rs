//! Adding a file to `workflows/` adds a trial. Its Workflow declares in annotations how it has to end:
//! `test.stepspan.dev/phase` and `test.stepspan.dev/pods`, the number of pods that API server and controller made of
//! it (daemons and agents included, though they are gone in the end).

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{Shared, trial};
use crate::harness::{Cluster, namespace::describe};

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/workflows");
    let mut trials = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
        let yaml = fs::read_to_string(&path)?;
        trials.push(trial(cluster, format!("samples::{stem}"), move |cluster| runs_to_its_end(cluster, &stem, &yaml)));
    }
    trials.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(trials)
}

fn runs_to_its_end(cluster: &Cluster, stem: &str, yaml: &str) -> Result<()> {
    let namespace = cluster.namespace(stem, &json!({}))?;
    let submitted = namespace.submit(yaml)?;
    let declared = |key: &str| {
        let key = format!("test.stepspan.dev/{key}");
        submitted["metadata"]["annotations"][&key].as_str().with_context(|| format!("annotation {key} is missing"))
    };
    let (phase, pods) = (declared("phase")?, declared("pods")?.parse::<usize>()?);
    let ended = namespace.wait_end(&submitted)?;
    ensure!(ended["status"]["phase"] == phase, "ended otherwise than {phase}:\n{}", describe(&ended));

    let made = namespace.pods(&ended)?;
    eprintln!("cluster: {stem} {phase}, {} pods", made.len());
    let names: Vec<&Value> = made.iter().map(|pod| &pod["metadata"]["name"]).collect();
    ensure!(made.len() == pods, "{} pods instead of {pods}: {names:?}\n{}", made.len(), describe(&ended));
    Ok(())
}
