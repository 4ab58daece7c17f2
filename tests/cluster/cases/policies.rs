//! Policies as resources: what the definition takes and refuses, and how they come into force on replicas.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use stepspan::{
    cluster::lease::TERM,
    policy::{
        PolicySet,
        compile::Rules,
        crd,
        spec::{API_VERSION, KIND},
    },
    yaml,
};

use super::certificates::{create, is_injected, pod};
use super::{Shared, trial};
use crate::harness::{
    Cluster, api::Reply, namespace::Namespace, replicas::Replicas, stepspan::is_ready_or_slow, wait::until,
};

const LIMIT: Duration = Duration::from_mins(3);
/// By a watch, and not by looking now and then.
const AT_ONCE: Duration = Duration::from_secs(1);
pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const POLICIES: &str = "/apis/stepspan.dev/v1alpha1/injectionpolicies";

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("policies::{name}"), body);
    vec![
        named("what_a_file_may_hold_a_resource_may_hold", what_a_file_may_hold_a_resource_may_hold),
        named("what_the_api_server_refuses_a_file_may_not_hold", what_the_api_server_refuses_a_file_may_not_hold),
        named("kubectl_shows_how_each_stands", kubectl_shows_how_each_stands),
        named("a_policy_is_in_force_on_every_replica_at_once", a_policy_is_in_force_on_every_replica_at_once),
        named("the_last_known_ones_serve_on_without_an_api_server", the_last_known_ones_serve_on_without_an_api_server),
        named("nobody_is_ready_before_the_first_list", nobody_is_ready_before_the_first_list),
    ]
}

/// Makes the API server know InjectionPolicies; trials that run together may all ask for it.
pub fn define(cluster: &Cluster) -> Result<()> {
    let manifest = serde_json::to_vec(&crd::definition())?;
    cluster.api().apply(&format!("{DEFINITIONS}/{}", crd::NAME), manifest)?.accepted()?;
    until("InjectionPolicies to be served", LIMIT, || Ok(cluster.api().get(POLICIES)?.is_success().then_some(())))
}

/// Puts a policy there, or another spec into it.
pub fn apply(cluster: &Cluster, name: &str, spec: &Value) -> Result<()> {
    let metadata = json!({"name": name});
    let policy = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec});
    cluster.api().apply(&format!("{POLICIES}/{name}"), serde_json::to_vec(&policy)?)?.accepted().map(drop)
}

/// Takes a policy away.
pub fn delete(cluster: &Cluster, name: &str) -> Result<()> {
    cluster.api().delete(&format!("{POLICIES}/{name}"))?.accepted().map(drop)
}

/// Creates a policy for a moment, with the API server's own strictness.
fn admitted(cluster: &Cluster, policy: &Value) -> Result<Reply> {
    cluster.api().create(&format!("{POLICIES}?dryRun=All&fieldValidation=Strict"), policy)
}

fn what_a_file_may_hold_a_resource_may_hold(cluster: &Cluster) -> Result<()> {
    define(cluster)?;
    let mut seen = 0;
    for file in policy_files()? {
        for document in yaml::documents(fs::read_to_string(&file)?.as_bytes()) {
            let policy = document?.read()?;
            if policy.is_null() {
                continue;
            }
            let stored = admitted(cluster, &policy)?.accepted().with_context(|| file.clone())?;
            ensure!(stored["spec"] == policy["spec"], "{file}: stored otherwise: {}", stored["spec"]);
            seen += 1;
        }
    }
    ensure!(seen >= 14, "only {seen} policies");
    Ok(())
}

/// Every policy of the cases and the shipped ones, and the reference's.
fn policy_files() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["tests/cases", "policies"] {
        for entry in fs::read_dir(root.join(folder))? {
            let file = entry?.path().join("policy.yaml");
            if file.exists() {
                files.push(file.display().to_string());
            }
        }
    }
    Ok(files)
}

