//! The circuit breaker: pods in which our init container cannot start, as a kubelet would tell of them.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::certificates::{again, create, is_injected, pod};
use super::{Shared, trial};
use crate::harness::{
    Cluster,
    namespace::Namespace,
    replicas::{BREAKER, Replicas},
    stepspan::is_ready_or_slow,
    wait::until,
};

const LIMIT: Duration = Duration::from_mins(4);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("breaker::{name}"), body);
    vec![
        named("stuck_pods_stop_injection_and_a_trial_resumes_it", stuck_pods_stop_injection_and_a_trial_resumes_it),
        named("an_operator_closes_it_by_hand", an_operator_closes_it_by_hand),
        named("another_holder_of_the_lease_goes_on", another_holder_of_the_lease_goes_on),
        named(
            "where_none_starts_anywhere_the_whole_cluster_is_stopped",
            where_none_starts_anywhere_the_whole_cluster_is_stopped,
        ),
    ]
}

/// Two replicas of which two stuck pods open a circuit after two seconds, to be tried again after `retry`.
fn replicas<'c>(cluster: &'c Cluster, namespace: &'c Namespace<'c>, retry: &str) -> Result<Replicas<'c>> {
    replicas_after(cluster, namespace, "2s", retry)
}

/// Their image is their own: what is stuck in another trial is none of theirs.
fn replicas_after<'c>(
    cluster: &'c Cluster,
    namespace: &'c Namespace<'c>,
    after: &str,
    retry: &str,
) -> Result<Replicas<'c>> {
    let context = cluster.dir().join(format!("{}-context.json", namespace.name()));
    let image = format!("registry.example/{}:1", namespace.name());
    fs::write(&context, json!({"injector": {"image": image}}).to_string())?;
    let more = [
        format!("--context={}", context.display()),
        format!("--breaker={BREAKER}"),
        "--breaker-pods=2".to_owned(),
        "--breaker-namespaces=3".to_owned(),
        format!("--breaker-after={after}"),
        format!("--breaker-retry={retry}"),
    ];
    Replicas::start(cluster, namespace, (2, "90d"), &more)
}

/// Creates a pod that stays; whether it was injected.
fn stay(namespace: &Namespace<'_>, pod: &Value, name: &str) -> Result<bool> {
    let mut pod = pod.clone();
    pod["metadata"]["name"] = name.into();
    pod["metadata"]["annotations"]["test.stepspan.dev/hold"] = "".into();
    let reply = namespace.create_object("pods", &pod)?;
    ensure!(reply.is_success(), "{name} was refused: {}", reply.message());
    Ok(is_injected(&reply))
}

/// Says of our init container in a pod what a kubelet would.
fn report(cluster: &Cluster, namespace: &Namespace<'_>, name: &str, state: &Value) -> Result<()> {
    report_in(cluster, namespace, (name, "Pending"), state)
}

fn report_in(cluster: &Cluster, namespace: &Namespace<'_>, (name, phase): (&str, &str), state: &Value) -> Result<()> {
    let status = json!({"name": "stepspan-init", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let path = namespace.path(&format!("pods/{name}/status"));
    let change = json!({"status": {"phase": phase, "initContainerStatuses": [status]}});
    cluster.api().merge_patch(&path, &change)?.accepted()?;
    Ok(())
}

fn stick(cluster: &Cluster, namespace: &Namespace<'_>, name: &str) -> Result<()> {
    report(cluster, namespace, name, &json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}))
}

/// Lets two pods get stuck, and waits until both replicas have heard what that means.
fn stop(cluster: &Cluster, replicas: &Replicas<'_>, namespace: &Namespace<'_>, pod: &Value) -> Result<()> {
    for name in ["first", "second"] {
        ensure!(stay(namespace, pod, name)?, "{name} was missed");
        stick(cluster, namespace, name)?;
    }
    stopped(replicas, namespace, true)
}

/// Says that our init container has started in a pod.
fn start(cluster: &Cluster, namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let pod = cluster.api().get(&namespace.path(&format!("pods/{name}")))?.accepted()?;
    let created = &pod["metadata"]["creationTimestamp"];
    report(cluster, namespace, name, &json!({"running": {"startedAt": created}}))
}

