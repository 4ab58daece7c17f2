//! `certificates.mode=cert-manager` with the real cert-manager: what it issues is trusted, and what it renews is served.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    release::{RELEASE, Release, pod},
    trial,
};
use crate::{
    cases::{Shared, certificates::under_load},
    harness::{Cluster, authority::fingerprint, cert_manager::CertManager, wait::until},
};

const LIMIT: Duration = Duration::from_mins(5);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![trial(
        cluster,
        "node::cert_manager::a_renewed_certificate_is_served_without_a_lost_call".into(),
        false,
        a_renewed_certificate_is_served_without_a_lost_call,
    )]
}

fn a_renewed_certificate_is_served_without_a_lost_call(cluster: &Cluster) -> Result<()> {
    let manager = CertManager::start(cluster)?;
    let release = Release::prepare(cluster, "cert-manager")?;
    renewed(cluster, &release).with_context(|| manager.tails())
}

fn renewed(cluster: &Cluster, release: &Release<'_>) -> Result<()> {
    let values = ["--values", "charts/stepspan/ci/cert-manager-own-ca-values.yaml"];
    // A call that is lost is a pod refused, and nothing but a lost call makes it so on a busy machine.
    let strict = ["--set", "webhook.failurePolicy=Fail,webhook.timeoutSeconds=30"];
    release.install(&[values, strict].concat())?;
    release.until_in_force()?;
    release.traced("first")?;
    let secret = || cluster.api().get(&release.home.path(&format!("secrets/{RELEASE}-cert")))?.accepted();
    let first = secret()?;
    until_injected(release, &first)?;
    release.until_served(&leaf(&first)?)?;
    let before = release.replicas()?;

    let pod = pod()?;
    let ((), calls) = under_load(&release.steps, &pod, || {
        renew(cluster, release)?;
        let second = until("cert-manager to renew the certificate", LIMIT, || {
            let now = secret()?;
            Ok((now["data"]["tls.crt"] != first["data"]["tls.crt"]).then_some(now))
        })?;
        ensure!(second["data"]["tls.key"] != first["data"]["tls.key"], "the same key again");
        until_injected(release, &second)?;
        release.until_served(&leaf(&second)?)
    })?;
    ensure!(calls > 20, "only {calls} calls in all that time");
    ensure!(release.replicas()? == before, "other replicas, or restarts: {:?}", release.replicas()?);
    release.traced("second").map(drop)
}

/// Waits until cainjector has written the CA of a Secret into every webhook.
fn until_injected(release: &Release<'_>, secret: &Value) -> Result<()> {
    until("cainjector to fill in the CA", LIMIT, || {
        Ok(release.bundles()?.iter().all(|bundle| *bundle == secret["data"]["ca.crt"]).then_some(()))
    })
}

/// The fingerprint of what a Secret says is to be served.
fn leaf(secret: &Value) -> Result<String> {
    use base64::Engine;
    let pem = secret["data"]["tls.crt"].as_str().context("no certificate")?;
    fingerprint(&base64::engine::general_purpose::STANDARD.decode(pem)?)
}

/// Asks for a new certificate before it is time, as `cmctl renew` does: by a condition in the Certificate's status.
fn renew(cluster: &Cluster, release: &Release<'_>) -> Result<()> {
    let path = format!("/apis/cert-manager.io/v1/namespaces/{}/certificates/{RELEASE}", release.home.name());
    let mut conditions = cluster.api().get(&path)?.accepted()?["status"]["conditions"].take();
    conditions.as_array_mut().context("no conditions")?.push(json!({
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "asked for by a test",
    }));
    let change = json!({"status": {"conditions": conditions}});
    cluster.api().merge_patch(&format!("{path}/status"), &change)?.accepted().map(drop)
}
