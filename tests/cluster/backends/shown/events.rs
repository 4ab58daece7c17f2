//! Argo Events with the objects of `examples/argo-events`: the two services that its controller would run in pods, and the bus between them, as
//! processes.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use stepspan::yaml;

use super::{BackendTools, call, listening};
use crate::harness::{
    Cluster, authority::Authority, crds, namespace::Namespace, ports, processes::Process, wait::until,
};

const LIMIT: Duration = Duration::from_mins(2);
/// In the order in which they are made.
const FILES: [&str; 4] = ["rights", "workflow", "bus-and-source", "sensor"];
const EXAMPLES: &str = "examples/argo-events";
/// As its controller gives it, but for a single member.
const STREAM: &str =
    "maxAge: 168h\nmaxMsgs: 50000\nmaxBytes: -1\nreplicas: 1\nduplicates: 300s\nretention: 0\ndiscard: 0\n";

pub struct Events<'c> {
    cluster: &'c Cluster,
    tools: BackendTools,
    folder: PathBuf,
    objects: Vec<Value>,
    /// Variables of both services.
    shared: Vec<(&'static str, String)>,
    hook: u16,
    metrics: u16,
    bus: u16,
    starts: u32,
    processes: Vec<Process>,
    sensor: Option<Process>,
}

impl<'c> Events<'c> {
    /// Makes the objects in a namespace, and starts bus, event source and sensor.
    pub fn start(cluster: &'c Cluster, tools: &BackendTools, folder: &Path, namespace: &Namespace<'_>) -> Result<Self> {
        let folder = folder.join("events");
        fs::create_dir_all(&folder)?;
        crds::install(cluster.api(), &tools.argo_events_crds)?;
        let objects = make_objects(namespace)?;
        validate(&tools.argo_events, &objects)?;
        let (bus, monitor) = (ports::free()?, ports::free()?);
        let config = json!({"jetstream": {"url": format!("nats://127.0.0.1:{bus}"), "streamConfig": STREAM}});
        let shared = vec![
            ("EVENTBUS_CONFIG", BASE64_STANDARD.encode(config.to_string())),
            ("EVENTBUS_SUBJECT", format!("eventbus-{}", namespace.name())),
            ("LEADER_ELECTION", String::new()),
        ];
        let mut events = Self {
            cluster,
            tools: tools.clone(),
            folder,
            objects,
            shared,
            hook: ports::free()?,
            metrics: ports::free()?,
            bus: monitor,
            starts: 0,
            processes: Vec::new(),
            sensor: None,
        };
        events.start_bus(bus)?;
        events.start_source()?;
        events.start_sensor(namespace)?;
        Ok(events)
    }

    /// TLS, since the client of Argo Events insists on it; it does not look at who signed.
    fn start_bus(&mut self, port: u16) -> Result<()> {
        let certificate = Authority::new()?.issue(&[])?;
        let file = |name: &str| self.folder.join(name).display().to_string();
        fs::write(file("tls.crt"), certificate.certificate_pem)?;
        fs::write(file("tls.key"), certificate.key_pem)?;
        let (port_text, monitor) = (port.to_string(), self.bus.to_string());
        let (store, cert, key) = (file("store"), file("tls.crt"), file("tls.key"));
        let args = ["-js", "-sd", &store, "-a", "127.0.0.1", "-p", &port_text, "-m", &monitor];
        let args = [&args[..], &["--tls", "--tlscert", &cert, "--tlskey", &key]].concat();
        let mut process = self.cluster.spawn(&format!("nats-{port}"), &self.tools.nats, &args, &[])?;
        listening(&mut process, "127.0.0.1", port)?;
        self.processes.push(process);
        Ok(())
    }

    fn start_source(&mut self) -> Result<()> {
        let mut object = self.object("EventSource")?;
        object["spec"]["webhook"]["agent"]["port"] = self.hook.to_string().into();
        let metrics = format!("127.0.0.1:{}", ports::free()?);
        let own =
            [("EVENTSOURCE_OBJECT", object), ("POD_NAME", "source-0".into()), ("METRICS_ADDRESS", metrics.into())];
        let mut process = self.service("eventsource-service", &own)?;
        listening(&mut process, "127.0.0.1", self.hook)?;
        self.processes.push(process);
        Ok(())
    }