/// Waits until both replicas say how many circuits of the namespace are not closed.
fn stopped(replicas: &Replicas<'_>, namespace: &Namespace<'_>, wanted: bool) -> Result<()> {
    let series = format!("stepspan_breaker_open{{namespace=\"{}\"}} 1", namespace.name());
    until("both replicas to hear of the breaker", LIMIT, || {
        for replica in 0..2 {
            if replicas.ask(replica, "/metrics")?.contains(&series) != wanted {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

/// The Events about the breaker in a namespace, by reason.
fn events(cluster: &Cluster, namespace: &str, about: &str) -> Result<Vec<Value>> {
    let all = cluster.api().list(&format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"))?;
    Ok(all.into_iter().filter(|event| event["regarding"]["name"] == about).collect())
}

fn stuck_pods_stop_injection_and_a_trial_resumes_it(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("breaker", &json!({}))?;
    let pod = pod(&namespace)?;
    let replicas = replicas(cluster, &namespace, "4s")?;
    stop(cluster, &replicas, &namespace, &pod)?;
    ensure!(!is_injected(&create(&namespace, &pod)?), "injected while the breaker is open");
    let ready = replicas.ask(0, "/readyz")?;
    // By now a trial may have begun.
    let told = ["open for namespace", "trial for namespace"].iter().any(|words| ready.contains(words));
    ensure!(is_ready_or_slow(&ready) && told, "{ready}");
    let paused = until("an Event on a stuck pod", LIMIT, || {
        let told = events(cluster, namespace.name(), "first")?;
        Ok(told.into_iter().find(|event| event["reason"] == "InjectionPaused"))
    })?;
    ensure!(paused["note"].as_str().is_some_and(|note| note.contains("ErrImagePull: no such image")), "{paused}");

    // A trial: each replica injects one pod, and no more. It goes the same way: stopped again, and for longer.
    let state = || {
        let map = cluster.api().get(&namespace.path(&format!("configmaps/{BREAKER}")))?.accepted()?;
        anyhow::Ok(map["data"]["stopped"].as_str().unwrap_or_default().to_owned())
    };
    try_until(
        "a trial to fail",
        (&namespace, &pod, "trial"),
        || Ok(state()?.contains("a trial failed")),
        |name| stick(cluster, &namespace, name),
    )?;
    // Of the next one a pod starts; what stays is when it closed.
    try_until(
        "a trial to succeed",
        (&namespace, &pod, "again"),
        || Ok(!state()?.contains("phase")),
        |name| start(cluster, &namespace, name),
    )?;
    stopped(&replicas, &namespace, false)?;
    for _ in 0..6 {
        ensure!(is_injected(&create(&namespace, &pod)?), "not injected after the breaker closed");
    }
    for reason in ["InjectionPaused", "InjectionTried", "InjectionResumed"] {
        until(&format!("{reason} on the namespace"), LIMIT, || {
            let told = events(cluster, namespace.name(), namespace.name())?;
            Ok(told.iter().any(|event| event["reason"] == reason).then_some(()))
        })?;
    }
    Ok(())
}

/// Creates pods that stay, until `done`; `taken` is told of each that was injected. One that is told of too late for its trial says
/// nothing of the next: so each trial has pods of its own.
fn try_until(
    what: &str,
    (namespace, pod, stem): (&Namespace<'_>, &Value, &str),
    done: impl Fn() -> Result<bool>,
    taken: impl Fn(&str) -> Result<()>,
) -> Result<()> {
    let mut number = 0;
    until(what, LIMIT, || {
        if done()? {
            return Ok(Some(()));
        }
        number += 1;
        let name = format!("{stem}-{number}");
        if stay(namespace, pod, &name)? {
            taken(&name)?;
        }
        thread::sleep(Duration::from_millis(150));
        Ok(None)
    })
}

fn another_holder_of_the_lease_goes_on(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("handed-over", &json!({}))?;
    let pod = pod(&namespace)?;
    let mut replicas = replicas(cluster, &namespace, "4s")?;
    stop(cluster, &replicas, &namespace, &pod)?;
    let leader = replicas.leader()?.context("nobody holds the Lease")?;
    replicas.processes[leader].0.kill();
    ensure!(!is_injected(&create(&namespace, &pod)?), "injected after the holder of the Lease was killed");

    let closed = || anyhow::Ok(is_injected(&create(&namespace, &pod)?));
    try_until("the other to try, and to close it", (&namespace, &pod, "trial"), closed, |name| {
        start(cluster, &namespace, name)
    })?;
    ensure!(replicas.leader()? == Some(1 - leader), "the Lease is held by {:?}", replicas.leader()?);
    // The first two, still stuck, are old news to the other one too.
    thread::sleep(Duration::from_secs(4));
    ensure!(is_injected(&create(&namespace, &pod)?), "stopped again by pods that were stuck before");
    Ok(())
}

/// Injected pods are brought to two more namespaces as they are: the replicas are in force in the first alone.
fn where_none_starts_anywhere_the_whole_cluster_is_stopped(cluster: &Cluster) -> Result<()> {
    let first = cluster.namespace("everywhere", &json!({}))?;
    let pod = pod(&first)?;
    // Between getting stuck and what a pod says that has started a loaded machine may take long.
    let replicas = replicas_after(cluster, &first, "30s", "10m")?;
    let reply = create(&first, &pod)?;
    ensure!(is_injected(&reply), "not injected: {}", reply.message());
    let mut injected = again(reply.body)?;
    // Without its owner there, a pod would be swept up.
    injected["metadata"]["ownerReferences"].take();
    let others = [cluster.namespace("everywhere", &json!({}))?, cluster.namespace("everywhere", &json!({}))?];
    let all = [&first, &others[0], &others[1]];
    let stick_one_each = |name: &str| {
        all.iter().try_for_each(|namespace| {
            ensure!(stay(namespace, &injected, name)?, "{name} was missed");
            stick(cluster, namespace, name)
        })
    };
    stick_one_each("stuck")?;
    // A pod that has started is not among those watched: it is asked for.
    ensure!(stay(&first, &pod, "fine")?, "fine was missed");
    let at = "2026-01-01T00:00:00Z";
    let done = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}});
    report_in(cluster, &first, ("fine", "Running"), &done)?;
    thread::sleep(Duration::from_secs(33));
    ensure!(is_injected(&create(&first, &pod)?), "stopped though a pod has started");

    stick_one_each("stuck-too")?;
    let series = "stepspan_breaker_open{namespace=\"*\"} 1";
    until("the cluster's circuit to open", LIMIT, || Ok(replicas.ask(0, "/metrics")?.contains(series).then_some(())))?;
    until("pods to go without us", LIMIT, || Ok((!is_injected(&create(&first, &pod)?)).then_some(())))?;
    let ready = replicas.ask(0, "/readyz")?;
    ensure!(is_ready_or_slow(&ready) && ready.contains("open for the whole cluster"), "{ready}");
    let told = until("an Event on the configuration", LIMIT, || {
        let told = events(cluster, "default", replicas.registration.name())?;
        Ok(told.into_iter().find(|event| event["reason"] == "InjectionPaused"))
    })?;
    ensure!(told["note"].as_str().is_some_and(|note| note.contains("3 namespaces")), "{told}");
    Ok(())
}

fn an_operator_closes_it_by_hand(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("by-hand", &json!({}))?;
    let pod = pod(&namespace)?;
    let replicas = replicas(cluster, &namespace, "10m")?;
    stop(cluster, &replicas, &namespace, &pod)?;
    let path = namespace.path(&format!("configmaps/{BREAKER}"));
    cluster.api().json_patch(&path, &json!([{"op": "remove", "path": "/data"}]))?.accepted()?;
    stopped(&replicas, &namespace, false)?;
    // The pods that are still stuck are old news.
    thread::sleep(Duration::from_secs(4));
    stopped(&replicas, &namespace, false)?;
    ensure!(is_injected(&create(&namespace, &pod)?), "not injected after the breaker was closed by hand");
    Ok(())
}
