//! Plays the kubelet and Argo's executor, so that workflows reach their end on a cluster without nodes.
//!
//! - A pending step pod: its `WorkflowTaskResult` is written first, as the executor's `wait` container does, then the
//!   pod's status with terminated containers. What it yields is said by annotations, see [`outcome`].
//! - A daemon pod runs and is ready until its workflow has ended; then it is deleted.
//! - An agent pod runs; the tasks of its `WorkflowTaskSet` succeed.
//!
//! Three watches feed it, each listed anew whenever it breaks. What goes wrong is written to `unfold.log`.

mod outcome;

use std::{
    collections::HashSet,
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use http::{Method, Request};
use kube::core::WatchEvent;
use serde_json::{Map, Value, json};
use tokio::{runtime::Handle, task::JoinHandle};

use self::outcome::Outcome;
use super::api::{Api, JSON, MERGE_PATCH, Reply};

const ARGO: &str = "/apis/argoproj.io/v1alpha1";
const AGENT: &str = "agent";
const WORKFLOW_LABEL: &str = "workflows.argoproj.io/workflow";

/// Like the controller: what is another controller's is left alone.
const OURS: &str = "!workflows.argoproj.io/controller-instanceid";

/// The running loop.
pub struct Unfolding {
    watches: Vec<JoinHandle<()>>,
    pods: Pods,
}

/// Every workflow pod as it was first seen, in that order.
type Pods = Arc<Mutex<Vec<Value>>>;

impl Unfolding {
    pub fn start(api: &Api, runtime: &Handle, log: &Path) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let part =
            Part { api: api.clone(), log: Arc::new(Mutex::new(log)), seen: Arc::default(), pods: Arc::default() };
        let pods = Arc::clone(&part.pods);
        let workflow_pods = format!("/api/v1/pods?labelSelector={WORKFLOW_LABEL},{OURS}");
        let ended = format!("{ARGO}/workflows?labelSelector=workflows.argoproj.io/completed%3Dtrue,{OURS}");
        let watches = vec![
            runtime.spawn(part.clone().follow(workflow_pods, Kind::Pod)),
            runtime.spawn(part.clone().follow(format!("{ARGO}/workflowtasksets?"), Kind::TaskSet)),
            runtime.spawn(part.follow(ended, Kind::EndedWorkflow)),
        ];
        Ok(Self { watches, pods })
    }

    /// The pods of one workflow, as they were stored after admission and before they ran.
    pub fn pods(&self, namespace: &str, workflow: &str) -> Vec<Value> {
        let of_it = |pod: &&Value| {
            let meta = &pod["metadata"];
            meta["namespace"] == namespace && meta["labels"][WORKFLOW_LABEL] == workflow
        };
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(of_it).cloned().collect()
    }

    pub fn stop(&self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Pod,
    TaskSet,
    EndedWorkflow,
}

#[derive(Clone)]
struct Part {
    api: Api,
    log: Arc<Mutex<File>>,
    /// What was dealt with: uids of pods, node ids of tasks. Watches repeat themselves.
    seen: Arc<Mutex<HashSet<String>>>,
    pods: Pods,
}

impl Part {
    /// Handles every object of `collection`, those there already and those to come, for ever.
    async fn follow(self, collection: String, kind: Kind) {
        loop {
            if let Err(error) = self.list_and_watch(&collection, kind).await {
                self.note(&format!("watch of {collection}: {error:#}"));
                // The API server is not there; nothing to wait for but itself.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn list_and_watch(&self, collection: &str, kind: Kind) -> Result<()> {
        let list = self.api.send_async(&Method::GET, collection, JSON, Vec::new()).await?.accepted()?;
        for object in list["items"].as_array().into_iter().flatten() {
            self.handle(object, kind).await;
        }
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let watch = format!("{collection}&watch=true&timeoutSeconds=300&resourceVersion={version}");
        let request = Request::builder().uri(watch).body(Vec::new())?;
        let mut events = std::pin::pin!(self.api.client().request_events::<Value>(request).await?);
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.handle(&object, kind).await,
                WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) => return Err(anyhow::anyhow!("{status:?}")),
            }
        }
        Ok(())
    }

    async fn handle(&self, object: &Value, kind: Kind) {
        let handled = match kind {
            Kind::Pod => self.run_pod(object).await,
            Kind::TaskSet => self.run_tasks(object).await,
            Kind::EndedWorkflow => self.end_workflow(object).await,
        };
        if let Err(error) = handled {
            let (namespace, name) = (&object["metadata"]["namespace"], &object["metadata"]["name"]);
            self.note(&format!("{namespace}/{name}: {error:#}"));
        }
    }

    async fn run_pod(&self, pod: &Value) -> Result<()> {
        let meta = &pod["metadata"];
        let uid = meta["uid"].as_str().context("no uid")?;
        if self.first_time(uid) {
            self.pods.lock().unwrap_or_else(PoisonError::into_inner).push(pod.clone());
        }
        let waits = outcome::annotation(pod, "hold").is_some() || !meta["deletionTimestamp"].is_null();
        if waits || !self.first_time(&format!("{uid}/run")) {
            return Ok(());
        }
        let path = format!("/api/v1/namespaces/{}/pods/{}", text(&meta["namespace"]), text(&meta["name"]));
        let outcome = Outcome::of(pod);
        let agent = meta["labels"]["workflows.argoproj.io/component"] == AGENT;
        if !agent {
            self.report_result(pod, &outcome).await.context("its WorkflowTaskResult")?;
        }
        let runs_on = agent || outcome.daemon;
        let status = if runs_on { outcome::running(pod) } else { outcome.terminated(pod) };
        self.patch(&format!("{path}/status"), &json!({"status": status})).await?.settled().map(drop)
    }

    /// The executor reports under the node's id, owned by the workflow.
    async fn report_result(&self, pod: &Value, outcome: &Outcome) -> Result<()> {
        let meta = &pod["metadata"];
        let node = meta["annotations"]["workflows.argoproj.io/node-id"].as_str().context("no node id")?;
        let result = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTaskResult",
            "metadata": {
                "name": node,
                "labels": {
                    WORKFLOW_LABEL: meta["labels"][WORKFLOW_LABEL],
                    "workflows.argoproj.io/report-outputs-completed": "true",
                },
                "ownerReferences": meta["ownerReferences"],
            },
            "outputs": outcome.outputs,
        });
        let path = format!("{ARGO}/namespaces/{}/workflowtaskresults", text(&meta["namespace"]));
        self.api.send_async(&Method::POST, &path, JSON, serde_json::to_vec(&result)?).await?.settled().map(drop)
    }

    async fn run_tasks(&self, task_set: &Value) -> Result<()> {
        let tasks = task_set["spec"]["tasks"].as_object();
        let fresh = tasks.into_iter().flatten().filter(|(node, _)| self.first_time(node));
        let nodes: Map<String, Value> =
            fresh.map(|(node, _)| (node.clone(), json!({"phase": "Succeeded", "outputs": {"result": "{}"}}))).collect();
        if nodes.is_empty() {
            return Ok(());
        }
        let meta = &task_set["metadata"];
        let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
        let path = format!("{ARGO}/namespaces/{namespace}/workflowtasksets/{name}/status");
        self.patch(&path, &json!({"status": {"nodes": nodes}})).await?.settled().map(drop)
    }

    /// Daemons end with their workflow. Argo signals them through the kubelet, which is not there.
    async fn end_workflow(&self, workflow: &Value) -> Result<()> {
        let meta = &workflow["metadata"];
        if !self.first_time(meta["uid"].as_str().context("no uid")?) {
            return Ok(());
        }
        let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let selected = format!("{pods}?labelSelector={WORKFLOW_LABEL}%3D{name}");
        let list = self.api.send_async(&Method::GET, &selected, JSON, Vec::new()).await?.accepted()?;
        let all = list["items"].as_array().into_iter().flatten();
        for pod in all.filter(|pod| pod["status"]["phase"] == "Running") {
            let path = format!("{pods}/{}", text(&pod["metadata"]["name"]));
            self.api.send_async(&Method::DELETE, &path, JSON, Vec::new()).await?.settled()?;
        }
        Ok(())
    }

    async fn patch(&self, path: &str, change: &Value) -> Result<Reply> {
        self.api.send_async(&Method::PATCH, path, MERGE_PATCH, serde_json::to_vec(change)?).await
    }

    fn first_time(&self, id: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned())
    }

    fn note(&self, line: &str) {
        let _ = writeln!(self.log.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