fn what_the_api_server_refuses_a_file_may_not_hold(cluster: &Cluster) -> Result<()> {
    define(cluster)?;
    let when: Vec<String> = (0..33).map(|i| format!("{i} > 0")).collect();
    let refused = [
        (json!({"enviroment": "dev"}), "unknown field"),
        (json!({"environment": ""}), "environment"),
        (json!({"priority": "high"}), "priority"),
        (json!({"match": {"when": when}}), "must have at most 32 items"),
        (
            json!({"match": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}),
            "need at least one",
        ),
        (
            json!({"match": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}}),
            "Unsupported value",
        ),
        (json!({"correlation": {"a b": {}}}), "a correlation key is"),
        (json!({"correlation": {"inject": {}}}), "meaning of its own"),
        (json!({"correlation": {"p.x": {}}}), "meaning of its own"),
        (json!({"correlation": {"a": {"from": [{"label": "x", "env": "X"}]}}}), "must have at most 1 item"),
        (json!({"correlation": {"a": {"from": [{}]}}}), "should have at least 1"),
        (json!({"labels": {"workflows.argoproj.io/x": "y"}}), "can't be written"),
        (json!({"annotations": {"stepspan.dev/x": "y"}}), "can't be written"),
        (json!({"otlp": {"endpoint": "otel:4317"}}), "an endpoint is a URL"),
        (json!({"otlp": {"caBundle": "secret"}}), "no PEM certificate"),
        (json!({"otlp": {"protocol": "http/json"}}), "Unsupported value"),
        (json!({"env": {"set": [{"name": "LD_PRELOAD", "value": "x"}]}}), "can't be set by policies"),
        (json!({"env": {"set": [{"name": "1", "value": "x"}]}}), "no name of a variable"),
        (
            json!({"env": {"set": [{"name": "OTEL_A", "value": "x"}, {"name": "OTEL_A", "value": "y"}]}}),
            "Duplicate value",
        ),
        (json!({"sampling": {"ratio": 1.5}}), "less than or equal to 1"),
        (json!({"initContainer": {"probe": {"timeout": "6s"}}}), "at most 5s"),
        (json!({"shim": {"budget": "soon"}}), "a duration such as"),
    ];
    for (spec, wanted) in refused {
        let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "spec": spec,
            "metadata": {"name": "refused"}});
        let reply = admitted(cluster, &policy)?;
        ensure!(!reply.is_success(), "not refused: {policy}");
        ensure!(reply.message().contains(wanted), "{policy}: {}", reply.message());
        ensure!(PolicySet::from_resource(policy.clone(), &Rules::default()).is_err(), "a file may hold {policy}");
    }
    Ok(())
}

/// What `kubectl get injpol` asks for: the short name by discovery, and a table.
fn kubectl_shows_how_each_stands(cluster: &Cluster) -> Result<()> {
    define(cluster)?;
    let known = cluster.api().get("/apis/stepspan.dev/v1alpha1")?.accepted()?;
    let resources = known["resources"].as_array().context("no resources")?;
    let policies = resources.iter().find(|resource| resource["name"] == "injectionpolicies").context("no policies")?;
    ensure!(policies["shortNames"] == json!(["injpol"]), "{policies}");
    let name = "shown-by-kubectl";
    apply(cluster, name, &json!({"match": {"namespaces": {"include": ["nowhere"]}}, "priority": 7}))?;
    let table = cluster.api().in_tables().get(&format!("{POLICIES}/{name}"))?.accepted()?;
    delete(cluster, name)?;
    let columns = table["columnDefinitions"].as_array().context("no columns")?;
    let columns: Vec<_> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    ensure!(columns == ["Name", "Priority", "Accepted", "Ready", "Age", "Message"], "{columns:?}");
    let cells = &table["rows"][0]["cells"];
    ensure!(cells[0] == name && cells[1] == 7, "{cells}");
    Ok(())
}

fn a_policy_is_in_force_on_every_replica_at_once(cluster: &Cluster) -> Result<()> {
    define(cluster)?;
    let namespace = cluster.namespace("resources", &json!({}))?;
    let pod = pod(&namespace)?;
    let replicas = Replicas::start(cluster, &namespace, (3, "90d"), &only_resources(cluster)?)?;
    let name = format!("{}-all", namespace.name());
    let only = json!({"namespaces": {"include": [namespace.name()]}});
    let apply = |spec: &Value| apply(cluster, &name, spec);
    let served = |generation| served(&replicas, &name, generation);
    ensure!(!is_injected(&create(&namespace, &pod)?), "injected by no policy");
    // A loaded machine may take longer now and then, not each time.
    let mut first = 0;
    until("a policy to be in force at once", LIMIT, || {
        first += 1;
        apply(&json!({"match": only, "labels": {"version": "one"}, "priority": first}))?;
        let took = served(Some(first))?;
        eprintln!("cluster: a policy was in force on three replicas after {} ms", took.as_millis());
        Ok((took < AT_ONCE).then_some(()))
    })?;
    labelled(&namespace, &pod, "one")?;
    condition(cluster, &name, "Ready", "True", "InForce")?;

    // A mistake that only we can see: the last good version stays, and the status says what is wrong.
    apply(&json!({"match": {"namespaces": {"include": [namespace.name()]}, "when": ["pod.nonsense("]}}))?;
    condition(cluster, &name, "Accepted", "False", "Invalid")?;
    let status = condition(cluster, &name, "Ready", "False", "EarlierGeneration")?;
    ensure!(
        status["observedGeneration"] == first + 1 && status["errors"][0]["path"] == "spec.match.when[0]",
        "{status}"
    );
    labelled(&namespace, &pod, "one")?;
    let ready = replicas.ask(0, "/readyz")?;
    ensure!(is_ready_or_slow(&ready) && ready.contains("spec.match.when[0]"), "{ready}");

    apply(&json!({"match": only, "labels": {"version": "three"}}))?;
    served(Some(first + 2))?;
    labelled(&namespace, &pod, "three")?;
    condition(cluster, &name, "Accepted", "True", "Valid")?;
    delete(cluster, &name)?;
    served(None)?;
    ensure!(!is_injected(&create(&namespace, &pod)?), "injected by a policy that is gone");
    Ok(())
}

