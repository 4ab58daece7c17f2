//! `stepspan watch` as a Deployment of one namespace runs it: a service account with the rights the chart gives, and a Lease.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;
use stepspan::watch::ledger::SHARDS;

use super::{
    Cluster,
    collector::Address,
    namespace::Namespace,
    ports,
    processes::Process,
    stepspan::{PROGRAM, get, is_ready},
    wait::until,
    way::Way,
};

const LIMIT: Duration = Duration::from_mins(3);
/// The service account, and the Lease.
const NAME: &str = "stepspan-watch";

/// Replicas that watch one namespace, which also holds their Lease.
pub struct Watch<'c> {
    cluster: &'c Cluster,
    namespace: &'c Namespace<'c>,
    kubeconfig: String,
    endpoint: String,
    /// How they reach the API server.
    pub way: Way,
    started: u32,
}

/// One replica.
pub struct Replica {
    pub process: Process,
    pub ops: u16,
}

impl<'c> Watch<'c> {
    /// Gives the rights; nothing runs yet.
    pub fn prepare(cluster: &'c Cluster, namespace: &'c Namespace<'c>, collector: &Address) -> Result<Self> {
        let way = cluster.way()?;
        let kubeconfig = rights(cluster, namespace, &way)?;
        Ok(Self { cluster, namespace, kubeconfig, endpoint: collector.url(), way, started: 0 })
    }

    /// Gives the rights to ask why pods were not injected, and to tell of it, as the chart does.
    pub fn may_judge(&self) -> Result<()> {
        let name = format!("{NAME}-{}", self.namespace.name());
        let role = json!({"metadata": {"name": name}, "rules": [
            {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"],
                "resourceNames": [format!("stepspan-{}", self.namespace.name())], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["configmaps"],
                "resourceNames": ["stepspan", "stepspan-policies", "stepspan-breaker"], "verbs": ["get"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        ]});
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        self.cluster.api().create(&format!("{rbac}/clusterroles"), &role)?.accepted()?;
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": self.namespace.name()}],
        });
        self.cluster.api().create(&format!("{rbac}/clusterrolebindings"), &binding)?.accepted()?;
        Ok(())
    }

    /// Starts a replica, and returns when it is ready.
    pub fn start(&mut self, more: &[&str]) -> Result<Replica> {
        self.started += 1;
        let ops = ports::free()?;
        let name = format!("watch-{}-{}", self.namespace.name(), self.started);
        let given = [
            "watch".to_owned(),
            format!("--otlp-endpoint={}", self.endpoint),
            format!("--only={}", self.namespace.name()),
            format!("--namespace={}", self.namespace.name()),
            format!("--identity={name}"),
            "--bind=127.0.0.1".to_owned(),
            // Nobody scrapes.
            "--zero-for=0s".to_owned(),
            format!("--ops-port={ops}"),
        ];
        let args: Vec<&str> = given.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let env = [("KUBECONFIG", self.kubeconfig.as_str())];
        let mut process = self.cluster.spawn(&name, Path::new(PROGRAM), &args, &env)?;
        until("stepspan watch to be ready", LIMIT, || {
            process.ensure_running()?;
            Ok(is_ready(ops).then_some(()))
        })
        .with_context(|| process.log_tail())?;
        Ok(Replica { process, ops })
    }
}

impl Replica {
    /// The value of one of its metrics, without labels.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let text = self.text()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).with_context(|| format!("no metric {name} in\n{text}"))
    }

    /// All of `/metrics`.
    pub fn text(&self) -> Result<String> {
        get(self.ops, "/metrics")
    }

    /// The sum of a metric over the series whose labels have this text in them, with its suffix: `agent_step_success_total`.
    pub fn sum(&self, name: &str, labels: &str) -> Result<u64> {
        let text = self.text()?;
        let series = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
        let values = series.filter(|(set, _)| set.contains(labels)).map(|(_, value)| value.trim().parse::<u64>());
        Ok(values.collect::<Result<Vec<_>, _>>().with_context(|| text.clone())?.into_iter().sum())
    }

    /// Waits until a metric has a value.
    pub fn until(&mut self, name: &str, wanted: impl Fn(u64) -> bool) -> Result<u64> {
        until(&format!("{name} to be as it should"), LIMIT, || {
            self.process.ensure_running()?;
            let value = self.metric(name)?;
            Ok(wanted(value).then_some(value))
        })
        .with_context(|| self.process.log_tail())
    }
}

/// A service account that may do what the chart lets it do, and nothing else; gives the path of its kubeconfig.
fn rights(cluster: &Cluster, namespace: &Namespace<'_>, way: &Way) -> Result<String> {
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", namespace.name());
    namespace.create_object("serviceaccounts", &json!({"metadata": {"name": NAME}}))?.accepted()?;
    let shards: Vec<String> = (0..SHARDS).map(|shard| format!("{NAME}-{shard}")).collect();
    let role = json!({"metadata": {"name": NAME}, "rules": [
        {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [NAME], "verbs": ["get", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": shards, "verbs": ["get", "update"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
    ]});
    cluster.api().create(&format!("{rbac}/roles"), &role)?.accepted()?;
    let binding = json!({
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace.name()}],
    });
    cluster.api().create(&format!("{rbac}/rolebindings"), &binding)?.accepted()?;
    let token = namespace.token_of(NAME)?;
    Ok(cluster.write_kubeconfig_by(way, &format!("watch-{}", namespace.name()), &token)?.display().to_string())
}
