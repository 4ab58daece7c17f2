//! Labels of namespaces as the webhook hears of them.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::certificates::{create, is_injected, pod};
use super::{Shared, trial};
use crate::harness::{Cluster, replicas::Replicas, wait::until};

const LIMIT: Duration = Duration::from_mins(3);
const POLICY: &str = r"
apiVersion: stepspan.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: by-team}
spec:
  match: {namespaceSelector: {matchLabels: {team: build}}}
  correlation: {agent: {from: [{namespaceLabel: owner}], label: agent}}
";

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![trial(cluster, "namespaces::a_label_counts_as_soon_as_it_is_set".into(), a_label_counts_as_soon_as_it_is_set)]
}

fn a_label_counts_as_soon_as_it_is_set(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("labels", &json!({}))?;
    let pod = pod(&namespace)?;
    let policy = cluster.dir().join("by-team.yaml");
    fs::write(&policy, POLICY)?;
    let more = [format!("--policy={}", policy.display()), "--namespace-labels".to_owned()];
    let _replicas = Replicas::start(cluster, &namespace, (2, "90d"), &more)?;
    let label = |labels: Value| {
        let path = format!("/api/v1/namespaces/{}", namespace.name());
        cluster.api().merge_patch(&path, &json!({"metadata": {"labels": labels}}))?.accepted()
    };
    // Each replica hears of it by itself: several answers in a row are of both.
    let injected = |wanted: bool| {
        until("both replicas to hear of the label", LIMIT, || {
            for _ in 0..6 {
                let reply = create(&namespace, &pod)?;
                ensure!(reply.is_success(), "refused: {}", reply.message());
                if is_injected(&reply) != wanted {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    };
    injected(false)?;
    label(json!({"team": "build", "owner": "platform"}))?;
    injected(true)?;
    let reply = create(&namespace, &pod)?;
    ensure!(reply.body["metadata"]["labels"]["agent"] == "platform", "labels: {}", reply.body["metadata"]["labels"]);
    label(json!({"team": "other"}))?;
    injected(false)
}