/// Cut off from the API server, which goes on calling them: all replicas of a network policy's mistake.
fn the_last_known_ones_serve_on_without_an_api_server(cluster: &Cluster) -> Result<()> {
    define(cluster)?;
    let namespace = cluster.namespace("cut-off", &json!({}))?;
    let pod = pod(&namespace)?;
    let replicas = Replicas::start(cluster, &namespace, (3, "90d"), &only_resources(cluster)?)?;
    let name = format!("{}-all", namespace.name());
    let spec = |version: &str| json!({"match": {"namespaces": {"include": [namespace.name()]}}, "labels": {"version": version}});
    apply(cluster, &name, &spec("one"))?;
    served(&replicas, &name, Some(1))?;

    replicas.way.cut();
    apply(cluster, &name, &spec("two"))?;
    // Longer than the Lease lasts without being renewed.
    let began = Instant::now();
    while began.elapsed() < TERM + Duration::from_secs(2) {
        labelled(&namespace, &pod, "one")?;
    }
    for replica in 0..3 {
        let ready = replicas.ask(replica, "/readyz")?;
        ensure!(is_ready_or_slow(&ready), "{ready}");
    }
    replicas.way.open();
    served(&replicas, &name, Some(2))?;
    labelled(&namespace, &pod, "two")?;
    condition(cluster, &name, "Ready", "True", "InForce")?;
    delete(cluster, &name)
}

fn nobody_is_ready_before_the_first_list(cluster: &Cluster) -> Result<()> {
    define(cluster)?;
    let namespace = cluster.namespace("not-listed", &json!({}))?;
    let pod = pod(&namespace)?;
    let name = format!("{}-all", namespace.name());
    let only = json!({"namespaces": {"include": [namespace.name()]}});
    apply(cluster, &name, &json!({"match": only, "labels": {"version": "one"}}))?;
    let way = cluster.way()?;
    way.cut();
    let mut replicas = Replicas::launch(cluster, &namespace, (1, "90d"), &only_resources(cluster)?, way)?;
    let said = until("the operations port to answer", LIMIT, || {
        replicas.processes[0].0.ensure_running()?;
        Ok(replicas.ask(0, "/readyz").ok().filter(|said| said.starts_with("HTTP")))
    })?;
    ensure!(said.starts_with("HTTP/1.1 503") && said.contains("have not been listed yet"), "{said}");
    replicas.way.open();
    replicas.wait_until_ready()?;
    labelled(&namespace, &pod, "one")?;
    delete(cluster, &name)
}

/// Arguments of replicas that know no policy for this place but what resources say.
fn only_resources(cluster: &Cluster) -> Result<[String; 2]> {
    let nowhere = cluster.dir().join("nowhere.yaml");
    fs::write(&nowhere, NOWHERE)?;
    Ok([format!("--policy={}", nowhere.display()), "--policy-resources".to_owned()])
}

/// Waits until each of three replicas says that it serves this generation of the policy; gives how long that took.
fn served(replicas: &Replicas<'_>, name: &str, generation: Option<i64>) -> Result<Duration> {
    let began = Instant::now();
    let series = format!("stepspan_policy_resource_generation{{policy=\"{name}\"}} ");
    until("all replicas to serve the policy", LIMIT, || {
        for replica in 0..3 {
            let metrics = replicas.ask(replica, "/metrics")?;
            let found = metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
            if found != generation {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })?;
    Ok(began.elapsed())
}

const NOWHERE: &str = "\
apiVersion: stepspan.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: nowhere}
spec: {match: {namespaces: {include: [nowhere]}}}
";

/// Each of several pods gets the label: the replicas take turns.
fn labelled(namespace: &Namespace<'_>, pod: &Value, version: &str) -> Result<()> {
    for _ in 0..6 {
        let reply = create(namespace, pod)?;
        let label = &reply.body["metadata"]["labels"]["version"];
        ensure!(reply.is_success() && label == version, "the label is {label}: {}", reply.message());
    }
    Ok(())
}

/// Waits for a condition of the policy; gives the whole status.
fn condition(cluster: &Cluster, name: &str, kind: &str, status: &str, reason: &str) -> Result<Value> {
    let mut last = Value::Null;
    until("the status to say it", LIMIT, || {
        last = cluster.api().get(&format!("{POLICIES}/{name}"))?.accepted()?["status"].take();
        let conditions = last["conditions"].as_array().into_iter().flatten();
        let mut of_kind = conditions.filter(|condition| condition["type"] == kind);
        Ok(of_kind.any(|c| c["status"] == status && c["reason"] == reason).then(|| last.clone()))
    })
    .with_context(|| last.to_string())
}
