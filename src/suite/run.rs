//! A case -> its step, reviewed -> what is not as it should be.

use std::path::Path;

use serde_json::Value;

use super::load::{GIVER, Loaded, manifests};
use super::spec::{Case, Input};
use super::{Failure, Outcome, laws};
use crate::admission::explain::{Explanation, explain};
use crate::admission::{self, Reviewed, review};
use crate::argo::StepPod;
use crate::argo::expand::{Library, source};
use crate::context::Context;
use crate::json::Json;
use crate::offline::{Expander, each, pod_review};
use crate::patch;

/// A step that was reviewed.
#[derive(Debug)]
pub struct Looked {
    /// Its namespace.
    pub namespace: String,
    /// The AdmissionReview, where it came in one.
    pub asked: Option<Value>,
    /// The pod as it came.
    pub before: Value,
    /// The pod, patched.
    pub after: Value,
    /// The review.
    pub reviewed: Reviewed,
    /// What led to it.
    pub explanation: Explanation,
}

impl Looked {
    /// Bytes by which the pod's JSON grows.
    pub(super) fn growth(&self) -> usize {
        let size = |pod: &Value| pod.to_string().len();
        size(&self.after).saturating_sub(size(&self.before))
    }

    /// Whether the patched pod has a container of that name.
    pub(super) fn has(&self, container: &str) -> bool {
        let containers = self.after["spec"]["containers"].as_array();
        containers.is_some_and(|all| all.iter().any(|of| of["name"] == container))
    }

    /// A variable of the patched pod, as the kubelet takes it: the last of several.
    pub(super) fn variable(&self, container: &str, name: &str) -> Option<Given> {
        let containers = self.after["spec"]["containers"].as_array()?;
        let container = containers.iter().find(|of| of["name"] == container)?;
        let entry = container["env"].as_array()?.iter().rev().find(|entry| entry["name"] == name)?;
        Some(match &entry["valueFrom"] {
            Value::Null => Given::Text(entry["value"].as_str().unwrap_or_default().to_owned()),
            from => Given::Elsewhere(origin(from)),
        })
    }

    /// The bytes of a second look: what was asked once more, of what has become of the object.
    pub(super) fn again(&self) -> Vec<u8> {
        let Some(mut asked) = self.asked.clone() else { return pod_review(&self.namespace, &self.after) };
        if let Some(Value::Object(request)) = asked.get_mut("request") {
            request.insert("object".to_owned(), self.after.clone());
        }
        asked.to_string().into_bytes()
    }
}

/// What a container is given for a variable.
#[derive(Debug)]
pub(super) enum Given {
    /// A text of the pod.
    Text(String),
    /// What only the kubelet knows, by its place.
    Elsewhere(String),
}

impl Given {
    /// Whether it is this text, or nothing. What comes from elsewhere is equal to no text.
    pub(super) fn is(found: Option<&Self>, text: Option<&str>) -> bool {
        match found {
            None => text.is_none(),
            Some(Self::Text(found)) => text == Some(found.as_str()),
            Some(Self::Elsewhere(_)) => false,
        }
    }

    /// As it is told.
    pub(super) fn told(&self) -> &str {
        let (Self::Text(text) | Self::Elsewhere(text)) = self;
        text
    }
}

/// The place that a `valueFrom` names, in words.
fn origin(from: &Value) -> String {
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let entry = |kind: &str, of: &Value| format!("from the {kind} {}, key {}", text(of, "name"), text(of, "key"));
    let known = from.as_object().into_iter().flatten().find_map(|(kind, of)| match kind.as_str() {
        "secretKeyRef" => Some(entry("Secret", of)),
        "configMapKeyRef" => Some(entry("ConfigMap", of)),
        "fieldRef" => Some(format!("from the field {}", text(of, "fieldPath"))),
        "resourceFieldRef" => Some(format!("from the resource {}", text(of, "resource"))),
        _ => None,
    });
    known.unwrap_or_else(|| "from elsewhere".to_owned())
}

