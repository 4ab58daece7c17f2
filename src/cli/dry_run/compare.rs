//! The same pod under two policy sets: what `stepspan diff` shows.

use super::manifest;
use super::render;
use super::step::{Done, Reviewer, Step};
use crate::admission::review;
use crate::context::Context;
use crate::offline::Expanded;
use crate::policy::PolicySet;

/// A pod to compare.
pub(super) struct Pair<'a> {
    /// The bytes of its review.
    pub bytes: &'a [u8],
    /// The step, as the older policies have it.
    pub step: Step<'a>,
    /// The pod of a Workflow that carries what the newer policies name.
    pub newer: Option<&'a Expanded>,
}

impl Reviewer {
    /// Compares what two policy sets make of a pod.
    pub(super) fn compare(&self, pair: Pair<'_>, newer: &PolicySet, context: &Context, done: &mut Done) {
        let Pair { bytes, step, newer: expanded } = pair;
        let mut buffer = Vec::new();
        let mut after = step.before.clone();
        let mut newer_bytes = bytes;
        if let Some(Expanded { pod, .. }) = expanded {
            manifest::wrap(&mut buffer, &step.reviewed.namespace, |buffer| manifest::write(buffer, pod));
            newer_bytes = &buffer;
            after = pod.into();
        }
        let reviewed = review(newer_bytes, newer, context);
        let old = render::yaml_of(step.before.clone(), &step.reviewed.patch);
        let new = render::yaml_of(after, &reviewed.patch);
        if old == new {
            done.tally.same += 1;
            return;
        }
        done.tally.changed += 1;
        render::changed(&step, &reviewed, [&old, &new], self.output, self.palette, &mut done.pieces);
    }
}
