//! What policies read of a pod that a record does not hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::admission::Reviewed;
use crate::inject::carrier::{self, Kind};
use crate::policy::compile::{Rules, may_set};
use crate::policy::expr::Expression;
use crate::policy::spec::{Incoming, Source, Spec};
use crate::policy::{Mismatch, Policy, PolicySet, named, referenced};
use stepspan_contract::names::ANNOTATION_PREFIX;

/// What a record holds of what policies can name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Keeps {
    /// Variables whose literal values are kept.
    pub env: BTreeSet<String>,
    /// Carriers whose values are kept, as `p.repo`.
    pub carriers: BTreeSet<String>,
    /// Annotations of the pod whose values are not, the carrier of a trace context among them.
    pub withheld: BTreeSet<String>,
}

impl Keeps {
    /// What the policies in force name for pods of a namespace.
    pub fn of(policies: &PolicySet, namespace: &str) -> Self {
        let variable = |source: &Source| if let Source::Env(name) = source { Some(name.clone()) } else { None };
        let context = policies.take_context(namespace).then_some((Kind::Annotation, carrier::TRACEPARENT));
        Self {
            env: policies.policies().iter().flat_map(|policy| sources(policy)).filter_map(variable).collect(),
            carriers: policies.carried(namespace).chain(context).map(|(kind, name)| carried(kind, name)).collect(),
            withheld: BTreeSet::new(),
        }
    }

    /// The trace context that came with the Workflow, where a policy looks at it and the record does not hold it.
    fn lacks_context(&self, spec: &Spec) -> Option<String> {
        let ignored = spec.trace_context.incoming == Some(Incoming::Ignore);
        let withheld = self.withheld.contains(&carrier::key(Kind::Annotation, carrier::TRACEPARENT));
        (withheld && !ignored).then(|| Kind::Annotation.source(carrier::TRACEPARENT))
    }

    fn holds(&self, kind: Kind, name: &str) -> bool {
        self.carriers.contains(&carried(kind, name))
    }

    /// What an expression reads besides.
    fn lacks(&self, expression: &Expression) -> Option<String> {
        let reads = expression.references();
        if reads.pod.beyond_metadata {
            return Some("more of the pod than its metadata".to_owned());
        }
        if reads.dynamic {
            return Some("parameters, labels, annotations or inputs as a whole".to_owned());
        }
        if let Some((kind, name)) = referenced(&reads).find(|(kind, name)| !self.holds(*kind, name)) {
            return Some(kind.source(name));
        }
        if reads.pod.any_annotation && !self.withheld.is_empty() {
            return Some("annotations as a whole".to_owned());
        }
        reads.pod.annotations.intersection(&self.withheld).next().map(|name| format!("annotation/{name}"))
    }
}

/// The end of a carrier's annotation.
fn carried(kind: Kind, name: &str) -> String {
    carrier::key(kind, name).strip_prefix(ANNOTATION_PREFIX).unwrap_or_default().to_owned()
}

fn sources(policy: &Policy) -> impl Iterator<Item = &Source> {
    policy.spec.correlation.values().flat_map(|key| key.from.iter().flatten())
}

/// What the policies of a set read that a record does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Sources of values, as [`Context::unresolved`](crate::context::Context::unresolved) names them.
    pub unresolved: Vec<String>,
    /// Conditions, by policy.
    conditions: BTreeMap<String, String>,
    /// What else is read, by policy.
    others: BTreeMap<String, String>,
}

/// Why a review cannot be told from a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The policies, or the one, in whose place it is.
    pub policy: String,
    /// What it reads.
    pub reads: String,
}

impl Gaps {
    /// Compares what policies read with what a record holds; `allowed` are the variables that policies could set besides `OTEL_*` when it
    /// was made.
    pub fn of(policies: &PolicySet, keeps: &Keeps, allowed: &[String]) -> Self {
        let rules = Rules { allow_env: allowed.to_vec() };
        let mut gaps = Self::default();
        for policy in policies.policies() {
            let conditions = policy.spec.r#match.when.iter().enumerate();
            let lacks = |source: &String| policies.expression(source).and_then(|expression| keeps.lacks(expression));
            let condition = conditions.filter_map(|(i, source)| Some(format!("{} (match.when[{i}])", lacks(source)?)));
            gaps.conditions.extend(condition.take(1).map(|what| (policy.name.clone(), what)));
            let set = policy.spec.env.set.iter().find(|variable| !may_set(&variable.name, &rules));
            let variable = set.map(|variable| format!("references to the variable {} (env.set)", variable.name));
            let context = || Some(format!("{} (traceContext.incoming)", keeps.lacks_context(&policy.spec)?));
            gaps.others.extend(variable.or_else(context).map(|what| (policy.name.clone(), what)));
            for source in sources(policy) {
                let held = match source {
                    Source::Env(variable) => keeps.env.contains(variable),
                    Source::Annotation(name) => !keeps.withheld.contains(name),
                    Source::Cel(text) => lacks(text).is_none(),
                    other => named(other).is_none_or(|(kind, name)| keeps.holds(kind, name)),
                };
                if !held {
                    gaps.unresolved.push(source.name());
                }
            }
        }
        gaps
    }

    /// The first gap that a review fell into; its context has to name [`Self::unresolved`].
    pub fn met(&self, reviewed: &Reviewed) -> Option<Gap> {
        let decision = &reviewed.decision;
        let gap = |policy: &String, reads: &String| Gap { policy: policy.clone(), reads: reads.clone() };
        for policy in &decision.policies {
            if let Some(reads) = self.conditions.get(policy).or_else(|| self.others.get(policy)) {
                return Some(gap(policy, reads));
            }
        }
        for (policy, mismatch) in &decision.mismatches {
            let asked = matches!(mismatch, Mismatch::Condition(_) | Mismatch::ConditionFailed(..) | Mismatch::OptedOut);
            if let Some(reads) = self.conditions.get(policy).filter(|_| asked) {
                return Some(gap(policy, reads));
            }
        }
        let (key, source) = decision.values.iter().find_map(|value| Some((&value.key, value.awaits.as_ref()?)))?;
        Some(Gap { policy: decision.policies.join(", "), reads: format!("{source} (correlation.{key})") })
    }
}