/// Runs a case.
pub fn case(suite: &Loaded, line: usize, case: &Case) -> (Outcome, Option<Looked>) {
    let context = case.context.as_ref().unwrap_or(&suite.context);
    let mut outcome = Outcome { case: case.name.clone(), line, failures: Vec::new(), explanation: Vec::new() };
    let subject = match subject(suite, &case.input, context) {
        Ok(subject) => subject,
        Err(why) => {
            outcome.failures.push(Failure::new("input", "a step", why));
            return (outcome, None);
        }
    };
    let context = Context { unresolved: subject.unresolved, ..context.clone() };
    let reviewed = review(&subject.review, &suite.policies, &context);
    let explanation = explain(&subject.review, &suite.policies, &context, &reviewed);
    let mut after = subject.pod.clone();
    if let Err(path) = patch::apply(&mut after, &reviewed.patch) {
        outcome.failures.push(Failure::new("law: never refusable", "a patch that applies", path));
    }
    let namespace = reviewed.namespace.clone();
    let looked = Looked { namespace, asked: subject.asked, before: subject.pod, after, reviewed, explanation };
    outcome.failures.extend(case.expect.failures(&looked));
    outcome.failures.extend(laws::failures(&looked, &suite.policies, &context));
    outcome.explanation = told(&looked);
    (outcome, Some(looked))
}

/// What is reviewed.
struct Subject {
    review: Vec<u8>,
    /// The AdmissionReview, where it came in one.
    asked: Option<Value>,
    namespace: String,
    pod: Value,
    unresolved: Vec<String>,
    /// What Argo would refuse of the Workflow it is of.
    problem: Option<String>,
}

impl Subject {
    fn pod(pod: Value, namespace: &str) -> Self {
        let own = pod["metadata"]["namespace"].as_str().unwrap_or(namespace).to_owned();
        let review = pod_review(&own, &pod);
        Self { review, asked: None, namespace: own, pod, unresolved: Vec::new(), problem: None }
    }

    /// What an AdmissionReview is about.
    fn of_review(asked: &Value, namespace: &str) -> Self {
        let request = &asked["request"];
        let own = request["namespace"].as_str().unwrap_or(namespace);
        let review = asked.to_string().into_bytes();
        Self { review, asked: Some(asked.clone()), ..Self::pod(request["object"].clone(), own) }
    }
}

/// The manifests of an input.
fn inputs(folder: &Path, input: &Input) -> Result<Vec<Value>, String> {
    match (&input.file, &input.manifest) {
        (Some(file), None) => manifests(&folder.join(file)).map_err(|mistake| mistake.to_string()),
        (None, Some(manifest)) => {
            let mut all = Vec::new();
            each(manifest.clone(), &mut |one| all.push(one));
            Ok(all)
        }
        _ => Err("an input has either `file` or `manifest`".to_owned()),
    }
}

