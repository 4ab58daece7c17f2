//! Several `stepspan webhook` processes as a Deployment runs them: a service account with the rights the chart gives, one Secret and
//! one Lease, one configuration, something in front that spreads connections as a Service does, and a way to the API server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    Cluster,
    namespace::Namespace,
    ports,
    processes::Process,
    stepspan::{PATIENT, PROGRAM, get, is_ready},
    wait::until,
    way::Way,
    webhook::Webhook,
};

const LIMIT: Duration = Duration::from_mins(3);
const SECRET: &str = "stepspan-tls";
/// The ConfigMap of the circuit breaker.
pub const BREAKER: &str = "stepspan-breaker";

/// Replicas in force for one namespace, which also holds their objects.
pub struct Replicas<'c> {
    pub registration: Webhook<'c>,
    /// Each replica's process and operations port.
    pub processes: Vec<(Process, u16)>,
    /// How they reach the API server.
    pub way: Way,
    namespace: &'c Namespace<'c>,
    cluster: &'c Cluster,
    spread: JoinHandle<()>,
}

impl<'c> Replicas<'c> {
    /// Starts `count` replicas whose certificates live for `life`, with `failurePolicy: Fail`: a call that is lost is a pod refused.
    ///
    /// `more` are further arguments, such as a policy.
    pub fn start(
        cluster: &'c Cluster,
        namespace: &'c Namespace<'c>,
        shape: (usize, &str),
        more: &[String],
    ) -> Result<Self> {
        let mut replicas = Self::launch(cluster, namespace, shape, more, cluster.way()?)?;
        replicas.wait_until_ready()?;
        Ok(replicas)
    }

    /// The same, without waiting until they are ready.
    pub fn launch(
        cluster: &'c Cluster,
        namespace: &'c Namespace<'c>,
        (count, life): (usize, &str),
        more: &[String],
        way: Way,
    ) -> Result<Self> {
        let mut https = Vec::new();
        let (listener, address) = cluster.runtime().block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            anyhow::Ok((listener, address))
        })?;
        let url = format!("https://localhost:{}", address.port());
        let registration = cluster.register_webhook_with(namespace, &url, "", |configuration| {
            configuration["webhooks"][0]["failurePolicy"] = json!("Fail");
        })?;
        let kubeconfig = rights(cluster, namespace, &registration, &way)?;
        let mut processes = Vec::new();
        for number in 0..count {
            let (port, ops) = (ports::free()?, ports::free()?);
            let args = [
                "webhook".to_owned(),
                "--bind=127.0.0.1".into(),
                format!("--https-port={port}"),
                format!("--ops-port={ops}"),
                format!("--tls-secret={SECRET}"),
                format!("--tls-life={life}"),
                "--server-name=localhost".into(),
                format!("--webhook-configuration={}", registration.name()),
                format!("--namespace={}", namespace.name()),
                format!("--identity=replica-{number}"),
            ];
            let args: Vec<&str> = args.iter().chain(more).map(String::as_str).chain(PATIENT).collect();
            let name = format!("{}-{number}", namespace.name());
            let process = cluster.spawn(&name, Path::new(PROGRAM), &args, &[("KUBECONFIG", &kubeconfig)])?;
            processes.push((process, ops));
            https.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let spread = cluster.runtime().spawn(spread(listener, https));
        Ok(Self { registration, processes, way, namespace, cluster, spread })
    }

    /// Waits until each replica says it is ready, and the API server calls them.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        for (process, ops) in &mut self.processes {
            until("a replica to be ready", LIMIT, || {
                process.ensure_running()?;
                Ok(is_ready(*ops).then_some(()))
            })
            .with_context(|| format!("{}\n{}", get(*ops, "/readyz").unwrap_or_default(), process.log_tail()))?;
        }
        // It hears of the caBundle by a watch of its own; until then it refuses every pod.
        let probe = json!({"metadata": {"name": "probe", "labels": {"workflows.argoproj.io/workflow": "probe"}},
            "spec": {"containers": [{"name": "main", "image": "x"}]}});
        until("the API server to call a replica", LIMIT, || {
            Ok(self.namespace.create_object("pods?dryRun=All", &probe)?.is_success().then_some(()))
        })
    }

    /// What a replica's operations port says.
    pub fn ask(&self, replica: usize, path: &str) -> Result<String> {
        get(self.processes[replica].1, path)
    }

    /// Which replica holds the Lease.
    pub fn leader(&self) -> Result<Option<usize>> {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/stepspan", self.namespace.name());
        let lease = self.cluster.api().get(&path)?.accepted()?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        Ok(holder.strip_prefix("replica-").and_then(|number| number.parse().ok()))
    }

    /// The Secret with the keys.
    pub fn secret(&self) -> Result<Value> {
        self.cluster.api().get(&self.namespace.path(&format!("secrets/{SECRET}")))?.accepted()
    }

    /// The webhook configuration.
    pub fn configuration(&self) -> Result<Value> {
        self.cluster.api().get(&self.registration.path())?.accepted()
    }
}

