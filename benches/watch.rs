//! What `stepspan watch` costs: memory, CPU and requests to the API server, with many Workflows on a real API server.
//!
//! `cargo bench --bench watch [-- WORKFLOWS RUNNING]` (5,000 and 500 where not told, some 5 minutes; all of them running takes the API server
//! more than 10 GB for their pods); needs `scripts/cluster-tools bench`. Each Workflow has 20 nodes: a dag, and 19 steps, made of a recorded
//! run; those that run have the steps' pods. The label `controller-instanceid` keeps Argo's controller away from them.
//!
//! - start: until both lists are done, and the spans of Workflows that ended before have arrived at a real Collector;
//! - idle: a minute in which nothing changes;
//! - end: every Workflow that runs and its pods end; until every span has arrived;
//! - again: killed and started anew; nothing may be sent or counted twice.
//!
//! Requests are counted by the API server's own metrics. Memory is set against the bytes that the API server sends of the same objects: a ratio
//! that other machines have too.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a bench: it prints; and the harness is that of tests"
)]

use std::{collections::BTreeMap, env, fs, time::Duration, time::Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Method, Request};
use serde_json::{Value, json};

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/cluster/harness/mod.rs"]
mod harness;

use harness::{
    Cluster,
    collector::Address,
    namespace::Namespace,
    tools::Tools,
    watch::{Replica, Watch},
};

const STEPS: usize = 19;
const RUN: &[u8] = include_bytes!("../tests/runs/node-dag-pods.json");
const CONNECTIONS: usize = 16;
/// So often a request is repeated that the API server has no time for.
const TRIES: usize = 20;

/// UID and version of an object.
type Stored = (String, String);

fn main() -> Result<()> {
    // Cargo passes `--bench`.
    let mut told = env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let count = told.next().unwrap_or(5_000);
    let running = told.next().unwrap_or(count / 10).min(count);
    eprintln!("watch: starting etcd, kube-apiserver and the controllers");
    let cluster = Cluster::start(&Tools::locate()?, None)?;
    let measured = measure(&cluster, count, running);
    cluster.stop(measured.is_err());
    measured
}

fn measure(cluster: &Cluster, count: usize, running: usize) -> Result<()> {
    let namespace = cluster.namespace("many", &json!({}))?;
    let folder = cluster.dir().join("collector-many");
    fs::create_dir_all(&folder)?;
    let address = Address::free()?;
    let collector = cluster.collector(&address, &folder)?;
    let filler = Filler::of(cluster, &namespace)?;
    let versions = filler.begin(count, running)?;
    let bytes = filler.bytes(count, running)?;
    println!(
        "{count} Workflows of {} nodes, {running} of them running with {} pods; {:.0} MiB of JSON",
        STEPS + 1,
        running * STEPS,
        mib(bytes)
    );
    let spans = |workflows: usize| (workflows * (STEPS + 2)) as u64;

    let mut watch = Watch::prepare(cluster, &namespace, &address)?;
    let more = ["--max-label-sets=10000"];
    let mut phase = Phase::begin(cluster, None)?;
    let mut replica = watch.start(&more)?;
    replica.until("stepspan_watch_workflows", |known| known == count as u64)?;
    replica.until("stepspan_watch_listed", |listed| listed == 1)?;
    replica.until("stepspan_watch_spans_sent_total", |sent| sent >= spans(count - running))?;
    std::thread::sleep(Duration::from_secs(5));
    let start = phase.end("start", cluster, &replica)?;
    println!("figure running_of_json {:.3}", start.memory / bytes);
    println!("figure peak_of_json {:.3}", start.peak / bytes);
    println!("figure lists_of_pages {:.2}", start.lists / pages(count, running * STEPS));

    phase = Phase::begin(cluster, Some(&replica))?;
    std::thread::sleep(Duration::from_mins(1));
    let idle = phase.end("idle", cluster, &replica)?;
    println!("figure lists_idle {:.0}", idle.lists);
    println!("figure cpu_idle {:.4}", idle.cpu / 60.0);

    phase = Phase::begin(cluster, Some(&replica))?;
    filler.finish(&versions[..running])?;
    replica.until("stepspan_watch_spans_sent_total", |sent| sent >= spans(count))?;
    replica.until("stepspan_watch_workflows_open", |open| open == 0)?;
    // They are shown once they are stored.
    std::thread::sleep(Duration::from_secs(5));
    let counted = replica.sum("agent_step_success_total", "")?;
    ensure!(counted == (count * STEPS) as u64, "{counted} steps are counted");
    let end = phase.end("end", cluster, &replica)?;
    println!("figure ended_of_json {:.3}", end.memory / bytes);

    replica.process.kill();
    drop(replica);
    phase = Phase::begin(cluster, None)?;
    let mut replica = watch.start(&more)?;
    replica.until("stepspan_watch_workflows", |known| known == count as u64)?;
    replica.until("stepspan_watch_listed", |listed| listed == 1)?;
    std::thread::sleep(Duration::from_secs(5));
    phase.end("again", cluster, &replica)?;
    ensure!(replica.metric("stepspan_watch_spans_sent_total")? == 0, "spans were sent twice");
    ensure!(replica.sum("agent_step_success_total", "")? == counted, "another count after the start");
    drop(collector);
    Ok(())
}

