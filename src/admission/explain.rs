//! [`review`](super::review) for whoever wants to know why: every source that was asked, and what became of every variable.

use serde::Serialize;

use super::Reviewed;
use super::clauses::{self, Clauses};
use super::request::Review;
use crate::argo::StepPod;
use crate::context::Context;
use crate::inject::carrier::Carried;
use crate::inject::env;
use crate::policy::PolicySet;
use crate::policy::effective::Effective;
use crate::policy::value::{self, Asked};

/// What led to a review.
#[derive(Debug, Default)]
pub struct Explanation {
    /// Each policy: first those that match, highest priority first.
    pub policies: Vec<Clauses>,
    /// The sources of each correlation key, in the order in which they are asked.
    pub sources: Vec<Key>,
    /// Variables of each step container that gets the shim.
    pub containers: Vec<Variables>,
}

/// A correlation key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its sources, such as `parameter/repo`.
    pub from: Vec<String>,
}

/// The variables of a step container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variables {
    /// The container's name.
    pub container: String,
    /// Each variable of ours.
    pub variables: Vec<Variable>,
}

/// A variable of ours, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Our value.
    pub value: String,
    /// `added`, `replaced`, `kept`, `group-kept`, `group-dropped` or `by-shim`.
    pub decision: &'static str,
}

/// Explains what [`review`](super::review) made of these bytes.
pub fn explain(body: &[u8], policies: &PolicySet, context: &Context, reviewed: &Reviewed) -> Explanation {
    let Ok(Review { request: Some(request), .. }) = Review::read(body) else { return Explanation::default() };
    let Some(pod) = StepPod::read(&request.object.0, &request.namespace) else { return Explanation::default() };
    let carried = Carried::read(&request.object.0);
    let asked = Asked { pod: &pod, carried: &carried, context };
    let selection = policies.select(&pod, &asked.scope());
    let named = |name: &str| policies.policies().iter().find(|policy| policy.name == name);
    let clauses = |name: &str, why| named(name).map(|policy| clauses::of(policy, &pod, context, why));
    let matching = selection.policies.iter().filter_map(|name| clauses(name, None));
    let others = selection.mismatches.iter().filter_map(|(name, why)| clauses(name, Some(why)));
    let by_clause: Vec<Clauses> = matching.chain(others).collect();
    let Some(policy) = selection.effective else {
        return Explanation { policies: by_clause, ..Explanation::default() };
    };
    let injected =
        |name: &str| reviewed.decision.containers.iter().any(|known| known.name == name && known.skipped.is_none());
    let variables = pod.steps().filter(|step| injected(step.name)).map(|step| {
        let all = env::decisions(&policy, &pod, step).into_iter();
        let variables = all.map(|one| Variable { name: one.name, value: one.value, decision: one.settled.label() });
        Variables { container: step.name.to_owned(), variables: variables.collect() }
    });
    Explanation { policies: by_clause, sources: sources(&policy), containers: variables.collect() }
}

fn sources(policy: &Effective) -> Vec<Key> {
    let key = |key: &crate::policy::effective::Key| {
        let own = key.label.iter().map(|label| format!("label/{label}"));
        let mut from: Vec<String> = own.chain(key.from.iter().map(value::name)).collect();
        // The key's own label comes first, wherever else it stands.
        let mut seen = std::collections::BTreeSet::new();
        from.retain(|source| seen.insert(source.clone()));
        Key { name: key.name.clone(), from }
    };
    policy.correlation.iter().map(key).collect()
}
