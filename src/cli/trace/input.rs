//! Files -> Workflows and their pods.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cli::stdin_once;
use crate::source::files::{self, is_stdin};
use crate::trace::pod::Pod;
use crate::trace::{Known, Run};
use crate::yaml::documents_up_to;

/// Longest document: a List of the Workflows and pods of a namespace is one.
const MAX_DOCUMENT: usize = 256 << 20;

/// A run, and what is known of it besides.
#[derive(Debug)]
pub(super) struct Found {
    pub run: Run,
    pub known: Known,
}

/// All Workflows in files, each with those of their pods that are in them.
///
/// # Errors
/// A file that cannot be read, a Workflow whose nodes cannot be, or no Workflow at all.
pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Found>> {
    stdin_once(paths)?;
    let mut objects = Vec::new();
    for path in paths {
        let name = if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() };
        let before = objects.len();
        take(path, &name, &mut objects)?;
        if objects.len() == before {
            bail!("{name}: no Workflow in it; save one with `kubectl get workflow NAME -o yaml`");
        }
    }
    found(objects)
}

/// The Workflows among objects, each with its pods.
///
/// # Errors
/// The nodes of one cannot be read.
pub(super) fn found(objects: Vec<(String, Value)>) -> anyhow::Result<Vec<Found>> {
    let (pods, workflows): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(_, object)| object["kind"] == "Pod");
    let mut of: BTreeMap<String, BTreeMap<String, Pod>> = BTreeMap::new();
    for pod in pods.iter().filter_map(|(_, object)| Pod::read(object)) {
        of.entry(pod.workflow.clone()).or_default().insert(pod.node_id.clone(), pod);
    }
    let mut all = Vec::new();
    for (place, object) in &workflows {
        let run = Run::read(object).with_context(|| place.clone())?;
        let known = Known { pods: of.remove(&run.uid).unwrap_or_default(), ..Known::default() };
        all.push(Found { run, known });
    }
    if all.is_empty() {
        bail!("only pods, and no Workflow: their run is in its status (kubectl get workflows,pods -o json)");
    }
    Ok(all)
}

/// Workflows and pods of a file, by their place in it.
fn take(path: &Path, name: &str, objects: &mut Vec<(String, Value)>) -> anyhow::Result<()> {
    let opened = files::open(path).map_err(|error| {
        let (what, hint) = files::explain(&error);
        anyhow::anyhow!("{name}: cannot read: {what}\n  hint: {hint}")
    })?;
    for document in documents_up_to(BufReader::new(opened), MAX_DOCUMENT) {
        let document = document.with_context(|| name.to_owned())?;
        let place = format!("{name}:{}", document.line);
        let mut value = document.read().with_context(|| name.to_owned())?;
        let items = if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) {
            value["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
        } else {
            vec![value]
        };
        for object in items {
            match object["kind"].as_str() {
                Some("Pod" | "Workflow") => objects.push((place.clone(), object)),
                Some(kind @ ("WorkflowTemplate" | "ClusterWorkflowTemplate" | "CronWorkflow")) => {
                    bail!("{place}: a {kind} has not run: name a Workflow that it started");
                }
                _ => {}
            }
        }
    }
    Ok(())
}