    /// Returns when the bus keeps for it what comes.
    pub fn start_sensor(&mut self, namespace: &Namespace<'_>) -> Result<()> {
        let kubeconfig = self.folder.join("sensor.kubeconfig");
        let mut config: Value = serde_json::from_slice(&fs::read(self.cluster.dir().join("admin.kubeconfig"))?)?;
        config["users"][0]["user"]["token"] = namespace.token_of("agent-sensor")?.into();
        fs::write(&kubeconfig, config.to_string())?;
        let own = [
            ("SENSOR_OBJECT", self.object("Sensor")?),
            ("POD_NAME", "sensor-0".into()),
            ("METRICS_ADDRESS", format!("127.0.0.1:{}", self.metrics).into()),
            ("KUBECONFIG", kubeconfig.display().to_string().into()),
        ];
        let mut process = self.service("sensor-service", &own)?;
        until("the sensor to listen to the bus", LIMIT, || {
            process.ensure_running()?;
            let (_, streams) = call(self.bus, "GET /jsz?consumers=true", "", "")?;
            let listens = process.log().contains("started subscribing") && streams.contains("\"consumer_detail\"");
            Ok(listens.then_some(()))
        })
        .with_context(|| process.log_tail())?;
        self.sensor = Some(process);
        Ok(())
    }

    /// Ends it as a crash would.
    pub fn kill_sensor(&mut self) {
        if let Some(mut process) = self.sensor.take() {
            process.kill();
        }
    }

    /// Where events are posted.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/agent", self.hook)
    }

    /// Posts an event as JSON, which has to be taken.
    pub fn post(&self, body: &Value, traceparent: Option<&str>) -> Result<()> {
        let trace = traceparent.map(|it| format!("traceparent: {it}\r\n")).unwrap_or_default();
        let headers = format!("Content-Type: application/json\r\n{trace}");
        let (status, answer) = call(self.hook, "POST /agent", &headers, &body.to_string())?;
        ensure!(status.contains(" 200 "), "{status}: {answer}");
        Ok(())
    }

    /// What the sensor shows to Prometheus.
    pub fn metrics(&self) -> Result<String> {
        call(self.metrics, "GET /metrics", "", "").map(|(_, text)| text)
    }

    /// An object's namespace, name and specification, as the services are handed it.
    fn object(&self, kind: &str) -> Result<Value> {
        let object = self.objects.iter().find(|object| object["kind"] == kind).with_context(|| kind.to_owned())?;
        let metadata = &object["metadata"];
        Ok(json!({"metadata": {"namespace": metadata["namespace"], "name": metadata["name"]}, "spec": object["spec"]}))
    }

    /// Objects among the variables go in base64.
    fn service(&mut self, name: &str, own: &[(&str, Value)]) -> Result<Process> {
        self.starts += 1;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            object => BASE64_STANDARD.encode(object.to_string()),
        };
        let own: Vec<(&str, String)> = own.iter().map(|(name, value)| (*name, text(value))).collect();
        let all = self.shared.iter().chain(&own).map(|(name, value)| (*name, value.as_str()));
        let log = format!("{name}-{}-{}", self.hook, self.starts);
        self.cluster.spawn(&log, &self.tools.argo_events, &[name], &all.collect::<Vec<_>>())
    }
}

/// Each object of the examples, in this namespace and with an image that the node has.
fn make_objects(namespace: &Namespace<'_>) -> Result<Vec<Value>> {
    let mut made = Vec::new();
    for file in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLES).join(format!("{file}.yaml"));
        let text = fs::read_to_string(path)?
            .replace("namespace: agents", &format!("namespace: {}", namespace.name()))
            .replace("serviceAccountName: default", "serviceAccountName: workflow")
            .replace("image: busybox", "image: localhost/busybox:1\n        imagePullPolicy: IfNotPresent");
        for document in yaml::documents(text.as_bytes()) {
            let object: Value = document?.read()?;
            let (group, plural) = match object["kind"].as_str() {
                Some("ServiceAccount") => ("/api/v1", "serviceaccounts"),
                Some("Role") => ("/apis/rbac.authorization.k8s.io/v1", "roles"),
                Some("RoleBinding") => ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
                Some("WorkflowTemplate") => ("/apis/argoproj.io/v1alpha1", "workflowtemplates"),
                Some("EventBus") => ("/apis/argoproj.io/v1alpha1", "eventbus"),
                Some("EventSource") => ("/apis/argoproj.io/v1alpha1", "eventsources"),
                _ => ("/apis/argoproj.io/v1alpha1", "sensors"),
            };
            let path = format!("{group}/namespaces/{}/{plural}", namespace.name());
            made.push(namespace.api().create(&path, &object)?.accepted().with_context(|| object.to_string())?);
        }
    }
    Ok(made)
}

/// Their definitions let any field pass; the program's own types and its controller's checks do not.
fn validate(program: &Path, objects: &[Value]) -> Result<()> {
    let ours = ["EventBus", "EventSource", "Sensor"];
    let items: Vec<Value> = objects
        .iter()
        .filter(|object| ours.iter().any(|kind| object["kind"] == *kind))
        .map(|object| {
            json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"],
                "metadata": {"name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"]}})
        })
        .collect();
    ensure!(items.len() == ours.len(), "{} objects", items.len());
    let mut check = Command::new(program)
        .arg("validate")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    check.stdin.take().context("no stdin")?.write_all(json!({"items": items}).to_string().as_bytes())?;
    let output = check.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
