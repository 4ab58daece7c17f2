//! `stepspan watch` beside the real controller: every node of every sample is one span in its place, whatever happens to the watcher, and `trace`
//! says the same.

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use stepspan::watch::ledger::SHARDS;

use super::samples::{Sample, sample, samples};
use super::{Shared, trial};
use crate::harness::{
    Cluster,
    collector::{Address, Collector, Span},
    ids::{h, trace_id},
    namespace::Namespace,
    stepspan::{PROGRAM, Stepspan},
    wait::until,
    watch::{Replica, Watch},
};

const LIMIT: Duration = Duration::from_mins(3);
/// Longer than a round of storing and showing.
pub const SETTLED: Duration = Duration::from_millis(4_500);
/// `StatusCode` `ERROR`.
const ERROR: u64 = 2;

type Body = fn(&Cluster) -> Result<()>;

pub fn trials(cluster: &Shared) -> Result<Vec<Trial>> {
    let mut trials: Vec<Trial> = samples()?
        .into_iter()
        .map(|sample| trial(cluster, format!("watch::{}", sample.stem), move |cluster| each_node(cluster, &sample)))
        .collect();
    let named: [(&str, Body); 5] = [
        ("killed_at_any_moment_it_leaves_no_gap", killed_at_any_moment),
        ("another_replica_goes_on", another_goes_on),
        ("an_api_server_that_was_away_is_asked_again", api_server_away),
        ("a_collector_that_was_away_gets_all", collector_away),
        ("what_ended_before_is_sent_and_what_is_gone_is_counted", back_fill),
    ];
    trials.extend(named.map(|(name, body)| trial(cluster, format!("watch::{name}"), body)));
    Ok(trials)
}

/// A place for a trial: a namespace with our webhook, a Collector, and the right to watch.
pub struct Place<'c> {
    cluster: &'c Cluster,
    namespace: &'c Namespace<'c>,
    address: Address,
    folder: std::path::PathBuf,
    pub watch: Watch<'c>,
}

impl<'c> Place<'c> {
    pub fn of(cluster: &'c Cluster, namespace: &'c Namespace<'c>) -> Result<Self> {
        let folder = cluster.dir().join(format!("collector-{}", namespace.name()));
        fs::create_dir_all(&folder)?;
        let address = Address::free()?;
        let watch = Watch::prepare(cluster, namespace, &address)?;
        Ok(Self { cluster, namespace, address, folder, watch })
    }

    pub fn collector(&self) -> Result<Collector> {
        self.cluster.collector(&self.address, &self.folder)
    }
}

fn each_node(cluster: &Cluster, sample: &Sample) -> Result<()> {
    let namespace = cluster.namespace(&format!("watched-{}", sample.stem), &json!({}))?;
    let _stepspan = Stepspan::start(cluster, &namespace, None)?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let mut replica = place.watch.start(&[])?;
    let ended = sample.run(&namespace)?;
    arrived(&collector, &ended).with_context(|| replica.process.log())?;
    ensure!(replica.metric("stepspan_watch_spans_missed_total")? == 0, "spans were missed");
    replica.until("stepspan_watch_workflows_open", |open| open == 0)?;
    counts_as_argo(&replica, &[&ended])?;
    let spans = collector.spans(&trace_id(&ended)?)?;
    as_the_workflow_says(&ended, &spans)?;
    ensure!(spans.len() == count(&ended), "{} spans, and none may be there twice", spans.len());
    trace_says_the_same(cluster, place.namespace, &ended, &spans)
}

/// SIGKILL again and again while the Workflow runs; what is sent twice is the same.
fn killed_at_any_moment(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-killed", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let submitted = namespace.submit(&sample("steps")?.yaml)?;
    for pause in [0, 300, 900, 1_500] {
        let mut replica = place.watch.start(&[])?;
        std::thread::sleep(Duration::from_millis(pause));
        replica.process.kill();
    }
    let ended = namespace.wait_end(&submitted)?;
    let replica = place.watch.start(&[])?;
    arrived(&collector, &ended).with_context(|| replica.process.log())?;
    counts_as_argo(&replica, &[&ended])?;
    // And they stay so.
    std::thread::sleep(SETTLED);
    counts_as_argo(&replica, &[&ended])?;
    as_the_workflow_says(&ended, &collector.spans(&trace_id(&ended)?)?)
}

