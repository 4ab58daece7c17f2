//! The same pod under two policy sets: what `stepspan diff` shows.

use std::sync::Arc;

use super::manifest;
use super::render;
use super::step::{Done, Reviewer};
use crate::admission::{Reviewed, review};
use crate::context::Context;
use crate::offline::Expanded;
use crate::policy::PolicySet;
use crate::yaml::Tree;

/// A pod to compare.
pub(super) struct Pair<'a> {
    pub file: &'a Arc<str>,
    pub line: usize,
    /// The bytes of its review.
    pub bytes: &'a [u8],
    /// The pod, unpatched.
    pub before: Tree<'a>,
    /// What the older policies make of it.
    pub older: Reviewed,
    /// The pod of a Workflow that carries what the newer policies name.
    pub newer: Option<&'a Expanded>,
}

impl Reviewer {
    /// Compares what two policy sets make of a pod.
    pub(super) fn compare(&self, pair: Pair<'_>, newer: &PolicySet, context: &Context, done: &mut Done) {
        let Pair { file, line, bytes, before, older, newer: expanded } = pair;
        let mut buffer = Vec::new();
        let mut after = before.clone();
        let mut newer_bytes = bytes;
        if let Some(Expanded { pod, .. }) = expanded {
            manifest::wrap(&mut buffer, &older.namespace, |buffer| manifest::write(buffer, pod));
            newer_bytes = &buffer;
            after = pod.into();
        }
        let reviewed = review(newer_bytes, newer, context);
        let (old, new) = (render::yaml_of(before, &older.patch), render::yaml_of(after, &reviewed.patch));
        if old == new {
            done.tally.same += 1;
            return;
        }
        done.tally.changed += 1;
        render::changed(file, line, [(&old, &older), (&new, &reviewed)], self.output, self.palette, &mut done.pieces);
    }
}