/// How many requests it takes to list them once, by as many as `src/watch/follow.rs` asks for at a time.
fn pages(workflows: usize, pods: usize) -> f64 {
    (workflows.div_ceil(50).max(1) + pods.div_ceil(250).max(1)) as f64
}

/// What the process took in a phase: seconds of CPU, bytes of memory at its end and at most since its start, LIST requests.
struct Taken {
    cpu: f64,
    memory: f64,
    peak: f64,
    lists: f64,
}

/// What the API server was asked, and what the process took, from a moment on.
struct Phase {
    began: Instant,
    requests: BTreeMap<String, f64>,
    cpu: f64,
}

impl Phase {
    fn begin(cluster: &Cluster, replica: Option<&Replica>) -> Result<Self> {
        let cpu = replica.map_or(Ok(0.0), |replica| cpu(replica.process.id()))?;
        Ok(Self { began: Instant::now(), requests: requests(cluster)?, cpu })
    }

    /// Prints it.
    fn end(&self, name: &str, cluster: &Cluster, replica: &Replica) -> Result<Taken> {
        let took = self.began.elapsed().as_secs_f64();
        let (cpu, memory) = (cpu(replica.process.id())? - self.cpu, status(replica.process.id(), "VmRSS")?);
        let peak = status(replica.process.id(), "VmHWM")?;
        let before = |key: &str| self.requests.get(key).copied().unwrap_or_default();
        let asked = requests(cluster)?;
        let asked = asked.iter().map(|(key, now)| (key.as_str(), now - before(key)));
        let asked: Vec<(&str, f64)> = asked.filter(|(_, number)| *number > 0.0).collect();
        // Not the -0 that nothing sums up to.
        let lists = asked.iter().filter(|(key, _)| key.starts_with("LIST")).fold(0.0, |sum, (_, number)| sum + number);
        let asked: Vec<String> = asked.iter().map(|(key, number)| format!("{key} {number:.0}")).collect();
        println!(
            "{name:6} {took:6.1} s, {cpu:6.2} s of CPU, {:4.0} MiB ({:.0} at most); {}",
            mib(memory),
            mib(peak),
            asked.join(", ")
        );
        Ok(Taken { cpu, memory, peak, lists })
    }
}

/// Requests that only the watcher makes here, or that would show a storm of lists: by verb and resource.
fn requests(cluster: &Cluster) -> Result<BTreeMap<String, f64>> {
    let text = cluster.api().get("/metrics")?.accepted()?;
    let mut all = BTreeMap::new();
    for line in text.as_str().unwrap_or_default().lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else { continue };
        let is_ours = match resource {
            "workflows" | "pods" => verb == "LIST" || verb == "WATCH",
            "configmaps" => verb == "PUT" || verb == "POST",
            _ => false,
        };
        if is_ours {
            let value: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
            *all.entry(format!("{verb} {resource}")).or_default() += value;
        }
    }
    Ok(all)
}