impl Drop for Replicas<'_> {
    fn drop(&mut self) {
        self.spread.abort();
    }
}

/// A service account that may do what the chart lets it do, and nothing else; gives the path of its kubeconfig.
fn rights(cluster: &Cluster, namespace: &Namespace<'_>, registration: &Webhook<'_>, way: &Way) -> Result<String> {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let api = cluster.api();
    let own = namespace.name();
    namespace.create_object("serviceaccounts", &json!({"metadata": {"name": "stepspan"}}))?.accepted()?;
    namespace.create_object("secrets", &json!({"metadata": {"name": SECRET}}))?.accepted()?;
    namespace.create_object("configmaps", &json!({"metadata": {"name": BREAKER}}))?.accepted()?;
    let subject = json!([{"kind": "ServiceAccount", "name": "stepspan", "namespace": own}]);
    let role = json!({"metadata": {"name": "stepspan"}, "rules": [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["list", "watch", "update"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [BREAKER], "verbs": ["list", "watch", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["stepspan"], "verbs": ["get", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    ]});
    api.create(&format!("{RBAC}/namespaces/{own}/roles"), &role)?.accepted()?;
    let reference =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let binding =
        json!({"metadata": {"name": "stepspan"}, "roleRef": reference("Role", "stepspan"), "subjects": subject});
    api.create(&format!("{RBAC}/namespaces/{own}/rolebindings"), &binding)?.accepted()?;
    let name = registration.name();
    let cluster_role = json!({"metadata": {"name": name}, "rules": [
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"], "resourceNames": [name],
         "verbs": ["list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["stepspan.dev"], "resources": ["injectionpolicies"], "verbs": ["list", "watch"]},
        {"apiGroups": ["stepspan.dev"], "resources": ["injectionpolicies/status"], "verbs": ["patch"]},
    ]});
    api.create(&format!("{RBAC}/clusterroles"), &cluster_role)?.accepted()?;
    let binding = json!({"metadata": {"name": name}, "roleRef": reference("ClusterRole", name), "subjects": subject});
    api.create(&format!("{RBAC}/clusterrolebindings"), &binding)?.accepted()?;

    let token = namespace.token_of("stepspan")?;
    Ok(cluster.write_kubeconfig_by(way, &format!("webhook-{own}"), &token)?.display().to_string())
}

/// Hands each connection to the next replica, or the one after where that does not take it.
async fn spread(listener: TcpListener, replicas: Vec<SocketAddr>) {
    let next = Arc::new(AtomicUsize::new(0));
    while let Ok((mut client, _)) = listener.accept().await {
        let (next, replicas) = (Arc::clone(&next), replicas.clone());
        tokio::spawn(async move {
            for _ in 0..replicas.len() {
                let turn = next.fetch_add(1, Ordering::Relaxed) % replicas.len();
                if let Ok(mut server) = TcpStream::connect(replicas[turn]).await {
                    // Whoever breaks it off breaks it off for both.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
            }
        });
    }
}