/// The one that leads is told to end: it lets go of the Lease, and the other begins at once.
fn another_goes_on(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-handed", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    for shard in 0..SHARDS {
        let map = json!({"metadata": {"name": format!("stepspan-watch-{shard}"), "labels": {"made-by": "chart"}}});
        namespace.create_object("configmaps", &map)?.accepted()?;
    }
    let mut first = place.watch.start(&[])?;
    first.until("stepspan_watch_listed", |listed| listed == 1)?;
    let mut second = place.watch.start(&[])?;
    ensure!(second.metric("stepspan_watch_leader")? == 0, "two lead");
    let before = sample("retry")?.run(&namespace)?;
    arrived(&collector, &before)?;
    first.process.stop(Duration::from_secs(30));
    let said = first.process.log();
    ensure!(said.contains(r#""action":"stop""#), "it did not end in order: {said}");
    second.until("stepspan_watch_leader", |leads| leads == 1)?;
    let after = sample("retry")?.run(&namespace)?;
    arrived(&collector, &after).with_context(|| second.process.log())?;
    counts_as_argo(&second, &[&before, &after])?;
    // Whoever made them finds them as they were, but for what is in them.
    let maps = namespace.list("configmaps?labelSelector=made-by")?;
    let written = maps.iter().filter(|map| map["binaryData"].is_object()).count();
    ensure!(maps.len() == SHARDS && written > 0, "{} of {SHARDS} are as they were, {written} written", maps.len());
    as_the_workflow_says(&after, &collector.spans(&trace_id(&after)?)?)
}

/// The way to the API server is cut until the Lease is lost; a Workflow runs and ends meanwhile.
fn api_server_away(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-cut", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let collector = place.collector()?;
    let mut replica = place.watch.start(&[])?;
    replica.until("stepspan_watch_listed", |listed| listed == 1)?;
    place.watch.way.cut();
    let ended = sample("retry")?.run(&namespace)?;
    replica.until("stepspan_watch_leader", |leads| leads == 0)?;
    ensure!(collector.spans(&trace_id(&ended)?)?.is_empty(), "nobody could know of it");
    place.watch.way.open();
    arrived(&collector, &ended).with_context(|| replica.process.log())?;
    counts_as_argo(&replica, &[&ended])?;
    as_the_workflow_says(&ended, &collector.spans(&trace_id(&ended)?)?)
}

/// The Collector is not there while the Workflow runs, and comes later; the queue is shorter than the spans are many.
fn collector_away(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-alone", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let mut replica = place.watch.start(&["--queue=2"])?;
    let ended = sample("steps")?.run(&namespace)?;
    replica.until("stepspan_watch_undelivered", |away| away == 1)?;
    ensure!(replica.metric("stepspan_watch_spans_sent_total")? == 0, "sent to nobody");
    let collector = place.collector()?;
    arrived(&collector, &ended).with_context(|| replica.process.log())?;
    replica.until("stepspan_watch_undelivered", |away| away == 0)?;
    as_the_workflow_says(&ended, &collector.spans(&trace_id(&ended)?)?)
}

/// A Workflow that ended before anybody watched is sent; one that is deleted while the Collector is away is sent as long as it is known.
fn back_fill(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("watch-late", &json!({}))?;
    let mut place = Place::of(cluster, &namespace)?;
    let ended = sample("dag")?.run(&namespace)?;
    let mut replica = place.watch.start(&[])?;
    replica.until("stepspan_watch_workflows_open", |open| open == 1)?;
    let deleted = namespace.path(&format!("workflows/{}", text(&ended["metadata"]["name"])?));
    cluster.api().delete(&deleted)?.accepted()?;
    let collector = place.collector()?;
    arrived(&collector, &ended).with_context(|| replica.process.log())?;
    replica.until("stepspan_watch_workflows", |known| known == 0)?;
    as_the_workflow_says(&ended, &collector.spans(&trace_id(&ended)?)?)
}

/// Waits until the counters are what the statuses of the Workflows come to.
pub fn counts_as_argo(replica: &Replica, workflows: &[&Value]) -> Result<()> {
    let is_step = |node: &&Value| node["type"] == "Pod" || node["type"] == "Container";
    let nodes =
        || workflows.iter().filter_map(|workflow| workflow["status"]["nodes"].as_object()).flat_map(|n| n.values());
    let phase = |phases: &[&str]| {
        let of = |node: &&Value| phases.iter().any(|phase| node["phase"] == *phase);
        nodes().filter(is_step).filter(of).count() as u64
    };
    let wanted = [phase(&["Succeeded"]), phase(&["Failed", "Error"]), phase(&["Succeeded", "Failed", "Error"])];
    let shown = || {
        let sum = |name| replica.sum(name, "");
        anyhow::Ok([
            sum("agent_step_success_total")?,
            sum("agent_step_fail_total")?,
            sum("agent_step_duration_ms_count")?,
        ])
    };
    let mut last = [0; 3];
    until("the counters to be Argo's", LIMIT, || {
        last = shown()?;
        Ok((last == wanted).then_some(()))
    })
    .with_context(|| format!("{last:?} instead of {wanted:?}\n{}", replica.process.log()))?;
    ensure!(replica.sum("agent_steps_in_flight", "")? == 0, "steps in flight");
    Ok(())
}

/// Waits until every node that has begun, and the Workflow, has a span.
pub fn arrived(collector: &Collector, workflow: &Value) -> Result<()> {
    let (trace, wanted) = (trace_id(workflow)?, count(workflow));
    let mut seen = 0;
    until("all spans to arrive", LIMIT, || {
        seen = by_id(&of_nodes(&collector.spans(&trace)?)).len();
        Ok((seen >= wanted).then_some(()))
    })
    .with_context(|| format!("{seen} of {wanted}"))
}

fn count(workflow: &Value) -> usize {
    workflow["status"]["nodes"].as_object().map_or(0, serde_json::Map::len) + 1
}

/// Spans of Workflows and nodes, without those of commands.
pub fn of_nodes(spans: &[Span]) -> Vec<Span> {
    spans.iter().filter(|span| span.resource["service.name"] == "argo-workflows").cloned().collect()
}

fn by_id(spans: &[Span]) -> BTreeMap<&str, &Span> {
    spans.iter().map(|span| (span.span["spanId"].as_str().unwrap_or_default(), span)).collect()
}

/// Ids, parents, times, status and attributes by what the Workflow says, independently of the code under test.
pub fn as_the_workflow_says(workflow: &Value, spans: &[Span]) -> Result<()> {
    let uid = text(&workflow["metadata"]["uid"])?;
    let spans = by_id(spans);
    let nodes = workflow["status"]["nodes"].as_object().context("no nodes")?;
    let root = h(&format!("workflow/{uid}"), 16);
    let id = |node: &str| h(&format!("node/{uid}/{node}"), 16);
    ensure!(spans.contains_key(root.as_str()), "the Workflow has no span");
    ensure!(spans.len() == nodes.len() + 1, "{} spans of {} nodes", spans.len(), nodes.len());
    for (name, node) in nodes {
        let span = spans.get(id(name).as_str()).with_context(|| format!("{name} has no span"))?;
        let boundary = node["boundaryID"].as_str();
        let parent = text(&span.span["parentSpanId"])?;
        ensure!(spans.contains_key(parent), "{name}: nobody is its parent {parent}");
        // Between a node and its template stand groups, loops and retries of the same template.
        let mut around = nodes.iter().find(|(other, _)| id(other) == parent);
        while let Some((above, other)) = around.filter(|(other, _)| Some(other.as_str()) != boundary) {
            ensure!(other["boundaryID"].as_str() == boundary, "{name} is in {above}");
            let next = text(&spans[id(above).as_str()].span["parentSpanId"])?;
            around = nodes.iter().find(|(other, _)| id(other) == next);
        }
        ensure!(around.is_some() == boundary.is_some(), "{name} is not in its template");
        let failed = matches!(node["phase"].as_str(), Some("Failed" | "Error"));
        ensure!((span.span["status"]["code"] == ERROR) == failed, "{name}: {}", span.span["status"]);
        let attributes = span.attributes();
        for (key, value) in [("argo.node.phase", "phase"), ("argo.node.type", "type"), ("argo.node.name", "name")] {
            ensure!(attributes[key] == node[value], "{name}: {key} is {}", attributes[key]);
        }
    }
    Ok(())
}

/// `stepspan trace` of the same Workflow, asked of the cluster.
fn trace_says_the_same(cluster: &Cluster, namespace: &Namespace<'_>, workflow: &Value, spans: &[Span]) -> Result<()> {
    let name = text(&workflow["metadata"]["name"])?;
    let kubeconfig = cluster.dir().join("admin.kubeconfig");
    let done = Command::new(PROGRAM)
        .args(["trace", name, "-o", "json", "--namespace", namespace.name(), "--kubeconfig"])
        .arg(kubeconfig)
        .output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let request: Value = serde_json::from_slice(&done.stdout)?;
    let printed = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().context("no spans")?;
    let sent = by_id(spans);
    ensure!(printed.len() == sent.len(), "{} spans are printed, {} were sent", printed.len(), sent.len());
    for span in printed {
        let Some(other) = sent.get(text(&span["spanId"])?) else { bail!("not sent: {span:#}") };
        for field in ["traceId", "name", "startTimeUnixNano", "endTimeUnixNano"] {
            ensure!(span[field] == other.span[field], "{field}: {} and {}", span[field], other.span[field]);
        }
        let parent = |span: &Value| span["parentSpanId"].as_str().unwrap_or_default().to_owned();
        ensure!(parent(span) == parent(&other.span), "the parents of {}", span["name"]);
    }
    Ok(())
}

pub fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}
