//! The chart as it is installed on the real cluster, by Helm as a platform engineer calls it.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Sample, expected, samples};
use crate::{
    cases::certificates::again,
    harness::{
        Cluster, ids::trace_id, known::Known, namespace::Namespace, stepspan::get_from, wait::until,
        webhook::CONFIGURATIONS,
    },
};

pub const CHART: &str = "charts/stepspan";
/// As the chart names it.
pub const RELEASE: &str = "stepspan";
/// What a first look at a release waits for.
const LIMIT: Duration = Duration::from_mins(4);
/// The kubelet brings a changed Secret to a pod within a minute and a half.
const SYNC_LIMIT: Duration = Duration::from_mins(8);
/// Helm's own guard against hangs.
const WAIT: [&str; 3] = ["--wait", "--timeout", "6m"];
/// As long as the doctor has nothing against.
const PATIENCE: &str = "webhook.timeoutSeconds=5";
/// How often a workflow is run for its trace at most: half a second is the budget of a step, and a loaded machine may need more.
const RUNS: usize = 3;

/// Two namespaces of a trial's own, and what Helm does in the first.
pub struct Release<'c> {
    cluster: &'c Cluster,
    /// Where it is installed.
    pub home: Namespace<'c>,
    /// The only one whose pods it is asked about.
    pub steps: Namespace<'c>,
    /// Whether it brings the definition of policies: of one cluster, one release can.
    pub definitions: bool,
    /// Whether it has `stepspan watch`, as it comes. Most trials are about the webhook.
    pub watched: bool,
    /// Where steps send their spans.
    pub endpoint: String,
    /// Whether the API server waits for it longer than usual, and misses no pod because the machine is slow.
    pub patient: bool,
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// One of the webhook's pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub name: String,
    pub address: String,
    pub restarts: i64,
}

impl<'c> Release<'c> {
    /// Makes the namespaces; `stem` begins their names.
    pub fn prepare(cluster: &'c Cluster, stem: &str) -> Result<Self> {
        let home = cluster.namespace(stem, &json!({"pod-security.kubernetes.io/enforce": "restricted"}))?;
        let steps = cluster.namespace(&format!("{stem}-steps"), &json!({}))?;
        let kubeconfig = cluster.dir().join("admin.kubeconfig");
        let program = Known::ask()?.program("helm", "helm")?;
        let endpoint = "http://otel-collector:4317".to_owned();
        Ok(Self {
            cluster,
            home,
            steps,
            definitions: false,
            watched: false,
            endpoint,
            patient: true,
            program,
            kubeconfig,
        })
    }

    /// `helm install --wait`, with further values; gives the notes.
    pub fn install(&self, values: &[&str]) -> Result<String> {
        self.helm(&[&["install", RELEASE, CHART][..], &WAIT, values].concat())
    }

    /// `helm upgrade --wait`, with all values.
    pub fn upgrade(&self, values: &[&str]) -> Result<String> {
        self.helm(&[&["upgrade", RELEASE, CHART][..], &WAIT, values].concat())
    }

    pub fn uninstall(&self) -> Result<String> {
        self.helm(&[&["uninstall", RELEASE][..], &WAIT].concat())
    }

