//! Certificates that the webhook makes itself: shared by replicas, trusted by the API server, rotated under load.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::samples::sample;
use super::{Shared, trial};
use crate::harness::{
    Cluster,
    api::Reply,
    namespace::Namespace,
    replicas::Replicas,
    stepspan::is_ready_or_slow,
    wait::until,
    webhook::{base64_of, text_of},
};

const LIMIT: Duration = Duration::from_mins(4);
/// The life of a certificate that is rotated: a third of it is what a loaded machine may take for a rotation.
const LIFE: &str = "90s";
/// Three of them follow each other in two and a half minutes.
const ROTATIONS: Duration = Duration::from_mins(8);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("certificates::{name}"), body);
    vec![
        named("three_replicas_rotate_under_load_and_lose_no_call", three_replicas_rotate_under_load_and_lose_no_call),
        named("a_foreign_ca_bundle_is_told_and_mended", a_foreign_ca_bundle_is_told_and_mended),
        named("a_pair_of_which_half_was_changed_is_made_anew", a_pair_of_which_half_was_changed_is_made_anew),
        named("an_annotation_pauses_all_replicas", an_annotation_pauses_all_replicas),
    ]
}

/// A pod of a real workflow, to be created again.
pub fn pod(namespace: &Namespace<'_>) -> Result<Value> {
    let ended = sample("dag")?.run(namespace)?;
    let pod = namespace.pods(&ended)?.into_iter().next().context("no pod")?;
    again(pod)
}

/// A pod as somebody created it, from how it was stored.
pub fn again(mut pod: Value) -> Result<Value> {
    let annotations = pod["metadata"]["annotations"].take();
    pod["metadata"] = json!({"name": "again", "labels": pod["metadata"]["labels"], "annotations": annotations,
        "ownerReferences": pod["metadata"]["ownerReferences"]});
    pod.as_object_mut().context("no object")?.remove("status");
    pod["spec"].as_object_mut().context("no object")?.remove("nodeName");
    Ok(pod)
}

pub fn create(namespace: &Namespace<'_>, pod: &Value) -> Result<Reply> {
    namespace.create_object("pods?dryRun=All", pod)
}

pub fn is_injected(reply: &Reply) -> bool {
    reply.body["spec"].to_string().contains("stepspan-shim")
}

fn three_replicas_rotate_under_load_and_lose_no_call(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("rotation", &json!({}))?;
    let pod = pod(&namespace)?;
    let replicas = Replicas::start(cluster, &namespace, (3, LIFE), &[])?;
    let (served, calls) = under_load(&namespace, &pod, || watch_rotations(&replicas))?;
    ensure!(calls > 100, "only {calls} calls in all that time");
    ensure!(served.len() >= 3, "only {} certificates were served", served.len());
    Ok(())
}

/// Creates `pod` again and again, four at a time, as long as `body` goes on: each has to be admitted and injected. Gives what `body`
/// gave, and how many there were.
pub fn under_load<T>(namespace: &Namespace<'_>, pod: &Value, body: impl FnOnce() -> Result<T>) -> Result<(T, usize)> {
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || -> Result<()> {
        while !done.load(Ordering::Relaxed) {
            let reply = create(namespace, pod)?;
            ensure!(reply.is_success(), "a call was lost: {} {}", reply.status, reply.message());
            ensure!(is_injected(&reply), "a pod was missed");
            calls.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let outcome = body();
        done.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().map_err(|_| anyhow::anyhow!("a load panicked"))??;
        }
        Ok((outcome?, calls.load(Ordering::Relaxed)))
    })
}

/// The certificates that the Secret held, until there were three; at every moment of it all replicas are ready.
fn watch_rotations(replicas: &Replicas<'_>) -> Result<BTreeSet<String>> {
    let mut served = BTreeSet::new();
    until("three certificates to be served", ROTATIONS, || {
        let secret = replicas.secret()?;
        served.insert(secret["data"]["tls.crt"].as_str().context("no certificate")?.to_owned());
        let configuration = replicas.configuration()?;
        for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
            ensure!(webhook["clientConfig"]["caBundle"].as_str().is_some_and(|bundle| !bundle.is_empty()), "no CA");
        }
        for replica in 0..3 {
            let ready = replicas.ask(replica, "/readyz")?;
            ensure!(is_ready_or_slow(&ready), "replica {replica} is not ready: {ready}");
        }
        Ok((served.len() >= 3).then_some(()))
    })?;
    Ok(served)
}

