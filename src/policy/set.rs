//! All policies in force, and which of them are for a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::check::Mistake;
use super::compile::{self, Expressions, Rules};
use super::effective::Effective;
use super::expr::{Expression, References, Scope};
use super::merge::merge;
use super::selector::{glob_matches, globs_take, selects, selects_namespace};
use super::spec::{Incoming, InjectionPolicy, Match, Source, Spec};
use crate::argo::StepPod;
use crate::inject::carrier::Kind;
use stepspan_contract::names;

/// Merges of several policies are kept, up to this many combinations.
const MAX_MERGES: usize = 1024;

/// A policy that can be evaluated.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: Spec,
    when: Vec<Expression>,
    alone: Arc<Effective>,
    carried: BTreeSet<(Kind, String)>,
}

/// Why a policy is not for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// `match.namespaces`.
    Namespace,
    /// `match.namespaceSelector`.
    NamespaceSelector,
    /// `match.namespaceSelector`, and the namespace's labels are not known.
    NamespaceUnknown,
    /// `match.podSelector`.
    PodSelector,
    /// `match.templates`.
    Template,
    /// The numbered condition of `match.when` is false.
    Condition(usize),
    /// The numbered condition of `match.when` could not be evaluated.
    ConditionFailed(usize, String),
    /// The pod opted out.
    OptedOut,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace => f.write_str("namespaces does not take this namespace"),
            Self::NamespaceSelector => f.write_str("namespaceSelector does not select this namespace"),
            Self::NamespaceUnknown => f.write_str("namespaceSelector: the namespace's labels are not known"),
            Self::PodSelector => f.write_str("podSelector does not select this pod"),
            Self::Template => f.write_str("templates has no glob for this template"),
            Self::Condition(i) => write!(f, "when[{i}] is false"),
            Self::ConditionFailed(i, why) => write!(f, "when[{i}] failed: {why}"),
            Self::OptedOut => f.write_str("the pod opted out"),
        }
    }
}

/// What the policies say of one pod.
#[derive(Debug)]
pub struct Selection {
    /// The matching policies, highest priority first.
    pub policies: Vec<String>,
    /// Their merge; `None` where none matches.
    pub effective: Option<Arc<Effective>>,
    /// The others, each with its reason.
    pub mismatches: Vec<(String, Mismatch)>,
}

/// All policies in force, highest priority first, ties by name. Immutable: a reload makes a new set.
#[derive(Default)]
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    /// Compiling is for loading, never for a review.
    expressions: Expressions,
    merges: Mutex<BTreeMap<Vec<usize>, Arc<Effective>>>,
}

/// The mistakes of one document of [`PolicySet::compile`], by its index.
pub type DocumentMistakes = (usize, Vec<Mistake>);

impl PolicySet {
    /// Compiles policies.
    ///
    /// # Errors
    /// Every mistake of every document, names that stand twice included.
    pub fn compile(documents: Vec<InjectionPolicy>, rules: &Rules) -> Result<Self, Vec<DocumentMistakes>> {
        let mut wrong: Vec<DocumentMistakes> = Vec::new();
        let mut policies: Vec<Arc<Policy>> = Vec::new();
        let mut expressions = Expressions::new();
        for (i, document) in documents.into_iter().enumerate() {
            let name = document.metadata.name;
            let mut mistakes = compile::mistakes(&name, &document.spec, rules, &mut expressions);
            if policies.iter().any(|p| p.name == name) {
                let path = super::check::Path::of("metadata.name");
                let hint = Some("names are the tie-break of equal priorities and must be unique".to_owned());
                mistakes.push(Mistake { path, message: format!("a policy named `{name}` is already there"), hint });
            }
            match Policy::new(name, document.spec, &expressions) {
                Some(policy) if mistakes.is_empty() => policies.push(Arc::new(policy)),
                _ => wrong.push((i, mistakes)),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self::sorted(policies, expressions))
    }

    /// The policies of several sets together; of those with one name, the last set's counts.
    pub fn combine<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut policies: BTreeMap<&str, &Arc<Policy>> = BTreeMap::new();
        let mut expressions = Expressions::new();
        for set in sets {
            policies.extend(set.policies.iter().map(|policy| (policy.name.as_str(), policy)));
            expressions.extend(set.expressions.iter().map(|(source, compiled)| (source.clone(), compiled.clone())));
        }
        Self::sorted(policies.into_values().cloned().collect(), expressions)
    }

    fn sorted(mut policies: Vec<Arc<Policy>>, expressions: Expressions) -> Self {
        policies.sort_by(|a, b| b.priority().cmp(&a.priority()).then_with(|| a.name.cmp(&b.name)));
        Self { policies, expressions, merges: Mutex::default() }
    }

    /// The policies, highest priority first.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// A compiled expression, by its text.
    pub fn expression(&self, source: &str) -> Option<&Expression> {
        self.expressions.get(source)
    }

    /// Which policies are for a pod, and their merge.
    pub fn select(&self, pod: &StepPod<'_>, scope: &Scope<'_>) -> Selection {
        let mut matching = Vec::new();
        let mut mismatches = Vec::new();
        for (i, policy) in self.policies.iter().enumerate() {
            match policy.mismatch(pod, scope) {
                None => matching.push(i),
                Some(why) => mismatches.push((i, why)),
            }
        }
        let name = |i: usize| self.policies.get(i).map(|p| p.name.clone()).unwrap_or_default();
        Selection {
            effective: self.effective(&matching),
            policies: matching.into_iter().map(name).collect(),
            mismatches: mismatches.into_iter().map(|(i, why)| (name(i), why)).collect(),
        }
    }

