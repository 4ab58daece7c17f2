//! Labels and annotations of the pod.

use std::collections::{BTreeMap, BTreeSet};

use stepspan_contract::names;

use super::carrier;
use crate::argo::StepPod;
use crate::context::{Context, POD_SOURCE, UID_SOURCE};
use crate::json::{Json, Object};
use crate::patch::Op;
use crate::policy::effective::Effective;
use crate::policy::value::Value as Correlated;
use crate::text::label_value;

/// What the pod's metadata becomes.
#[derive(Debug, Default)]
pub struct Metadata {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// Correlation values and the policy's own labels and annotations.
    pub fn of(pod: &StepPod<'_>, policy: &Effective, values: &[Correlated], context: &Context) -> Self {
        let mut metadata = Self::default();
        for (key, correlated) in policy.correlation.iter().zip(values) {
            let Some(value) = &correlated.value else { continue };
            let label = key.label.as_ref().and_then(|name| Some((name, label_value(value)?)));
            let mut exact = label.as_ref().is_some_and(|(name, safe)| pod.label(name).unwrap_or(safe) == value);
            if let Some((name, safe)) = label {
                metadata.labels.entry(name.clone()).or_insert(safe);
            }
            if let Some(name) = &key.annotation {
                exact |= pod.annotation(name).is_none_or(|own| own == value);
                metadata.annotations.entry(name.clone()).or_insert_with(|| value.clone());
            }
            if !exact {
                metadata.annotations.insert(format!("{}{}", names::ANNOTATION_PREFIX, key.name), value.clone());
            }
        }
        let mut dynamic: Vec<&str> = values.iter().filter(|v| v.awaits.is_some()).map(|v| v.key.as_str()).collect();
        // Trace and span ids are made of the Workflow's UID.
        let awaits = |source: &str| context.unresolved.iter().any(|known| known == source);
        dynamic.extend(awaits(UID_SOURCE).then_some("trace"));
        dynamic.extend(awaits(POD_SOURCE).then_some(POD_SOURCE));
        if !dynamic.is_empty() {
            metadata.own(names::DYNAMIC_ANNOTATION, dynamic.join(","));
        }
        for (name, value) in &policy.labels {
            metadata.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, value) in &policy.annotations {
            metadata.annotations.entry(name.clone()).or_insert_with(|| value.clone());
        }
        metadata
    }

    /// An annotation of ours, which no author of a pod can set.
    pub fn own(&mut self, name: &str, value: String) {
        self.annotations.insert(name.to_owned(), value);
    }

    /// The operations, and a warning for each reserved annotation that somebody else had set.
    pub fn ops(
        self,
        pod: &StepPod<'_>,
        opt_out: &BTreeSet<String>,
        with_shim: bool,
        warnings: &mut Vec<String>,
    ) -> Vec<Op> {
        let field = |name: &str| pod.raw["metadata"].get(name).and_then(Json::as_object);
        let mut ops = Vec::new();
        let labels: Vec<_> =
            self.labels.into_iter().filter(|(k, _)| !field("labels").is_some_and(|l| l.contains_key(k))).collect();
        set("/metadata/labels", field("labels"), labels, &mut ops);

        let existing = field("annotations");
        for name in existing.into_iter().flat_map(Object::keys) {
            let reserved = name.starts_with(names::ANNOTATION_PREFIX)
                && !opt_out.contains(name)
                && name != names::OPT_OUT_ANNOTATION;
            if !reserved || self.annotations.contains_key(name) {
                continue;
            }
            if !carrier::is_carrier(name) {
                warnings.push(format!("the annotation {name} is reserved and was removed"));
            } else if !with_shim {
                continue;
            }
            ops.push(Op::remove(format!("/metadata/annotations/{}", crate::json::escape(name))));
        }
        let mut fresh = Vec::new();
        for (name, value) in self.annotations {
            let own = name.starts_with(names::ANNOTATION_PREFIX) || name == names::TRACE_CONTEXT_ANNOTATION;
            match existing.and_then(|e| e.get(&name)) {
                None => fresh.push((name, value)),
                Some(present) if own && *present != *value => {
                    warnings.push(format!("the annotation {name} is reserved and was replaced"));
                    let path = format!("/metadata/annotations/{}", crate::json::escape(&name));
                    ops.push(Op::replace(path, value));
                }
                Some(_) => {}
            }
        }
        set("/metadata/annotations", existing, fresh, &mut ops);
        ops
    }
}

/// Adds entries to a map that may be absent.
fn set(at: &str, existing: Option<&Object<'_>>, entries: Vec<(String, String)>, ops: &mut Vec<Op>) {
    if entries.is_empty() {
        return;
    }
    if existing.is_some() {
        ops.extend(entries.into_iter().map(|(name, value)| Op::add_in(at, &name, value)));
    } else {
        let fields = entries.into_iter().map(|(name, value)| (name.into(), value.into()));
        ops.push(Op::add(at, Json::Object(fields.collect())));
    }
}
