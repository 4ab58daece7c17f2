//! One pod -> whether it was injected, and why not.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::facts::Facts;
use crate::admission::Outcome;
use crate::doctor::install::Install;
use crate::doctor::pod::review;
use crate::doctor::rules::{Place, namespace_selected, pod_selected};
use crate::inject::reason::SkipReason;
use crate::source::facts::Labels;
use stepspan_contract::names;

/// A step's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created, as Kubernetes writes it: to be compared as text.
    pub created: String,
    /// What became of it.
    pub state: State,
}

/// Whether it was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was.
    Injected,
    /// No policy means it, or it has no command: the reason's word.
    LeftOut(String),
    /// A policy means it, and admission found that it could not be, or an input was missing: the reason's word.
    Skipped(String),
    /// A policy means it, and nobody looked at it.
    Missed(Cause),
}

impl State {
    /// What admission wrote into the pod, as its annotation `stepspan.dev/status` has it.
    pub fn written(status: &str) -> Self {
        match status {
            "injected" => Self::Injected,
            status => by_reason(status.strip_prefix("skipped: ").unwrap_or(status)),
        }
    }

    /// `injected`, `missed`, `skipped` or `left-out`, and the word of the reason.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Injected => ("injected", "none"),
            Self::LeftOut(word) => ("left-out", word),
            Self::Skipped(word) => ("skipped", word),
            Self::Missed(cause) => ("missed", cause.word()),
        }
    }
}

/// Why nobody looked at a pod; the later, the nearer it came to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// There is no webhook of ours.
    NotInstalled,
    /// The webhook's `namespaceSelector` does not take the namespace.
    NamespaceNotSelected,
    /// Its `objectSelector` does not take the pod.
    PodNotSelected,
    /// It was made later.
    BeforeInstall,
    /// Injection is paused, and nothing was injected there since this pod.
    Paused,
    /// The circuit breaker is open, and nothing was injected there since this pod.
    BreakerOpen,
    /// It was not there, or was paused, or its breaker was open, at that time.
    Unanswered,
}

impl Cause {
    /// Its word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotInstalled => "not-installed",
            Self::BeforeInstall => "before-install",
            Self::NamespaceNotSelected => "namespace-not-selected",
            Self::PodNotSelected => "pod-not-selected",
            Self::Paused => "paused",
            Self::BreakerOpen => "breaker-open",
            Self::Unanswered => "unanswered",
        }
    }

    /// What it means, and what to do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotInstalled => "there is no webhook configuration of ours: helm install",
            Self::BeforeInstall => "made before the webhook was; what Argo creates from now on is looked at",
            Self::NamespaceNotSelected => {
                "the webhook's namespaceSelector leaves the namespace out (chart: namespaceSelector)"
            }
            Self::PodNotSelected => "the webhook's objectSelector leaves the pod out",
            Self::Paused => "an operator has paused injection: `stepspan doctor` says how to go on",
            Self::BreakerOpen => "our image cannot start there: `stepspan doctor` says why",
            Self::Unanswered => {
                "the webhook was away, paused, or its breaker was open at that time: its events and alerts say which"
            }
        }
    }
}

/// Judges pods; in the order in which they were created.
pub fn judge(pods: &[Value], facts: &Facts) -> Vec<Step> {
    let mut steps: Vec<Step> = pods.iter().map(|pod| step(pod, facts)).collect();
    steps.sort_by(|a, b| (&a.created, &a.namespace, &a.name).cmp(&(&b.created, &b.namespace, &b.name)));
    stopped_now(&mut steps, facts);
    steps
}

fn step(pod: &Value, facts: &Facts) -> Step {
    let metadata = &pod["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
    let (namespace, name, created) = (text("namespace"), text("name"), text("creationTimestamp"));
    let state = match metadata["annotations"][names::STATUS_ANNOTATION].as_str() {
        Some(status) => State::written(status),
        None => unmarked(pod, &namespace, &created, facts),
    };
    Step { namespace, name, created, state }
}

/// Reasons for which a pod has no command that could be a span, or is not meant.
pub const LEFT_OUT: [SkipReason; 7] = [
    SkipReason::NoPolicy,
    SkipReason::OptedOut,
    SkipReason::ArtifactGc,
    SkipReason::Agent,
    SkipReason::Resource,
    SkipReason::Data,
    SkipReason::ContainerExcluded,
];

fn by_reason(word: &str) -> State {
    if LEFT_OUT.iter().any(|reason| reason.label() == word) {
        State::LeftOut(word.to_owned())
    } else {
        State::Skipped(word.to_owned())
    }
}

/// Nobody wrote into it: it was not meant, or nobody looked.
pub fn unmarked(pod: &Value, namespace: &str, created: &str, facts: &Facts) -> State {
    let reviewed = review(pod, namespace, &facts.policies, &facts.context);
    let word = reviewed.reason.map(|reason| reason.to_string()).unwrap_or_default();
    // Such a one is admitted as it was, and nobody writes that into it.
    if reviewed.outcome == Outcome::Failed {
        return State::Skipped(word);
    }
    if reviewed.patch.is_empty() || LEFT_OUT.iter().any(|reason| reason.label() == word) {
        return State::LeftOut(if word.is_empty() { SkipReason::NoPolicy.to_string() } else { word });
    }
    let none = Labels::new();
    let place =
        Place { namespace, labels: facts.context.namespaces.get(namespace).unwrap_or(&none), pod: &labels(pod) };
    State::Missed(cause(place, created, facts))
}

/// What is true now of the webhook of ours that comes nearest to being asked.
fn cause(place: Place<'_>, created: &str, facts: &Facts) -> Cause {
    let of = |install: &Install| {
        let webhook = install.pods()?;
        Some(if !namespace_selected(webhook, place) {
            Cause::NamespaceNotSelected
        } else if !pod_selected(&webhook["objectSelector"], place) {
            Cause::PodNotSelected
        } else if install.created().is_some_and(|made| created < made) {
            Cause::BeforeInstall
        } else {
            Cause::Unanswered
        })
    };
    facts.installs.iter().filter_map(of).max().unwrap_or(Cause::NotInstalled)
}

/// Of pods that nobody looked at, those after the last that was injected in their namespace: what stops injection now stopped it then.
fn stopped_now(steps: &mut [Step], facts: &Facts) {
    let mut was_injected: BTreeMap<String, bool> = BTreeMap::new();
    for step in steps.iter_mut().rev() {
        let injected = was_injected.entry(step.namespace.clone()).or_default();
        *injected |= step.state == State::Injected;
        if *injected || step.state != State::Missed(Cause::Unanswered) {
            continue;
        }
        if let Some(cause) = facts.stopped(&step.namespace) {
            step.state = State::Missed(cause);
        }
    }
}

/// The labels of an object.
pub fn labels(object: &Value) -> Labels {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