    /// What the policies of a namespace want carried from a Workflow to its pods.
    pub fn carried(&self, namespace: &str) -> impl Iterator<Item = (Kind, &str)> {
        self.of(namespace).flat_map(|p| &p.carried).map(|(kind, name)| (*kind, name.as_str()))
    }

    /// Whether a policy of a namespace may look at an incoming trace context.
    pub fn take_context(&self, namespace: &str) -> bool {
        self.of(namespace).any(|p| p.spec.trace_context.incoming != Some(Incoming::Ignore))
    }

    fn of(&self, namespace: &str) -> impl Iterator<Item = &Policy> {
        self.policies.iter().map(Arc::as_ref).filter(move |p| globs_take(&p.spec.r#match.namespaces, namespace))
    }

    fn effective(&self, matching: &[usize]) -> Option<Arc<Effective>> {
        let first = self.policies.get(*matching.first()?)?;
        if matching.len() == 1 {
            return Some(first.alone.clone());
        }
        // A panic while the lock is held cannot leave the map half written: entries are whole or absent.
        if let Some(kept) = self.merges.lock().unwrap_or_else(PoisonError::into_inner).get(matching) {
            return Some(kept.clone());
        }
        let policies = || matching.iter().filter_map(|i| self.policies.get(*i));
        let merged = merge(policies().map(|p| (p.name.as_str(), &p.spec))).ok()?;
        let opt_out = policies().map(|p| opt_out(&p.spec).to_owned()).collect();
        let merged = Arc::new(Effective::new(merged, opt_out, |source| self.expressions.get(source).cloned()));
        let mut kept = self.merges.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_MERGES {
            kept.insert(matching.to_vec(), merged.clone());
        }
        Some(merged)
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.policies.iter().map(|p| &p.name)).finish()
    }
}

impl Policy {
    /// `None` where something of it did not compile; [`compile::mistakes`] says what.
    fn new(name: String, spec: Spec, expressions: &Expressions) -> Option<Self> {
        let compiled = |source: &String| expressions.get(source);
        let when: Vec<_> = spec.r#match.when.iter().map(|s| compiled(s).cloned()).collect::<Option<_>>()?;
        let sources = || spec.correlation.values().flat_map(|c| c.from.iter().flatten());
        let own = sources().filter_map(|s| if let Source::Cel(text) = s { compiled(text) } else { None });
        let read: Vec<References> = when.iter().chain(own).map(Expression::references).collect();
        let carried = sources().filter_map(named).chain(read.iter().flat_map(referenced));
        let carried = carried.map(|(kind, name)| (kind, name.clone())).collect();
        let merged = merge(std::iter::once((name.as_str(), &spec))).ok()?;
        let opt_out = BTreeSet::from([opt_out(&spec).to_owned()]);
        let alone = Arc::new(Effective::new(merged, opt_out, |source| expressions.get(source).cloned()));
        Some(Self { name, spec, when, alone, carried })
    }

    fn priority(&self) -> i32 {
        self.spec.priority.unwrap_or(0)
    }

    /// Why the policy is not for a pod, the cheap questions first; `None` where it is.
    fn mismatch(&self, pod: &StepPod<'_>, scope: &Scope<'_>) -> Option<Mismatch> {
        let Match { namespaces, namespace_selector, pod_selector, templates, when: _ } = &self.spec.r#match;
        if !globs_take(namespaces, pod.namespace) {
            return Some(Mismatch::Namespace);
        }
        if pod_selector.as_ref().is_some_and(|s| !selects(s, |key| pod.label(key))) {
            return Some(Mismatch::PodSelector);
        }
        if !templates.is_empty() && !templates.iter().any(|t| glob_matches(t, &pod.template)) {
            return Some(Mismatch::Template);
        }
        if let Some(selector) = namespace_selector {
            match scope.namespace_labels {
                None => return Some(Mismatch::NamespaceUnknown),
                Some(labels) if !selects_namespace(selector, pod.namespace, labels) => {
                    return Some(Mismatch::NamespaceSelector);
                }
                Some(_) => {}
            }
        }
        for (i, condition) in self.when.iter().enumerate() {
            match condition.test(scope) {
                Ok(true) => {}
                Ok(false) => return Some(Mismatch::Condition(i)),
                Err(error) => return Some(Mismatch::ConditionFailed(i, error.to_string())),
            }
        }
        (pod.annotation(opt_out(&self.spec)) == Some("false")).then_some(Mismatch::OptedOut)
    }
}

/// What a source other than an expression wants carried.
pub(crate) fn named(source: &Source) -> Option<(Kind, &String)> {
    match source {
        Source::Parameter(name) => Some((Kind::Parameter, name)),
        Source::Input(name) => Some((Kind::Input, name)),
        Source::WorkflowLabel(name) => Some((Kind::Label, name)),
        Source::WorkflowAnnotation(name) => Some((Kind::Annotation, name)),
        _ => None,
    }
}

/// What an expression wants carried, as far as it names it.
pub(crate) fn referenced(names: &References) -> impl Iterator<Item = (Kind, &String)> {
    let kinds = [
        (Kind::Parameter, &names.parameters),
        (Kind::Input, &names.inputs),
        (Kind::Label, &names.labels),
        (Kind::Annotation, &names.annotations),
    ];
    kinds.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)))
}

fn opt_out(spec: &Spec) -> &str {
    spec.opt_out.annotation.as_deref().unwrap_or(names::OPT_OUT_ANNOTATION)
}
