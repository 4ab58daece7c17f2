//! The trials, by what they are about.

/// The circuit breaker, told of stuck pods.
pub mod breaker;
/// Parameters, inputs, labels and annotations of Workflows reach pods, hostile values intact.
pub mod carrier;
/// Certificates that the webhook makes itself; the webhook configuration as it hears of it.
pub mod certificates;
/// `stepspan doctor` before and after install, with little and with many rights.
pub mod doctor;
/// What is predicted of Workflows against what the controller makes of them.
pub mod fidelity;
/// The samples with the webhook in their path.
pub mod injection;
/// Labels of namespaces as the webhook hears of them.
pub mod namespaces;
/// The webhook is down, or dies in the middle.
pub mod outage;
/// Policies as resources: the definition, and how they come into force.
pub mod policies;
/// What the API server admits without us it admits with us; what we print is what it reads.
pub mod refusal;
/// Every file in `workflows/` runs to the end it declares.
pub mod samples;
/// The harness itself: registration, recording, unfolding.
pub mod selfcheck;
/// Which steps were injected, and why others were not.
mod status;
/// Spans of Workflows and nodes, as `stepspan watch` sends them.
pub mod watch;
/// What it tells besides: metrics of steps, and traces of its own.
mod watch_coverage;
mod watch_gone;
mod watch_packed;
mod watch_tells;

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Failed, Trial};

use crate::harness::Cluster;

/// The cluster for the trials, or nothing where its programs are missing.
pub type Shared = Option<Arc<Cluster>>;

/// All trials.
pub fn all(cluster: &Shared) -> Result<Vec<Trial>> {
    let mut trials = samples::trials(cluster)?;
    trials.extend(injection::trials(cluster)?);
    trials.extend(fidelity::trials(cluster));
    trials.extend(carrier::trials(cluster));
    trials.extend(outage::trials(cluster));
    trials.extend(breaker::trials(cluster));
    trials.extend(certificates::trials(cluster));
    trials.extend(namespaces::trials(cluster));
    trials.extend(policies::trials(cluster));
    trials.extend(doctor::trials(cluster));
    trials.extend(refusal::trials(cluster));
    trials.extend(selfcheck::trials(cluster));
    trials.extend(status::trials(cluster));
    trials.extend(watch::trials(cluster)?);
    trials.extend(watch_coverage::trials(cluster));
    trials.extend(watch_gone::trials(cluster));
    trials.extend(watch_packed::trials(cluster));
    trials.extend(watch_tells::trials(cluster));
    Ok(trials)
}

/// A trial named `<group>::<name>`; ignored where there is no cluster.
pub fn trial(cluster: &Shared, name: String, body: impl FnOnce(&Cluster) -> Result<()> + Send + 'static) -> Trial {
    let there = cluster.is_some();
    let cluster = cluster.clone();
    let run = move || match cluster {
        Some(cluster) => body(&cluster).map_err(|error| Failed::from(format!("{error:#}"))),
        None => Err(Failed::from("the cluster's programs are missing")),
    };
    Trial::test(name, run).with_ignored_flag(!there)
}