    /// Any call of Helm's. Where it fails, the error says what an engineer would look at next.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let include = format!("namespaces.include={{{}}}", self.steps.name());
        let mut command = Command::new(&self.program);
        let (verb, rest) = args.split_first().context("nothing for Helm to do")?;
        let renders = matches!(*verb, "install" | "upgrade" | "template");
        command.arg(verb);
        // What a trial says of these itself comes later, and counts.
        if renders && self.patient {
            command.args(["--set", PATIENCE]);
        }
        if renders && !self.watched {
            command.args(["--set", "watch.enabled=false,metrics.owner=none"]);
        }
        command.args(rest).args(["--namespace", self.home.name(), "--kubeconfig"]).arg(&self.kubeconfig);
        if renders {
            command.args(["--set", &include, "--set", &format!("collector.endpoint={}", self.endpoint)]);
            command.args(["--set", &format!("crd.install={}", self.definitions)]);
        }
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "helm {}: {said}\n{}", args.join(" "), self.state());
        Ok(said)
    }

    /// The path of the webhook configuration.
    pub fn configuration(&self) -> String {
        format!("{CONFIGURATIONS}/{RELEASE}-{}", self.home.name())
    }

    /// The `caBundle` of each webhook.
    pub fn bundles(&self) -> Result<Vec<Value>> {
        let configuration = self.cluster.api().get(&self.configuration())?.accepted()?;
        let webhooks = configuration["webhooks"].as_array().context("no webhooks")?;
        Ok(webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect())
    }

    /// What certificates have to be valid for.
    pub fn server_name(&self) -> String {
        format!("{RELEASE}.{}.svc", self.home.name())
    }

    /// The webhook's pods that have an address.
    pub fn replicas(&self) -> Result<Vec<Replica>> {
        let pods = self.home.list("pods?labelSelector=app.kubernetes.io/name%3Dstepspan")?;
        let replica = |pod: &Value| {
            Some(Replica {
                name: pod["metadata"]["name"].as_str()?.to_owned(),
                address: pod["status"]["podIP"].as_str()?.to_owned(),
                restarts: pod["status"]["containerStatuses"][0]["restartCount"].as_i64()?,
            })
        };
        Ok(pods.iter().filter_map(replica).collect())
    }

    /// The webhook's Deployment.
    pub fn deployment(&self) -> Result<Value> {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/{RELEASE}", self.home.name());
        self.cluster.api().get(&path)?.accepted()
    }

    /// What each of them answers to `/readyz`; one that answers nothing is left out.
    pub fn readiness(&self) -> Result<Vec<Value>> {
        let ask = |replica: &Replica| {
            let answer = get_from((replica.address.as_str(), 8080), "/readyz").ok()?;
            serde_json::from_str(&answer[answer.find('{')?..]).ok()
        };
        Ok(self.replicas()?.iter().filter_map(ask).collect())
    }

    /// Waits until both replicas serve the certificate with this fingerprint. At every moment until then both are ready: that is, each
    /// has dialled itself, and its certificate verified under the live `caBundle`.
    pub fn until_served(&self, fingerprint: &str) -> Result<()> {
        let what = format!("both replicas to serve the certificate {fingerprint}");
        until(&what, SYNC_LIMIT, || {
            let answers = self.readiness()?;
            for answer in &answers {
                ensure!(answer["ready"] == true || is_slow(answer), "a replica is not ready: {answer:#}");
            }
            let serving =
                answers.iter().filter(|answer| check(answer, "certificate")["detail"]["sha256"] == fingerprint);
            Ok((serving.count() == 2).then_some(()))
        })
    }

    /// A webhook that is ready is called a moment later: endpoint and packet filter rule have to reach the node.
    pub fn until_in_force(&self) -> Result<()> {
        let asked = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "probe"},
            "spec": {"entrypoint": "x", "templates": [{"name": "x", "container": {"image": "x"}}]}});
        until("the API server to call the webhook", LIMIT, || {
            // Refused, where a call that is lost is to be noticed.
            let reply = self.steps.create_object("workflows?dryRun=All", &asked)?;
            Ok(reply.body["spec"]["podMetadata"].is_object().then_some(()))
        })
        .with_context(|| self.state())
    }

    /// Runs a workflow, and gives how many spans it left: one for each of its pods.
    pub fn traced(&self, name: &str) -> Result<usize> {
        let mut run = 1;
        loop {
            let ended = workflow(&format!("{name}-{run}"))?.run(&self.steps)?;
            let pods = self.steps.pods(&ended)?;
            let missed: Vec<_> = pods.iter().filter(|pod| !pod.to_string().contains("stepspan-init")).collect();
            ensure!(missed.is_empty(), "{} of {} pods were missed", missed.len(), pods.len());
            match expected::arrived(self.cluster, &trace_id(&ended)?, pods.len()) {
                Ok(spans) => return Ok(spans.len()),
                Err(error) if run < RUNS && expected::was_too_slow(self.cluster, &self.steps, &ended) => {
                    eprintln!("cluster: {name} is run once more: {error:#}");
                }
                Err(error) => return Err(error),
            }
            run += 1;
        }
    }

    /// What an engineer would look at first.
    pub fn state(&self) -> String {
        let pods = self.home.list("pods").unwrap_or_default();
        let events = self.home.list("events").unwrap_or_default();
        let said = |event: &Value| format!("{}: {}", event["reason"], event["message"]);
        let pods: Vec<String> = pods.iter().map(|pod| pod["status"].to_string()).collect();
        format!("pods: {}\nevents: {}", pods.join("\n"), events.iter().map(said).collect::<Vec<_>>().join("\n"))
    }
}

/// A check of an answer to `/readyz`, or null.
pub fn check<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut checks = answer["checks"].as_array().into_iter().flatten();
    checks.find(|check| check["name"] == name).unwrap_or(&Value::Null)
}

/// Whether nothing else is wrong with a replica than that this machine did not let it dial itself in time.
fn is_slow(answer: &Value) -> bool {
    let failed = answer["checks"].as_array().into_iter().flatten().filter(|check| check["state"] == "failed");
    let slow = |check: &Value| check["reason"].as_str().is_some_and(|why| why.contains("no answer from our own port"));
    failed.map(slow).collect::<Vec<_>>() == [true]
}

/// A step's pod that nobody has injected yet: as Argo's controller asked for it, of a recorded workflow.
pub fn pod() -> Result<Value> {
    let mut review: Value = serde_json::from_str(include_str!("../../recorded/dag-1-pod.json"))?;
    again(review["request"]["object"].take())
}

/// The sample `dag` under another name.
pub fn workflow(name: &str) -> Result<Sample> {
    let dag = samples()?.into_iter().find(|sample| sample.stem == "dag").context("no dag")?;
    Ok(Sample { yaml: dag.yaml.replacen("name: review-pr", &format!("name: {name}"), 1), ..dag })
}

/// A workflow of these `steps`; their template `step` ends at once.
pub fn quick(name: &str, steps: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: {name}
spec:
  serviceAccountName: workflow
  entrypoint: all
  templates:
    - name: all
      steps: {steps}
    - name: step
      container: {{image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [\"true\"]}}
"
    )
}
