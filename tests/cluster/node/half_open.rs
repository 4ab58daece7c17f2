//! Connections to the API server whose other end is gone without a word, as after the death of a load balancer or a node.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    release::{Release, check},
    trial,
};
use crate::{
    cases::{Shared, policies},
    harness::{Cluster, wait::until},
};

/// A watch ends by itself after five minutes: whoever finds out sooner has looked.
const LIMIT: Duration = Duration::from_mins(2);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let name = "node::half_open::a_replica_notices_that_nobody_is_there";
    vec![trial(cluster, name.into(), false, a_replica_notices_that_nobody_is_there)]
}

fn a_replica_notices_that_nobody_is_there(cluster: &Cluster) -> Result<()> {
    let release = Release::prepare(cluster, "half-open")?;
    policies::define(cluster)?;
    release.install(&["--set", "replicas=1"])?;
    let name = format!("{}-watched", release.home.name());
    let spec = |version: &str| json!({"match": {"namespaces": {"include": [release.steps.name()]}}, "labels": {"version": version}});
    let served = |generation: i64| {
        until("the replica to serve the policy", LIMIT, || {
            let answers = release.readiness()?;
            let serves = |answer: &Value| check(answer, "policies")["detail"]["resources"][&name] == generation;
            Ok(answers.iter().any(serves).then_some(()))
        })
    };
    policies::apply(cluster, &name, &spec("one"))?;
    served(1)?;

    let address = release.replicas()?.first().context("no replica")?.address.clone();
    let cut = Silence::over(&connections(&address, cluster.port())?, &address)?;
    let began = Instant::now();
    policies::apply(cluster, &name, &spec("two"))?;
    served(2)?;
    eprintln!(
        "cluster: {} connections went silent, and the replica heard of the next policy after {:.1} s",
        cut.0.len(),
        began.elapsed().as_secs_f32()
    );
    policies::delete(cluster, &name)?;
    release.uninstall().map(drop)
}

/// The ports from which a pod is connected to the API server.
fn connections(address: &str, port: u16) -> Result<Vec<String>> {
    let filter = format!("dst {address} and sport = :{port}");
    let output = Command::new("ss").args(["-Htn", "state", "established", &filter]).output().context("ss")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let peers = text.lines().filter_map(|line| line.split_whitespace().last()?.rsplit_once(':'));
    let ports: Vec<_> = peers.map(|(_, port)| port.to_owned()).collect();
    ensure!(ports.len() >= 4, "only {} connections: {text}", ports.len());
    Ok(ports)
}

/// Packet filter rules that swallow what goes either way; they go with it.
struct Silence(Vec<[String; 2]>);

impl Silence {
    fn over(ports: &[String], address: &str) -> Result<Self> {
        let rules = |port: &String| {
            [format!("INPUT -s {address} --sport {port}"), format!("OUTPUT -d {address} --dport {port}")]
        };
        let silence = Self(ports.iter().map(rules).collect());
        silence.0.iter().flatten().try_for_each(|rule| packet_filter("-I", rule))?;
        Ok(silence)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        for rule in self.0.iter().flatten() {
            // What is left of them goes with the network they are in.
            drop(packet_filter("-D", rule));
        }
    }
}

fn packet_filter(verb: &str, rule: &str) -> Result<()> {
    let mut words = rule.split(' ');
    let chain = words.next().context("no chain")?;
    let output = Command::new("iptables").args([verb, chain, "-p", "tcp"]).args(words).args(["-j", "DROP"]).output()?;
    ensure!(output.status.success(), "iptables {verb} {rule}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
