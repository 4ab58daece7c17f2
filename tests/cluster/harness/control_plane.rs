//! The four programs of the cluster and what they are told.
//!
//! Everything is bound to 127.0.0.1 on [`ports`] that were free a moment before; with a node, which has a network of its own, the
//! API server listens on all of that network's addresses, as pods call it. No admission plugin is switched off:
//! `LimitRanger`, `ResourceQuota`, `PodSecurity` and `ServiceAccount` judge pods as they do in production.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::{authority::Authority, node, ports, processes::Process, tools::Tools};

/// The namespace and user of the Argo controller, named as a default installation names them.
pub const ARGO_NAMESPACE: &str = "argo";
const ARGO_USER: &str = "system:serviceaccount:argo:argo";

/// Where pods find the API server: the first address of the services' range.
const FIRST_SERVICE_IP: &str = "10.96.0.1";
pub const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The bearer tokens of the static token file.
pub const ADMIN_TOKEN: &str = "admin-token";
const MANAGER_TOKEN: &str = "controller-manager-token";
const ARGO_TOKEN: &str = "argo-token";

/// Whether pods run, and so call the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Api,
    Node,
}

/// Files and ports of one cluster.
pub struct ControlPlane {
    dir: PathBuf,
    logs: PathBuf,
    level: Level,
    pub port: u16,
    etcd_client: u16,
    etcd_peer: u16,
}

/// Writes `<user>.kubeconfig` for whoever has the token; gives its path.
pub fn write_kubeconfig(dir: &Path, port: u16, user: &str, token: &str) -> Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": dir.join("ca.pem"),
        }}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": ARGO_NAMESPACE}}],
    });
    let path = dir.join(format!("{user}.kubeconfig"));
    fs::write(&path, serde_json::to_vec(&config)?)?;
    Ok(path)
}

impl ControlPlane {
    /// Chooses ports and writes certificates, keys, tokens and kubeconfigs under `dir`.
    pub fn prepare(dir: &Path, authority: &Authority, level: Level) -> Result<Self> {
        let logs = dir.join("logs");
        fs::create_dir_all(&logs)?;
        let (port, etcd_client, etcd_peer) = (ports::free()?, ports::free()?, ports::free()?);
        let plane = Self { dir: dir.to_owned(), logs, level, port, etcd_client, etcd_peer };
        plane.write_secrets(authority)?;
        plane.write_kubeconfig("controller-manager", MANAGER_TOKEN)?;
        plane.write_kubeconfig("argo", ARGO_TOKEN)?;
        // For people: kubectl against a cluster that a debugger holds.
        plane.write_kubeconfig("admin", ADMIN_TOKEN)?;
        Ok(plane)
    }

