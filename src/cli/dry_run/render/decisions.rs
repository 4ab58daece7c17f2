//! `-o patch`: one JSON object a line, with the patch and everything that led to it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::step::Step;
use crate::admission::Reviewed;
use crate::admission::clauses::Clauses;
use crate::admission::explain::Variables;
use crate::patch::Op;

#[derive(Serialize)]
struct Line<'a> {
    pod: String,
    patch: &'a [Op],
    decisions: Decisions<'a>,
}

#[derive(Serialize)]
struct Decisions<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Matching policies, highest priority first.
    policies: &'a [String],
    /// Policies that do not match.
    mismatches: Vec<Mismatch<'a>>,
    containers: Vec<Container<'a>>,
    values: Vec<Correlated<'a>>,
    /// By field path; where one policy alone matched it wrote everything, and this is empty.
    writers: BTreeMap<&'a str, Writer<'a>>,
    warnings: &'a [String],
    /// What has to be for the pod to be created at all.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    conditions: &'a [String],
    source: Source<'a>,
}

#[derive(Serialize)]
struct Mismatch<'a> {
    policy: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct Container<'a> {
    name: &'a str,
    injected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Correlated<'a> {
    key: &'a str,
    value: Option<&'a str>,
    source: Option<&'a str>,
    /// Variables of the step that come first, known at run time only.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    variables: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dynamic: bool,
}

#[derive(Serialize)]
struct Failed<'a> {
    source: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Writer<'a> {
    policy: &'a str,
    over: &'a [String],
}

#[derive(Serialize)]
struct Source<'a> {
    file: &'a str,
    line: usize,
}

/// Writes a step's line.
pub(super) fn write(step: &Step<'_>, out: &mut Vec<u8>) {
    let line = Line { pod: step.name(), patch: &step.reviewed.patch, decisions: decisions(step) };
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

#[derive(Serialize)]
struct Explained<'a> {
    pod: String,
    step: String,
    decisions: Decisions<'a>,
    /// By which clause each policy takes the pod or leaves it.
    clauses: &'a [Clauses],
    /// By correlation key, in the order in which they are asked.
    sources: BTreeMap<&'a str, &'a [String]>,
    variables: &'a [Variables],
}

/// Writes a step's line for `explain`.
pub(super) fn explain(step: &Step<'_>, out: &mut Vec<u8>) {
    let line = Explained {
        pod: step.name(),
        step: step.step_name(),
        decisions: decisions(step),
        clauses: &step.explanation.policies,
        sources: step.explanation.sources.iter().map(|key| (key.name.as_str(), key.from.as_slice())).collect(),
        variables: &step.explanation.containers,
    };
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

#[derive(Serialize)]
struct Changed<'a> {
    pod: String,
    step: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    conditions: &'a [String],
    old: Side<'a>,
    new: Side<'a>,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Side<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    policies: &'a [String],
    patch: &'a [Op],
    warnings: &'a [String],
}

/// Writes a pod's line for `diff`.
pub(super) fn changed(step: &Step<'_>, newer: &Reviewed, out: &mut Vec<u8>) {
    fn side(reviewed: &Reviewed) -> Side<'_> {
        Side {
            outcome: reviewed.outcome.label(),
            reason: reviewed.reason.as_ref().map(ToString::to_string),
            policies: &reviewed.decision.policies,
            patch: &reviewed.patch,
            warnings: &reviewed.warnings,
        }
    }
    let line = Changed {
        pod: step.name(),
        step: step.step_name(),
        conditions: &step.conditions,
        old: side(&step.reviewed),
        new: side(newer),
        source: Source { file: &step.file, line: step.line },
    };
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

fn decisions<'a>(step: &'a Step<'_>) -> Decisions<'a> {
    let reviewed = &step.reviewed;
    let decision = &reviewed.decision;
    Decisions {
        outcome: reviewed.outcome.label(),
        reason: reviewed.reason.as_ref().map(ToString::to_string),
        policies: &decision.policies,
        mismatches: decision
            .mismatches
            .iter()
            .map(|(policy, why)| Mismatch { policy, reason: why.to_string() })
            .collect(),
        containers: decision
            .containers
            .iter()
            .map(|c| Container {
                name: &c.name,
                injected: c.skipped.is_none(),
                reason: c.skipped.as_ref().map(ToString::to_string),
            })
            .collect(),
        values: decision
            .values
            .iter()
            .map(|v| Correlated {
                key: &v.key,
                value: v.value.as_deref(),
                source: v.source.as_deref(),
                variables: &v.variables,
                failed: v.failed.iter().map(|(source, reason)| Failed { source, reason }).collect(),
                dynamic: v.awaits.is_some(),
            })
            .collect(),
        writers: decision
            .writers
            .iter()
            .map(|(path, w)| (path.as_str(), Writer { policy: &w.policy, over: &w.over }))
            .collect(),
        warnings: &reviewed.warnings,
        conditions: &step.conditions,
        source: Source { file: &step.file, line: step.line },
    }
}
