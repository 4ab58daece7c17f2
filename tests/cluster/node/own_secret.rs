//! `certificates.mode=secret`: whoever brings the certificate brings its successor too, and hears what is wrong with it.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    release::{CHART, RELEASE, Release, check, pod},
    trial,
};
use crate::{
    cases::{
        Shared,
        certificates::{create, is_injected, under_load},
    },
    harness::{
        Cluster,
        authority::{Authority, ServerCertificate, fingerprint},
        wait::until,
    },
};

const SECRET: &str = "serving";
const MODE: &str = "certificates.mode=secret,certificates.secretName=serving";
/// A call that is lost is a pod refused, and nothing but a lost call makes it so on a busy machine.
const STRICT: &str = "webhook.failurePolicy=Fail,webhook.timeoutSeconds=30";
/// The kubelet tries a volume again after two minutes at the latest.
const LIMIT: Duration = Duration::from_mins(6);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named =
        |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("node::own_secret::{name}"), false, body);
    vec![
        named("a_new_leaf_is_served_without_a_lost_call", a_new_leaf_is_served_without_a_lost_call),
        named("a_secret_that_is_missing_is_told_and_waited_for", a_secret_that_is_missing_is_told_and_waited_for),
        named("a_certificate_that_is_not_trusted_is_told", a_certificate_that_is_not_trusted_is_told),
    ]
}