/// The step that an input is about.
fn subject(suite: &Loaded, input: &Input, context: &Context) -> Result<Subject, String> {
    let all = inputs(suite.file.parent().unwrap_or(Path::new(".")), input)?;
    let namespace = input.namespace();
    let mut library = suite.libraries.get(namespace).cloned().unwrap_or_else(|| Library::filled_by(GIVER));
    for manifest in &all {
        library.take(manifest, namespace);
    }
    let expander = Expander { library, settings: suite.settings.clone(), only: false };
    let expand = |manifest: &Value, steps: &mut Vec<Subject>, problems: &mut Vec<String>| {
        let found = expander.pods(manifest, namespace, &suite.policies, context);
        let problem = found.problems.first().map(|problem| problem.message.clone());
        steps.extend(found.pods.into_iter().map(|expanded| Subject {
            unresolved: expanded.unresolved,
            problem: problem.clone(),
            ..Subject::pod(expanded.pod, namespace)
        }));
        problems.extend(problem);
    };
    let (mut steps, mut problems, mut templates) = (Vec::new(), Vec::new(), Vec::new());
    for manifest in &all {
        let kind = manifest["kind"].as_str().unwrap_or_default();
        let version = manifest["apiVersion"].as_str().unwrap_or_default();
        match (version, kind) {
            ("v1", "Pod") => steps.push(Subject::pod(manifest.clone(), namespace)),
            (admission::API_VERSION, "AdmissionReview") => steps.push(Subject::of_review(manifest, namespace)),
            (version, kind) if !source::is_source(version, kind) => {}
            (_, kind) if source::is_template(kind) => templates.push(manifest),
            _ => expand(manifest, &mut steps, &mut problems),
        }
    }
    // Templates count only where there is nothing else: by themselves they may lack what Workflows give them.
    if steps.is_empty() && problems.is_empty() {
        for manifest in templates {
            expand(manifest, &mut steps, &mut problems);
        }
    }
    let problem = problems.into_iter().next();
    match (chosen(steps, input), problem) {
        // What Argo would refuse of another Workflow is nothing to a step that is named.
        (Ok(found), _) if found.problem.is_none() && input.step.is_some() => Ok(found),
        (found, None) => found,
        (_, Some(problem)) => Err(problem),
    }
}

/// The step with that name; the only one where none is asked for.
fn chosen(steps: Vec<Subject>, input: &Input) -> Result<Subject, String> {
    let names: Vec<[String; 3]> = steps.iter().map(|step| names(&step.pod)).collect();
    let listed = || names.iter().map(|[_, node, _]| node.as_str()).collect::<Vec<_>>().join(", ");
    let wanted = input.step.as_deref();
    let mut fits: Vec<usize> = match wanted {
        None => (0..steps.len()).collect(),
        Some(wanted) => {
            let fits = |name: &[String; 3]| name.iter().any(|name| name == wanted);
            names.iter().enumerate().filter(|(_, name)| fits(name)).map(|(at, _)| at).collect()
        }
    };
    if let Some(namespace) = input.namespace.as_ref().filter(|_| fits.len() > 1) {
        fits.retain(|at| steps[*at].namespace == *namespace);
    }
    match (fits.as_slice(), wanted) {
        ([at], _) => steps.into_iter().nth(*at).ok_or_else(String::new),
        _ if steps.is_empty() => {
            Err("there is no step in it: Pod, AdmissionReview and Argo's kinds are taken".to_owned())
        }
        ([], Some(wanted)) => Err(format!("there is no step {wanted:?}; there are {}", listed())),
        (_, None) => Err(format!("there are several steps, and `step` names none: {}", listed())),
        (_, Some(wanted)) => Err(format!(
            "{wanted:?} is the name of several steps; give the node's name, or `namespace` where they are in several: {}",
            listed()
        )),
    }
}

/// Names of a step: its own, its node's, its pod's.
fn names(pod: &Value) -> [String; 3] {
    let json = Json::from(pod.clone());
    let read = StepPod::read(&json, "");
    let step = read.as_ref().and_then(|pod| pod.step_name().map(str::to_owned)).unwrap_or_default();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let node = read.as_ref().and_then(|pod| pod.node_name).map_or_else(|| name.clone(), str::to_owned);
    [step, node, name]
}

/// Why the step was treated so.
fn told(looked: &Looked) -> Vec<String> {
    let decision = &looked.reviewed.decision;
    let reason = looked.reviewed.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut lines = vec![format!("{}{reason}", looked.reviewed.outcome.label())];
    lines.extend(decision.policies.iter().map(|name| format!("{name} matches")));
    lines.extend(decision.mismatches.iter().map(|(name, why)| format!("{name} does not match: {why}")));
    lines.extend(decision.values.iter().filter_map(|value| {
        Some(format!("{} = {} from {}", value.key, value.value.as_ref()?, value.source.as_ref()?))
    }));
    lines
}