/// Seconds of CPU that a process has had (`proc(5)`, fields 14 and 15 of `stat`).
fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 =
        fields.get(11).context("utime")?.parse::<f64>()? + fields.get(12).context("stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// A size out of `/proc/PID/status`, in bytes.
fn status(pid: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).context("no size")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// Ends in a number that looks like a hash, as Argo's do.
fn node_id(workflow: &str, number: usize) -> String {
    format!("{workflow}-{}", u32::try_from(number).unwrap_or(0).wrapping_mul(2_654_435_761))
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// Fills the API server.
struct Filler<'c> {
    cluster: &'c Cluster,
    workflows: String,
    pods: String,
    workflow: Value,
    pod: Value,
}

impl<'c> Filler<'c> {
    fn of(cluster: &'c Cluster, namespace: &Namespace<'_>) -> Result<Self> {
        let list: Value = serde_json::from_slice(RUN)?;
        let items = list["items"].as_array().context("items")?;
        let (mut workflow, mut pod) = (items[0].clone(), items[1].clone());
        let nodes = workflow["status"]["nodes"].as_object().context("nodes")?;
        let of = |kind: &str| nodes.values().find(|node| node["type"] == kind).cloned().context(kind.to_owned());
        let (dag, step) = (of("DAG")?, of("Pod")?);
        workflow["dag"] = dag;
        workflow["step"] = step;
        for object in [&mut workflow, &mut pod] {
            let metadata = object["metadata"].as_object_mut().context("metadata")?;
            metadata.retain(|key, _| key == "labels" || key == "annotations");
            let labels = metadata["labels"].as_object_mut().context("labels")?;
            labels.insert("workflows.argoproj.io/controller-instanceid".into(), "bench".into());
            labels.remove("workflows.argoproj.io/completed");
        }
        pod["spec"].as_object_mut().context("spec")?.remove("nodeName");
        let workflows = namespace.path("workflows");
        Ok(Self { cluster, workflows, pods: namespace.path("pods"), workflow, pod })
    }

    /// A Workflow with its nodes.
    fn workflow(&self, at: usize, has_ended: bool) -> Value {
        let mut workflow = self.workflow.clone();
        let object = workflow.as_object_mut().expect("an object");
        let (dag, step) = (object.remove("dag").expect("kept"), object.remove("step").expect("kept"));
        let name = format!("many-{at:05}");
        let phase = if has_ended { "Succeeded" } else { "Running" };
        let mut nodes = serde_json::Map::new();
        for number in 0..=STEPS {
            let id = if number == 0 { name.clone() } else { node_id(&name, number) };
            let mut node = if number == 0 { dag.clone() } else { step.clone() };
            node["id"] = id.clone().into();
            node["name"] = if number == 0 { name.clone() } else { format!("{name}.step-{number}") }.into();
            node["displayName"] = format!("step-{number}").into();
            node["phase"] = phase.into();
            if number > 0 {
                node["boundaryID"] = name.clone().into();
                node["children"] = json!([node_id(&name, number + 1)]);
            }
            if !has_ended {
                node["finishedAt"] = Value::Null;
            }
            nodes.insert(id, node);
        }
        workflow["metadata"]["name"] = name.into();
        workflow["metadata"]["generateName"] = "many-".into();
        workflow["status"]["nodes"] = nodes.into();
        workflow["status"]["phase"] = phase.into();
        if !has_ended {
            workflow["status"]["finishedAt"] = Value::Null;
        }
        workflow
    }

    /// All Workflows, of which the first run, with their pods; gives their versions.
    fn begin(&self, count: usize, running: usize) -> Result<Vec<String>> {
        eprintln!("watch: creating {count} Workflows, then {} pods", running * STEPS);
        let created = self.all(count, |at| {
            let workflow = self.workflow(at, at >= running);
            async move { self.send(Method::POST, self.workflows.clone(), &workflow).await }
        })?;
        let (uids, versions): (Vec<String>, Vec<String>) = created.into_iter().unzip();
        self.all(running * STEPS, |at| {
            let (of, number) = (at / STEPS, at % STEPS + 1);
            let mut pod = self.pod.clone();
            let name = format!("many-{of:05}-{number}");
            pod["metadata"]["name"] = name.clone().into();
            pod["metadata"]["labels"]["workflows.argoproj.io/workflow"] = format!("many-{of:05}").into();
            pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"] =
                node_id(&format!("many-{of:05}"), number).into();
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
                "name": format!("many-{of:05}"), "uid": uids[of], "controller": true}]);
            async move {
                self.send(Method::POST, self.pods.clone(), &pod).await?;
                let status = json!({"status": {"phase": "Running", "conditions": pod["status"]["conditions"]}});
                self.send(Method::PATCH, format!("{}/{name}/status", self.pods), &status).await
            }
        })?;
        Ok(versions)
    }

    /// They end: pods first, as it is.
    fn finish(&self, versions: &[String]) -> Result<()> {
        eprintln!("watch: ending them");
        let of_pod = json!({"status": self.pod["status"]});
        self.all(versions.len(), |at| {
            let mut workflow = self.workflow(at, true);
            workflow["metadata"]["resourceVersion"] = versions[at].clone().into();
            let of_pod = &of_pod;
            async move {
                for number in 1..=STEPS {
                    let pod = format!("{}/many-{at:05}-{number}/status", self.pods);
                    self.send(Method::PATCH, pod, of_pod).await?;
                }
                self.send(Method::PUT, format!("{}/many-{at:05}", self.workflows), &workflow).await
            }
        })?;
        Ok(())
    }

    /// As long as lists of all of them would be, roughly: what the first of each is, times their number.
    fn bytes(&self, count: usize, running: usize) -> Result<f64> {
        let length = |path: String| anyhow::Ok(self.cluster.api().get(&path)?.accepted()?.to_string().len());
        let workflow = length(format!("{}/many-00000", self.workflows))?;
        let pod = length(format!("{}/many-00000-1", self.pods))?;
        Ok((count * workflow + running * pod * STEPS) as f64)
    }

    /// Does something for each number, several at a time. What comes of it is small: of 95,000 pods not all answers fit into memory.
    fn all<'s, F, D>(&'s self, count: usize, each: F) -> Result<Vec<Stored>>
    where
        F: Fn(usize) -> D,
        D: Future<Output = Result<Stored>> + 's,
    {
        let all = stream::iter((0..count).map(each)).buffered(CONNECTIONS).try_collect();
        self.cluster.runtime().block_on(all)
    }

    /// Sends a request until the API server has the time for it.
    async fn send(&self, method: Method, path: String, object: &Value) -> Result<Stored> {
        let kind = if method == Method::PATCH { harness::api::MERGE_PATCH } else { harness::api::JSON };
        let body = serde_json::to_vec(object)?;
        let mut left = TRIES;
        loop {
            let request = Request::builder().method(&method).uri(&path).header("content-type", kind);
            match self.cluster.api().client().request::<Value>(request.body(body.clone())?).await {
                Ok(stored) => {
                    let text = |field: &str| stored["metadata"][field].as_str().unwrap_or_default().to_owned();
                    return Ok((text("uid"), text("resourceVersion")));
                }
                // It may have been stored all the same.
                Err(kube::Error::Api(status)) if status.code == 409 && left < TRIES => return Ok(Stored::default()),
                Err(kube::Error::Api(status)) if matches!(status.code, 429 | 500 | 504) && left > 0 => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error).context(path),
            }
        }
    }
}
