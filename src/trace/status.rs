//! What a Workflow's `status` says of its run: `WorkflowStatus` of Argo's `workflow_types.go`.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Deserialize as _;
use serde::de::MapAccess;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::loose::{As, FieldOf, Loose, cut, skip, take};
use super::node::{Node, Nodes};
use super::packed::unpack;
use super::phase::Phase;
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
    /// There are more nodes, or more children of them, than any run that was ever seen.
    #[error("its status has more nodes than are read (100,000, with 1,000,000 children)")]
    TooMany,
    /// There is no UID, of which all ids are made.
    #[error("metadata.uid is missing: save the Workflow from the cluster (kubectl get workflow NAME -o json)")]
    NoUid,
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
        let status = As::<Status>::deserialize(&workflow["status"]).unwrap_or_default();
        Self::of(&workflow["metadata"], status.0)
    }

    /// Of a Workflow's metadata and status.
    ///
    /// # Errors
    /// It has no UID, or its nodes are not in it.
    pub fn of(metadata: &Value, mut status: Status) -> Result<Self, Unreadable> {
        let uid = text(metadata, "uid");
        if uid.is_empty() {
            return Err(Unreadable::NoUid);
        }
        let nodes = status.nodes()?;
        Ok(Self {
            uid,
            namespace: text(metadata, "namespace"),
            name: text(metadata, "name"),
            stem: stem(metadata),
            phase: status.phase,
            message: status.message,
            created: time(metadata, "creationTimestamp"),
            started: status.started,
            finished: status.finished,
            incoming: metadata["annotations"][TRACEPARENT].as_str().and_then(TraceParent::read),
            nodes: nodes.all,
        })
    }

    /// A step's own name, without loop item and attempt; `None` where a node has none below the Workflow's, in which dots may be too.
    pub fn step_name<'n>(&self, node: &'n Node) -> Option<&'n str> {
        step_name(node.name.strip_prefix(self.name.as_str()).unwrap_or(&node.name))
    }
}

/// What is read of a Workflow's status.
#[derive(Debug, Clone, Default)]
pub struct Status {
    phase: Phase,
    message: String,
    started: Option<Time>,
    finished: Option<Time>,
    nodes: Nodes,
    /// The nodes, where they are packed.
    packed: String,
    /// Where the controller's database has them.
    offloaded: String,
}

impl Status {
    /// As they are, or unpacked.
    fn nodes(&mut self) -> Result<Nodes, Unreadable> {
        let mut nodes = std::mem::take(&mut self.nodes);
        if nodes.all.is_empty() && !self.packed.is_empty() {
            nodes = unpack(&self.packed, PhantomData::<As<Nodes>>).map_err(Unreadable::Compressed)?.0;
        } else if nodes.all.is_empty() && !self.offloaded.is_empty() {
            return Err(Unreadable::Offloaded);
        }
        if nodes.are_too_many { Err(Unreadable::TooMany) } else { Ok(nodes) }
    }
}

impl Loose for Status {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        match key.as_str() {
            "phase" => self.phase = take(map)?,
            "message" => self.message = cut(take(map)?),
            "startedAt" => self.started = take(map)?,
            "finishedAt" => self.finished = take(map)?,
            "nodes" => self.nodes = take(map)?,
            "compressedNodes" => self.packed = take(map)?,
            "offloadNodeStatusVersion" => self.offloaded = take(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// One node with all that is stored of it; `None` where there is none with that id.
///
/// # Errors
/// The nodes are packed in another way than Argo's, or not in the Workflow.
pub fn whole_node(status: &Value, id: &str) -> Result<Option<Value>, Unreadable> {
    if let Some(nodes) = status["nodes"].as_object().filter(|nodes| !nodes.is_empty()) {
        return Ok(nodes.get(id).cloned());
    }
    match (text(status, "compressedNodes").as_str(), text(status, "offloadNodeStatusVersion").as_str()) {
        ("", "") => Ok(None),
        ("", _) => Err(Unreadable::Offloaded),
        (packed, _) => unpack(packed, FieldOf(id)).map_err(Unreadable::Compressed),
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

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_default().to_owned()
}

pub(super) fn time(of: &Value, key: &str) -> Option<Time> {
    of[key].as_str().and_then(read_time)
}

/// A time as Kubernetes writes it (RFC 3339); `None` where there is none, and before 1970, such as Go's zero.
pub(super) fn read_time(text: &str) -> Option<Time> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok().filter(|nanos| *nanos > 0)
}

/// A time as Kubernetes writes it: whole seconds, UTC.
pub fn rfc3339(time: Time) -> String {
    let seconds = i64::try_from(time / SECOND).unwrap_or(i64::MAX);
    let known = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| at.format(&Rfc3339).ok());
    known.unwrap_or_else(|| seconds.to_string())
}
