//! Which steps' pods carry our injection, which do not, and why: what [`stepspan status`](crate::cli) prints.
//!
//! [`pods`] and [`facts`] only ask, [`judge`] only decides, out of plain JSON: what the pod says of itself where admission wrote it, and where it wrote
//! nothing, what the evaluator says of it and what kept the webhook from being asked. [`report`] adds it up.
//!
//! Invariants:
//! - A pod that no policy takes, or that has no command to wrap, is left out: it counts neither for nor against.
//! - What cannot be known is said so: that a webhook was down a week ago no object tells, only that nobody wrote into a pod it would have
//!   taken.

pub mod facts;
pub mod judge;
pub mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::ask::{ALL, Answer, Asker, Kind};
use crate::doctor::survey::OF_WORKFLOWS;
use crate::source::facts::Labels;

/// The pods of steps in these namespaces, or in all; 5,000 of each list at most, which is said by `true`.
///
/// # Errors
/// They may not be listed.
pub async fn pods(ask: &Asker, namespaces: &[String]) -> Answer<(Vec<Value>, bool)> {
    let mut pods = Vec::new();
    let mut is_cut = false;
    let chosen = namespaces.iter().map(|name| Some(name.as_str()));
    for namespace in chosen.chain(namespaces.is_empty().then_some(None)) {
        let found = ask.list(Kind::PODS, namespace, OF_WORKFLOWS, ALL).await?;
        is_cut |= found.len() == ALL;
        pods.extend(found);
    }
    Ok((pods, is_cut))
}

/// The labels of the namespaces of pods; those that may not be read are not there.
pub async fn labels(ask: &Asker, pods: &[Value]) -> BTreeMap<String, Labels> {
    let mut all = BTreeMap::new();
    for name in pods.iter().filter_map(|pod| pod["metadata"]["namespace"].as_str()) {
        if all.contains_key(name) {
            continue;
        }
        if let Ok(object) = ask.get(Kind::NAMESPACES, None, name).await {
            all.insert(name.to_owned(), judge::labels(&object));
        }
    }
    all
}