/// Makes the Secret, or puts another pair into it.
fn put(cluster: &Cluster, release: &Release<'_>, pair: &ServerCertificate) -> Result<()> {
    let data = json!({"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "type": "kubernetes.io/tls", "stringData": data});
    let path = release.home.path(&format!("secrets/{SECRET}"));
    cluster.api().apply(&path, serde_json::to_vec(&secret)?)?.accepted().map(drop)
}

/// `--set-file` of a CA's PEM.
fn trust(cluster: &Cluster, release: &Release<'_>, pem: &str) -> Result<String> {
    let file = cluster.dir().join(format!("{}-ca.pem", release.home.name()));
    fs::write(&file, pem)?;
    Ok(format!("certificates.caBundle={}", file.display()))
}

fn a_new_leaf_is_served_without_a_lost_call(cluster: &Cluster) -> Result<()> {
    let release = Release::prepare(cluster, "own-secret")?;
    let issue = || cluster.authority().issue(&[&release.server_name()]);
    let (first, second) = (issue()?, issue()?);
    put(cluster, &release, &first)?;
    let trusted = trust(cluster, &release, &cluster.authority().pem())?;
    let values = ["--set", MODE, "--set", STRICT, "--set-file", &trusted];
    let notes = release.install(&values)?;
    ensure!(notes.contains(&format!("get secret {SECRET}")), "the notes: {notes}");
    release.until_in_force()?;
    release.traced("first")?;
    release.until_served(&fingerprint(first.certificate_pem.as_bytes())?)?;
    let before = release.replicas()?;

    let pod = pod()?;
    let ((), calls) = under_load(&release.steps, &pod, || {
        put(cluster, &release, &second)?;
        release.until_served(&fingerprint(second.certificate_pem.as_bytes())?)
    })?;
    ensure!(calls > 20, "only {calls} calls in all that time");
    ensure!(release.replicas()? == before, "other replicas, or restarts: {:?}", release.replicas()?);

    // Another bundle is another client, whose first handshake is with the new leaf: so a new CA is announced before it signs.
    let trusted = trust(cluster, &release, &format!("{}{}", cluster.authority().pem(), Authority::new()?.pem()))?;
    release.upgrade(&["--set", MODE, "--set", STRICT, "--set-file", &trusted])?;
    release.traced("second")?;
    ensure!(release.replicas()? == before, "a new caBundle restarts nothing: {:?}", release.replicas()?);
    Ok(())
}

fn a_secret_that_is_missing_is_told_and_waited_for(cluster: &Cluster) -> Result<()> {
    let release = Release::prepare(cluster, "no-secret")?;
    let trusted = trust(cluster, &release, &cluster.authority().pem())?;
    let install = ["install", RELEASE, CHART, "--wait", "--timeout", "15s", "--set", MODE, "--set-file", &trusted];
    let refused = release.helm(&install).err().context("helm was content without the Secret")?;
    ensure!(format!("{refused:#}").contains("context deadline exceeded"), "{refused:#}");

    // As docs/runbook.md has it.
    let expected = format!(r#"MountVolume.SetUp failed for volume "tls" : secret "{SECRET}" not found"#);
    until("the kubelet to say what is missing", LIMIT, || {
        let events = release.home.list("events")?;
        let says = |event: &Value| event["reason"] == "FailedMount" && event["message"] == expected;
        Ok(events.iter().any(says).then_some(()))
    })
    .with_context(|| release.state())?;
    let waiting =
        |pod: &Value| &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating";
    until("both pods to wait for it", LIMIT, || {
        let pods = release.home.list("pods")?;
        Ok((pods.len() == 2 && pods.iter().all(waiting)).then_some(()))
    })
    .with_context(|| release.state())?;
    // Nobody's step waits for it.
    let reply = create(&release.steps, &pod()?)?;
    ensure!(reply.is_success() && !is_injected(&reply), "{} {}", reply.status, reply.message());

    put(cluster, &release, &cluster.authority().issue(&[&release.server_name()])?)?;
    until("both replicas to be ready", LIMIT, || {
        let answers = release.readiness()?;
        Ok((answers.iter().filter(|answer| answer["ready"] == true).count() == 2).then_some(()))
    })
    .with_context(|| release.state())?;
    release.until_in_force()?;
    release.traced("after-all").map(drop)
}

fn a_certificate_that_is_not_trusted_is_told(cluster: &Cluster) -> Result<()> {
    let release = Release::prepare(cluster, "untrusted")?;
    put(cluster, &release, &cluster.authority().issue(&["somebody-else.svc"])?)?;
    let foreign = trust(cluster, &release, &Authority::named("another authority")?.pem())?;
    release.helm(&["install", RELEASE, CHART, "--set", MODE, "--set-file", &foreign])?;
    until_refused(&release, "invalid peer certificate: UnknownIssuer")?;

    // Of the same name, such as one that was made anew.
    let foreign = trust(cluster, &release, &Authority::new()?.pem())?;
    release.helm(&["upgrade", RELEASE, CHART, "--set", MODE, "--set-file", &foreign])?;
    until_refused(&release, "invalid peer certificate: BadSignature")?;

    // Trusted now, but for another name.
    let right = trust(cluster, &release, &cluster.authority().pem())?;
    release.helm(&["upgrade", RELEASE, CHART, "--set", MODE, "--set-file", &right])?;
    until_refused(&release, &release.server_name())?;

    put(cluster, &release, &cluster.authority().issue(&[&release.server_name()])?)?;
    until("both replicas to be ready", LIMIT, || {
        let answers = release.readiness()?;
        Ok((answers.iter().filter(|answer| answer["ready"] == true).count() == 2).then_some(()))
    })
    .with_context(|| release.state())
}

/// Waits until no replica is ready, and each says that the API server would refuse it, and why.
fn until_refused(release: &Release<'_>, why: &str) -> Result<()> {
    let mut last = Vec::new();
    until("both replicas to say why they are not ready", LIMIT, || {
        last = release.readiness()?;
        let refused = |answer: &&Value| {
            let reason = check(answer, "self-dial")["reason"].as_str().unwrap_or_default();
            answer["ready"] == false
                && reason.contains("the API server would refuse our certificate")
                && reason.contains(why)
        };
        Ok((last.iter().filter(refused).count() == 2).then_some(()))
    })
    .with_context(|| format!("{why}: {last:#?}\n{}", release.state()))
}