fn a_foreign_ca_bundle_is_told_and_mended(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("bundle", &json!({}))?;
    let pod = pod(&namespace)?;
    let mut replicas = Replicas::start(cluster, &namespace, (2, "90d"), &[])?;
    let foreign = base64_of(cluster.authority().pem().as_bytes());
    let change = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": foreign}]);
    cluster.api().json_patch(&replicas.registration.path(), &change)?.accepted()?;
    until("the caBundle to be mended", LIMIT, || {
        let bundle = replicas.configuration()?["webhooks"][0]["clientConfig"]["caBundle"].clone();
        Ok((bundle != foreign.as_str()).then_some(()))
    })?;
    replicas.wait_until_ready()?;
    // The API server hears of the bundle a moment after us.
    until("a pod to be injected again", LIMIT, || Ok(is_injected(&create(&namespace, &pod)?).then_some(())))?;

    // Nobody mends it once no replica makes certificates: those that are left say why they are not ready.
    let leads =
        |replica: &usize| replicas.ask(*replica, "/metrics").is_ok_and(|text| text.contains("stepspan_leader 1"));
    let leader = until("a replica to lead", LIMIT, || Ok([0, 1].into_iter().find(leads)))?;
    let secret = namespace.path("secrets/stepspan-tls");
    cluster.api().delete(&secret)?.accepted()?;
    cluster.api().json_patch(&replicas.registration.path(), &change)?.accepted()?;
    until("a replica to say why it is not ready", LIMIT, || {
        let answer = replicas.ask(leader, "/readyz")?;
        let refused = answer.contains("the API server would refuse our certificate");
        Ok((answer.starts_with("HTTP/1.1 503") && refused).then_some(()))
    })
}

fn a_pair_of_which_half_was_changed_is_made_anew(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("halves", &json!({}))?;
    let pod = pod(&namespace)?;
    let mut replicas = Replicas::start(cluster, &namespace, (2, "90d"), &[])?;
    let before = replicas.secret()?["data"].take();
    let key = rcgen::KeyPair::generate()?.serialize_pem();
    let change = json!({"data": {"tls.key": base64_of(key.as_bytes())}});
    cluster.api().merge_patch(&namespace.path("secrets/stepspan-tls"), &change)?.accepted()?;
    until("the pair to be made anew", LIMIT, || {
        let now = replicas.secret()?["data"].take();
        Ok((now["tls.crt"] != before["tls.crt"] && now["tls.key"] != change["data"]["tls.key"]).then_some(()))
    })?;
    let [old, new] = [&before, &replicas.secret()?["data"]].map(|data| text_of(&data["ca.crt"]));
    let (old, new) = (old?, new?);
    until("the new CA to be trusted beside the one of before", LIMIT, || {
        let bundle = text_of(&replicas.configuration()?["webhooks"][0]["clientConfig"]["caBundle"])?;
        Ok([&old, &new].iter().all(|ca| bundle.contains(ca.trim_end())).then_some(()))
    })?;
    replicas.wait_until_ready()?;
    // The API server hears of the bundle a moment after us.
    until("a pod to be injected by the new pair", LIMIT, || Ok(is_injected(&create(&namespace, &pod)?).then_some(())))
}

fn an_annotation_pauses_all_replicas(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("pause", &json!({}))?;
    let pod = pod(&namespace)?;
    let replicas = Replicas::start(cluster, &namespace, (2, "90d"), &[])?;
    let set = |value: Value| {
        let change = json!({"metadata": {"annotations": {"stepspan.dev/paused": value}}});
        cluster.api().merge_patch(&replicas.registration.path(), &change)?.accepted()
    };
    let injected = |wanted: bool| {
        until("all replicas to hear of the pause", LIMIT, || {
            for replica in 0..2 {
                let text = replicas.ask(replica, "/metrics")?;
                if !text.contains(&format!("stepspan_paused {}", u8::from(!wanted))) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })?;
        for _ in 0..4 {
            let reply = create(&namespace, &pod)?;
            ensure!(reply.is_success() && is_injected(&reply) == wanted, "injected: {}", !wanted);
        }
        anyhow::Ok(())
    };
    injected(true)?;
    set(json!("true"))?;
    injected(false)?;
    set(Value::Null)?;
    injected(true)
}
