//! The nodes of a run: `NodeStatus` of Argo's `workflow_types.go`, of which only what spans are made of is kept.

use std::collections::BTreeMap;

use serde::de::MapAccess;

use super::loose::{Loose, cut, skip, take};
use super::phase::{Kind, Phase};
use super::status::Time;

/// Most nodes of one run, and most ids of children in all of them: an object of 1 MiB that somebody wrote may have more than are worth the
/// memory.
const MOST: usize = 100_000;
const MOST_CHILDREN: usize = 1_000_000;

/// A node of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// Nodes by their ids.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    /// As many as are kept.
    pub(super) all: BTreeMap<String, Node>,
    children: usize,
    /// There were more.
    pub(super) are_too_many: bool,
}

impl Loose for Nodes {
    fn field<'de, A: MapAccess<'de>>(&mut self, id: String, map: &mut A) -> Result<(), A::Error> {
        // The Workflow's own place is under the empty id.
        if self.are_too_many || id.is_empty() {
            return skip(map);
        }
        let mut node: Node = take(map)?;
        self.children += node.children.len();
        self.are_too_many = self.all.len() == MOST || self.children > MOST_CHILDREN;
        node.id.clone_from(&id);
        if node.display_name.is_empty() {
            node.display_name.clone_from(&node.name);
        }
        self.all.insert(id, node);
        Ok(())
    }
}

impl Loose for Node {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        match key.as_str() {
            "name" => self.name = take(map)?,
            "displayName" => self.display_name = take(map)?,
            "type" => self.kind = take(map)?,
            "phase" => self.phase = take(map)?,
            "message" => self.message = cut(take(map)?),
            // The template's name, where it is one of this Workflow; else of another.
            "templateName" => keep(&mut self.template, take(map)?),
            "templateRef" if self.template.is_empty() => self.template = take::<TemplateRef, _>(map)?.0,
            "boundaryID" => self.boundary = Some(take::<String, _>(map)?).filter(|boundary| !boundary.is_empty()),
            "startedAt" => self.started = take(map)?,
            "finishedAt" => self.finished = take(map)?,
            "children" => self.children = take(map)?,
            "outputs" => self.exit_code = take::<Outputs, _>(map)?.0.parse().ok(),
            "nodeFlag" => self.hooked = take::<NodeFlag, _>(map)?.0,
            "daemoned" => self.daemoned = take(map)?,
            "hostNodeName" => self.host = take(map)?,
            "memoizationStatus" => self.cached = take::<MemoizationStatus, _>(map)?.0,
            _ => skip(map)?,
        }
        Ok(())
    }
}

fn keep(kept: &mut String, text: String) {
    if !text.is_empty() {
        *kept = text;
    }
}

/// An object of which one field is taken.
macro_rules! one_field {
    ($($object:ident, $key:literal: $of:ty;)*) => {$(
        #[derive(Default)]
        struct $object($of);

        impl Loose for $object {
            fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
                if key == $key {
                    self.0 = take(map)?;
                    return Ok(());
                }
                skip(map)
            }
        }
    )*};
}

one_field! {
    TemplateRef, "template": String;
    Outputs, "exitCode": String;
    NodeFlag, "hooked": bool;
    MemoizationStatus, "hit": bool;
}
