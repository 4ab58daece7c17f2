//! A node that runs pods: containerd, kubelet, kube-proxy, scheduler, a name server, and a Collector that pods reach.
//!
//! All of it lives in network, mount and process namespaces of the trials' own, see [`private`]: nothing of the machine is
//! changed, and nothing is left whatever ends the run. Needs root.
//!
//! There is no cluster DNS as such: dnsmasq answers every name of a service with the node's address, where the Collector
//! listens, and knows no other name.

mod cgroups;
pub mod images;
pub mod private;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub use self::tools::NodeTools;
use super::{
    api::{Api, Reply},
    collector::{Address, Collector},
    control_plane::ControlPlane,
    processes::Process,
    wait::until,
};

/// The node's address, which is its bridge's: the kubelet refuses loopback.
pub const ADDRESS: &str = "10.99.0.1";
/// A port of [`ADDRESS`] that takes what comes and never says a word.
pub const BLACK_HOLE_PORT: u16 = 4399;
const POD_RANGE: &str = "10.99.0.0/16";
/// Its folder is private to the run, see [`private`].
const RUNTIME_SOCKET: &str = "/run/containerd/containerd.sock";
const NAME: &str = "node";
const LIMIT: Duration = Duration::from_mins(5);

/// The running node; its processes are among the cluster's.
pub struct Node {
    api: Api,
    collector: Collector,
}

impl Node {
    /// Starts everything, and returns when the node is ready and has all images.
    pub fn start(
        (tools, otelcol): (&NodeTools, &Path),
        plane: &ControlPlane,
        api: &Api,
        processes: &mut Vec<Process>,
    ) -> Result<Self> {
        let files = Files { plane };
        processes.push(files.start_containerd(tools)?);
        processes.push(files.start_name_server(tools)?);
        let collector = Collector::start(otelcol, &Address::usual(ADDRESS), Path::new(&plane.file("")), plane.logs())?;
        images::import_all(tools, &PathBuf::from(plane.file("images")))?;
        processes.push(files.start_kubelet(tools)?);
        processes.push(files.start_scheduler(tools)?);
        processes.push(files.start_proxy(tools)?);
        until("the node to be ready", LIMIT, || {
            processes.iter_mut().try_for_each(Process::ensure_running)?;
            let node = api.get(&format!("/api/v1/nodes/{NAME}"))?;
            let ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
            Ok(node.body["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(ready)).then_some(()))
        })?;
        configure_argo(api)?;
        Ok(Self { api: api.clone(), collector })
    }

    /// What pods export to by its address or by any service's name, such as `otel-collector`.
    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// The pods there are of one workflow.
    pub fn pods(&self, namespace: &str, workflow: &str) -> Vec<Value> {
        let path =
            format!("/api/v1/namespaces/{namespace}/pods?labelSelector=workflows.argoproj.io/workflow%3D{workflow}");
        self.api.list(&path).unwrap_or_default()
    }

    /// The end of what a pod's container wrote, through API server and kubelet.
    pub fn logs(&self, namespace: &str, pod: &str, container: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}");
        let body = self.api.get(&path)?.accepted()?;
        Ok(body.as_str().map_or_else(|| body.to_string(), ToOwned::to_owned))
    }
}

/// Argo's executor image is never pulled, and its containers stay within Pod Security "restricted".
fn configure_argo(api: &Api) -> Result<()> {
    let security = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true, "runAsUser": 8737,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let executor = json!({"imagePullPolicy": "IfNotPresent", "securityContext": security});
    let path = "/api/v1/namespaces/argo/configmaps/workflow-controller-configmap";
    api.merge_patch(path, &json!({"data": {"executor": executor.to_string()}})).and_then(Reply::accepted).map(drop)
}

/// The configuration of each program, below the run's folder.
struct Files<'p> {
    plane: &'p ControlPlane,
}

impl Files<'_> {
    fn write(&self, name: &str, content: &Value) -> Result<String> {
        let path = self.plane.file(name);
        fs::write(&path, serde_json::to_vec_pretty(content)?).with_context(|| path.clone())?;
        Ok(path)
    }

    fn start_containerd(&self, tools: &NodeTools) -> Result<Process> {
        let networks = self.plane.file("networks");
        fs::create_dir_all(&networks)?;
        let bridge = json!({
            "cniVersion": "0.4.0", "name": "pods",
            "plugins": [{
                "type": "bridge", "bridge": private::BRIDGE, "isGateway": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local", "subnet": POD_RANGE, "rangeStart": "10.99.1.0", "gateway": ADDRESS,
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        });
        self.write("networks/pods.conflist", &bridge)?;
        let config = format!(
            r#"version = 2
[grpc]
  address = "{RUNTIME_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE no sandbox would start otherwise.
  restrict_oom_score_adj = true
  sandbox_image = "{}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "{networks}"
"#,
            images::PAUSE,
            tools.cni_plugins.display(),
        );
        let path = self.plane.file("containerd.toml");
        fs::write(&path, config)?;
        let mut process = Process::spawn("containerd", &tools.containerd, ["--config", &path], &[], self.plane.logs())?;
        until("containerd's socket", LIMIT, || {
            process.ensure_running()?;
            Ok(fs::exists(RUNTIME_SOCKET)?.then_some(()))
        })?;
        Ok(process)
    }

    fn start_name_server(&self, tools: &NodeTools) -> Result<Process> {
        let args = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--pid-file",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--listen-address=10.99.0.1",
            "--local=/cluster.local/",
            "--address=/svc.cluster.local/10.99.0.1",
        ];
        Process::spawn("dnsmasq", &tools.dnsmasq, args, &[], self.plane.logs())
    }

    fn start_kubelet(&self, tools: &NodeTools) -> Result<Process> {
        let resolv_conf = self.plane.file("resolv.conf");
        fs::write(&resolv_conf, format!("nameserver {ADDRESS}\n"))?;
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": format!("unix://{RUNTIME_SOCKET}"),
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDNS": [ADDRESS], "clusterDomain": "cluster.local", "resolvConf": resolv_conf,
            // Whatever machine this is: either version of cgroups, no limits of its own, swap.
            "failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupsPerQOS": false, "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": false, "failSwapOn": false,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": 200, "registryPullQPS": 0, "eventRecordQPS": 0, "serializeImagePulls": false,
        });
        let config = self.write("kubelet.json", &config)?;
        let args = [
            format!("--config={config}"),
            format!("--kubeconfig={}", self.plane.file("admin.kubeconfig")),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={ADDRESS}"),
        ];
        Process::spawn("kubelet", &tools.kubelet, args, &[], self.plane.logs())
    }

    fn start_scheduler(&self, tools: &NodeTools) -> Result<Process> {
        let kubeconfig = format!("--kubeconfig={}", self.plane.file("admin.kubeconfig"));
        let args = [&kubeconfig, "--leader-elect=false", "--secure-port=0"];
        Process::spawn("kube-scheduler", &tools.kube_scheduler, args, &[], self.plane.logs())
    }

    fn start_proxy(&self, tools: &NodeTools) -> Result<Process> {
        let config = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
            "mode": "iptables", "hostnameOverride": NAME, "clusterCIDR": POD_RANGE,
            "clientConnection": {"kubeconfig": self.plane.file("admin.kubeconfig")},
            // These are the machine's, not ours to set.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        });
        let config = format!("--config={}", self.write("kube-proxy.json", &config)?);
        Process::spawn("kube-proxy", &tools.kube_proxy, [config], &[], self.plane.logs())
    }
}