    pub fn logs(&self) -> &Path {
        &self.logs
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn write_secrets(&self, authority: &Authority) -> Result<()> {
        let server = authority.issue(&["kubernetes.default.svc", FIRST_SERVICE_IP])?;
        let account_key = KeyPair::generate()?;
        let tokens = format!(
            "{ADMIN_TOKEN},stepspan-tests,stepspan-tests,system:masters\n\
             {MANAGER_TOKEN},system:kube-controller-manager,kcm,system:masters\n\
             {ARGO_TOKEN},{ARGO_USER},argo,\"system:serviceaccounts,system:serviceaccounts:{ARGO_NAMESPACE}\"\n"
        );
        for (name, content) in [
            ("ca.pem", authority.pem()),
            ("apiserver.pem", server.certificate_pem),
            ("apiserver.key", server.key_pem),
            ("service-accounts.key", account_key.serialize_pem()),
            ("service-accounts.pub", account_key.public_key_pem()),
            ("tokens.csv", tokens),
        ] {
            fs::write(self.dir.join(name), content).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(())
    }

    fn write_kubeconfig(&self, user: &str, token: &str) -> Result<()> {
        write_kubeconfig(&self.dir, self.port, user, token).map(drop)
    }

    pub fn start_etcd(&self, tools: &Tools) -> Result<Process> {
        let client = format!("http://127.0.0.1:{}", self.etcd_client);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer);
        let args = [
            "--name=test".to_owned(),
            format!("--data-dir={}", self.file("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=test={peer}"),
            // The data dies with the test.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        Process::spawn("etcd", &tools.etcd, args, &[], &self.logs)
    }

    pub fn start_api_server(&self, tools: &Tools) -> Result<Process> {
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_client),
            format!("--secure-port={}", self.port),
            format!("--tls-cert-file={}", self.file("apiserver.pem")),
            format!("--tls-private-key-file={}", self.file("apiserver.key")),
            format!("--token-auth-file={}", self.file("tokens.csv")),
            "--authorization-mode=RBAC,Node".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", self.file("service-accounts.key")),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            "--allow-privileged=true".to_owned(),
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true".to_owned(),
            "--feature-gates=MutatingAdmissionPolicy=true,ImageVolume=true".to_owned(),
            // Nobody will send requests that need draining.
            "--shutdown-delay-duration=0s".to_owned(),
        ];
        match self.level {
            // It would publish the loopback address as the endpoint of `kubernetes`, which is not valid.
            Level::Api => args.extend(
                ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
                    .map(String::from),
            ),
            Level::Node => args.extend([
                "--bind-address=0.0.0.0".to_owned(),
                format!("--advertise-address={}", node::ADDRESS),
                // The node's name resolves nowhere; logs and exec, by which Argo ends daemons, go through this.
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
            ]),
        }
        Process::spawn("kube-apiserver", &tools.kube_apiserver, args, &[], &self.logs)
    }

    pub fn start_controller_manager(&self, tools: &Tools) -> Result<Process> {
        let args = [
            format!("--kubeconfig={}", self.file("controller-manager.kubeconfig")),
            format!("--service-account-private-key-file={}", self.file("service-accounts.key")),
            format!("--root-ca-file={}", self.file("ca.pem")),
            "--leader-elect=false".to_owned(),
            // Serves nothing.
            "--secure-port=0".to_owned(),
        ];
        Process::spawn("kube-controller-manager", &tools.kube_controller_manager, args, &[], &self.logs)
    }

    /// Cluster-wide, as trials have namespaces of their own.
    pub fn start_argo(&self, tools: &Tools) -> Result<Process> {
        let args = [
            format!("--kubeconfig={}", self.file("argo.kubeconfig")),
            format!("--executor-image={}", self.executor_image(tools)),
            "--qps=200".to_owned(),
            "--burst=400".to_owned(),
            "--loglevel=info".to_owned(),
            // Daemons are ended one after the other otherwise.
            "--pod-cleanup-workers=32".to_owned(),
        ];
        let env = [
            ("LEADER_ELECTION_DISABLE", "true"),
            // How soon a rate-limited workflow is looked at again; ten seconds by default. Each look asks anew for ended pods to be
            // cleaned up, ten a second at most: with pods that take seconds, daemons would wait for minutes to be ended.
            ("DEFAULT_REQUEUE_TIME", if self.level == Level::Api { "200ms" } else { "2s" }),
        ];
        Process::spawn("workflow-controller", &tools.workflow_controller, args, &env, &self.logs)
    }

    /// The image that the controller puts into pods.
    pub fn executor_image(&self, tools: &Tools) -> String {
        match self.level {
            Level::Api => format!("registry.example/argoproj/argoexec:{}", tools.argo_version),
            Level::Node => node::images::ARGOEXEC.to_owned(),
        }
    }
}

/// What the Argo controller needs in the cluster before it starts: path and object.
pub fn argo_objects() -> Vec<(&'static str, Value)> {
    vec![
        ("/api/v1/namespaces", json!({"metadata": {"name": ARGO_NAMESPACE}})),
        ("/api/v1/namespaces/argo/serviceaccounts", json!({"metadata": {"name": "argo"}})),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({
                "metadata": {"name": "argo"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "argo", "namespace": ARGO_NAMESPACE}],
            }),
        ),
        (
            "/api/v1/namespaces/argo/configmaps",
            json!({
                "metadata": {"name": "workflow-controller-configmap"},
                // Both would listen on all interfaces.
                "data": {"metricsConfig": "enabled: false\n", "telemetryConfig": "enabled: false\n"},
            }),
        ),
    ]
}

/// The Argo controller insists on serving its health on port 6060 of all interfaces, and carries on without where the
/// port is taken. So the port is taken, on loopback, for as long as the result lives. Should somebody else hold it, the
/// same is achieved.
pub fn hold_healthz_port() -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 6060)).ok()
}
