//! Whatever becomes of the Collector, workflows end as without us.

use anyhow::{Context, Result};
use libtest_mimic::Trial;

use super::{Sample, expected, outcome, parity, samples, trial};
use crate::{
    cases::Shared,
    harness::{
        Cluster,
        node::{ADDRESS, BLACK_HOLE_PORT},
        stepspan::Stepspan,
    },
};

/// One of each kind; the others differ in what the Collector cannot know.
const SAMPLES: [&str; 5] = ["container-set", "daemon", "dag", "failing", "script"];

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let refused = format!("http://{ADDRESS}:4398");
    let others = [
        ("silent", format!("http://{ADDRESS}:{BLACK_HOLE_PORT}")),
        // The dot at its end: with the search list's domains it would be a service's name.
        ("unknown-name", "http://nobody.cluster.local.:4317".to_owned()),
    ];
    let mut trials = Vec::new();
    for sample in samples()? {
        trials.push(one(cluster, &sample, "refused", refused.clone()));
        if SAMPLES.contains(&sample.stem.as_str()) {
            trials.extend(others.iter().map(|(name, endpoint)| one(cluster, &sample, name, endpoint.clone())));
        }
    }
    Ok(trials)
}

fn one(cluster: &Shared, sample: &Sample, how: &'static str, endpoint: String) -> Trial {
    let name = format!("node::unreachable::{}::{how}", sample.stem);
    let sample = sample.clone();
    trial(cluster, name, sample.is_alone(), move |cluster| {
        let namespace = sample.namespace(cluster, how)?;
        let stepspan = Stepspan::start(cluster, &namespace, Some(&policy(&endpoint)))?;
        let with = sample.run(&namespace)?;
        parity::as_without_us(cluster, &sample, &outcome::of(cluster, &namespace, &with)?)?;
        drop(stepspan);
        each_says_what_was_dropped(cluster, namespace.name(), &expected::ended_pods(&namespace, &with)?)
    })
}

fn policy(endpoint: &str) -> String {
    let embedded = include_str!("../../../policies/agent-steps/policy.yaml");
    embedded.replace("endpoint: http://otel-collector:4317", &format!("endpoint: {endpoint}"))
}

/// One line on stderr of every step.
fn each_says_what_was_dropped(cluster: &Cluster, namespace: &str, pods: &[serde_json::Value]) -> Result<()> {
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        for container in expected::containers(pod).filter_map(|container| container["name"].as_str()) {
            let log = cluster.node()?.logs(namespace, name, container)?;
            let lines = log.lines().filter(|line| line.starts_with("stepspan: the span dropped: ")).count();
            // A containerSet's retry is a second run in the same container.
            anyhow::ensure!((1..=2).contains(&lines), "{name}/{container}: {lines} lines about it:\n{log}");
        }
    }
    Ok(())
}
