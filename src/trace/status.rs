//! What a Workflow's `status` says of its run: `WorkflowStatus` and `NodeStatus` of Argo's `workflow_types.go`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::packed::unpack;
use super::phase::{Kind, Phase};
use crate::argo::node_name::step_name;
use crate::identity::TraceParent;
use crate::inject::carrier::TRACEPARENT;
use crate::policy::value::workflow_stem;

/// Nanoseconds since 1970.
pub type Time = u64;

/// One of them in seconds.
pub const SECOND: Time = 1_000_000_000;

/// Why the nodes of a run are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no Workflow.
    #[error("a {0} has no run: only a Workflow has")]
    Kind(String),
    /// The controller keeps the nodes in a database (`persistence.nodeStatusOffLoad`).
    #[error(
        "its nodes are offloaded to the controller's database (status.offloadNodeStatusVersion): save it with `argo get -o json`"
    )]
    Offloaded,
    /// `compressedNodes` is not what Argo writes.
    #[error("status.compressedNodes: {0}")]
    Compressed(String),
    /// There is no UID, of which all ids are made.
    #[error("metadata.uid is missing: save the Workflow from the cluster (kubectl get workflow NAME -o json)")]
    NoUid,
}

/// A node of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Unique in the Workflow, a hash of the name: one that `argo retry` runs again has it again.
    pub id: String,
    /// The way to it, such as `ci-x7k2q[0].build(1)`.
    pub name: String,
    /// The last part of that, for people.
    pub display_name: String,
    /// What it stands for.
    pub kind: Kind,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there.
    pub message: String,
    /// Its template; empty where it has none of its own.
    pub template: String,
    /// The node of the template that it belongs to.
    pub boundary: Option<String>,
    /// When it began; whole seconds.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
    /// The nodes that come after it, or are in it.
    pub children: Vec<String>,
    /// The exit code of its main container.
    pub exit_code: Option<i64>,
    /// A hook or exit handler.
    pub hooked: bool,
    /// One that goes on while what comes after it runs.
    pub daemoned: bool,
    /// The machine on which its pod ran.
    pub host: String,
    /// Its outputs came out of the cache (`memoize`).
    pub cached: bool,
}

/// A run of a Workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// What runs of it have in common: its template's name, or its own without what `generateName` adds.
    pub stem: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why.
    pub message: String,
    /// When the Workflow was created.
    pub created: Option<Time>,
    /// When the controller began with it.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
    /// The trace that whoever made the Workflow was in: its annotation `traceparent`.
    pub incoming: Option<TraceParent>,
    /// Its nodes by their ids.
    pub nodes: BTreeMap<String, Node>,
}

impl Run {
    /// Reads a Workflow as the API server stores it.
    ///
    /// # Errors
    /// It is no Workflow, has no UID, or its nodes are not in it.
    pub fn read(workflow: &Value) -> Result<Self, Unreadable> {
        let kind = text(workflow, "kind");
        if kind != "Workflow" {
            return Err(Unreadable::Kind(kind));
        }
        let (metadata, status) = (&workflow["metadata"], &workflow["status"]);
        let uid = text(metadata, "uid");
        if uid.is_empty() {
            return Err(Unreadable::NoUid);
        }
        let nodes = nodes(status)?;
        Ok(Self {
            uid,
            namespace: text(metadata, "namespace"),
            name: text(metadata, "name"),
            stem: stem(metadata),
            phase: Phase::read(status["phase"].as_str().unwrap_or_default()),
            message: text(status, "message"),
            created: time(metadata, "creationTimestamp"),
            started: time(status, "startedAt"),
            finished: time(status, "finishedAt"),
            incoming: metadata["annotations"][TRACEPARENT].as_str().and_then(TraceParent::read),
            nodes: nodes.iter().map(|(id, node)| (id.clone(), Node::read(id, node))).collect(),
        })
    }
}

impl Run {
    /// A step's own name, without loop item and attempt; `None` where a node has none below the Workflow's, in which dots may be too.
    pub fn step_name<'n>(&self, node: &'n Node) -> Option<&'n str> {
        step_name(node.name.strip_prefix(self.name.as_str()).unwrap_or(&node.name))
    }
}

impl Node {
    fn read(id: &str, node: &Value) -> Self {
        let name = text(node, "name");
        let display_name = text(node, "displayName");
        let exit_code = node["outputs"]["exitCode"].as_str().and_then(|code| code.parse().ok());
        let children = node["children"].as_array().into_iter().flatten();
        Self {
            id: id.to_owned(),
            display_name: if display_name.is_empty() { name.clone() } else { display_name },
            name,
            kind: Kind::read(node["type"].as_str().unwrap_or_default()),
            phase: Phase::read(node["phase"].as_str().unwrap_or_default()),
            message: text(node, "message"),
            template: template(node),
            boundary: Some(text(node, "boundaryID")).filter(|boundary| !boundary.is_empty()),
            started: time(node, "startedAt"),
            finished: time(node, "finishedAt"),
            children: children.filter_map(Value::as_str).map(str::to_owned).collect(),
            exit_code,
            hooked: node["nodeFlag"]["hooked"] == true,
            daemoned: node["daemoned"] == true,
            host: text(node, "hostNodeName"),
            cached: node["memoizationStatus"]["hit"] == true,
        }
    }
}

/// The labels by which Argo says what a Workflow was made from (`workflow/common/common.go`).
const MADE_FROM: [&str; 3] = ["cron-workflow", "workflow-template", "cluster-workflow-template"];

fn stem(metadata: &Value) -> String {
    let from = MADE_FROM.map(|kind| text(&metadata["labels"], &format!("workflows.argoproj.io/{kind}")));
    let generated = text(metadata, "generateName");
    let generated = generated.trim_end_matches('-').to_owned();
    let name = || workflow_stem(metadata["name"].as_str().unwrap_or_default()).to_owned();
    from.into_iter().chain([generated]).find(|name| !name.is_empty()).unwrap_or_else(name)
}

/// The template's name, where it is one of this Workflow or of another.
fn template(node: &Value) -> String {
    let own = text(node, "templateName");
    if own.is_empty() { text(&node["templateRef"], "template") } else { own }
}

/// `nodes` of a Workflow's status, or what they were packed into.
///
/// # Errors
/// They are packed in another way than Argo's, or not in the Workflow.
pub fn nodes(status: &Value) -> Result<Cow<'_, Map<String, Value>>, Unreadable> {
    if let Some(nodes) = status["nodes"].as_object().filter(|nodes| !nodes.is_empty()) {
        return Ok(Cow::Borrowed(nodes));
    }
    if let Some(packed) = status["compressedNodes"].as_str().filter(|packed| !packed.is_empty()) {
        return unpack(packed).map(Cow::Owned).map_err(Unreadable::Compressed);
    }
    if status["offloadNodeStatusVersion"].as_str().is_some_and(|version| !version.is_empty()) {
        return Err(Unreadable::Offloaded);
    }
    Ok(Cow::Owned(Map::new()))
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_default().to_owned()
}

/// A time as Kubernetes writes it (RFC 3339); `None` where there is none, and before 1970, such as Go's zero.
pub(super) fn time(of: &Value, key: &str) -> Option<Time> {
    let time = OffsetDateTime::parse(of[key].as_str()?, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok().filter(|nanos| *nanos > 0)
}

/// A time as Kubernetes writes it: whole seconds, UTC.
pub fn rfc3339(time: Time) -> String {
    let seconds = i64::try_from(time / SECOND).unwrap_or(i64::MAX);
    let known = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| at.format(&Rfc3339).ok());
    known.unwrap_or_else(|| seconds.to_string())
}
