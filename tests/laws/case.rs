//! One review: a pod, the policies in force and the place, and what came of it as the API server would see it.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};
use stepspan::admission::{Reviewed, review};
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::PolicyFile;

use crate::dice::Dice;
use crate::{pods, policies};

/// What a review is made of.
#[derive(Debug)]
pub struct Case {
    pub pod: Value,
    pub policies: Vec<Value>,
    pub context: Context,
}

/// What the API server makes of the answer.
pub struct Outcome {
    pub reviewed: Reviewed,
    /// The patch as it stood in the response; empty where there was none.
    pub patch: Value,
    /// The pod after it.
    pub after: Value,
}

pub const NAMESPACE: &str = "builds";

impl Case {
    /// A case drawn from bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut dice = Dice::new(bytes);
        let policies = policies::policies(&mut dice);
        let context = context(&mut dice);
        Self { pod: pods::pod(&mut dice), policies, context }
    }

    /// A pod under the embedded policy.
    pub fn plain(pod: Value) -> Self {
        Self { pod, policies: Vec::new(), context: Context::default() }
    }

    pub fn set(&self) -> PolicySet {
        set(&self.policies, &self.context)
    }

    pub fn run(&self) -> Outcome {
        self.run_on(&self.pod)
    }

    pub fn run_on(&self, pod: &Value) -> Outcome {
        outcome(&body(pod, "Pod"), pod, &self.set(), &self.context)
    }
}

/// Policies as a file would bring them; none is the embedded one.
pub fn set(policies: &[Value], context: &Context) -> PolicySet {
    let rules = Rules { allow_env: context.allow_env.clone() };
    if policies.is_empty() {
        return PolicySet::embedded(&rules).unwrap();
    }
    let file = |(i, p): (usize, &Value)| PolicyFile { name: format!("{i}.yaml"), text: p.to_string() };
    let files: Vec<_> = policies.iter().enumerate().map(file).collect();
    PolicySet::from_files(&files, &rules).unwrap_or_else(|e| panic!("a valid policy was refused: {e}"))
}

/// The AdmissionReview of an object that is being created.
pub fn body(object: &Value, kind: &str) -> Vec<u8> {
    let group = if kind == "Pod" { "" } else { "argoproj.io" };
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "4b200436-f682-45f1-8012-009ae2ba0c1b", "kind": {"group": group, "version": "v1", "kind": kind},
            "namespace": NAMESPACE, "operation": "CREATE", "object": object, "oldObject": null, "dryRun": false,
        },
    });
    serde_json::to_vec(&review).unwrap()
}

/// Reviews bytes, reads the answer as the API server does and applies its patch with another implementation than ours.
pub fn outcome(body: &[u8], before: &Value, set: &PolicySet, context: &Context) -> Outcome {
    let reviewed = review(body, set, context);
    let patch = patch_of(&reviewed);
    let mut after = before.clone();
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
    json_patch::patch(&mut after, &operations).unwrap_or_else(|e| panic!("{e}: {patch}"));
    Outcome { reviewed, patch, after }
}

/// The patch in the response, which must allow.
pub fn patch_of(reviewed: &Reviewed) -> Value {
    let bytes = reviewed.response().unwrap();
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    let response = &answer["response"];
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(response["allowed"], true);
    assert_eq!(response["uid"].as_str(), reviewed.uid.as_deref());
    let Some(patch) = response.get("patch") else {
        assert!(response.get("patchType").is_none());
        return json!([]);
    };
    assert_eq!(response["patchType"], "JSONPatch");
    let text = base64::engine::general_purpose::STANDARD.decode(patch.as_str().unwrap()).unwrap();
    let patch: Value = serde_json::from_slice(&text).unwrap();
    assert!(!patch.as_array().unwrap().is_empty(), "an empty patch is none");
    patch
}

fn context(dice: &mut Dice<'_>) -> Context {
    let mut context = Context::default();
    if dice.often() {
        let labels = BTreeMap::from([("team".to_owned(), dice.label_value()), ("tier".to_owned(), "gold".to_owned())]);
        context.namespaces.insert(NAMESPACE.to_owned(), labels);
    }
    context.injector.openshift = dice.rarely();
    context.injector.shim_metrics = dice.rarely();
    context.injector.node_spans = dice.rarely();
    if dice.often() {
        context.injector.architectures.push("arm64".to_owned());
    }
    // The policies here may set these: see `policies`.
    context.allow_env = vec!["HTTP_PROXY".to_owned(), "MY_*".to_owned()];
    if dice.rarely() {
        context.unresolved = vec!["parameter/repo".to_owned(), "label/repo".to_owned()];
    }
    context
}

/// The entries of a list that may be absent.
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text field, empty where absent.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The words before the user's argv, as we put them there.
pub const SHIM: [&str; 3] = ["/stepspan/stepspan-shim", "run", "--"];

/// Indices of the containers whose command grew by our words.
pub fn shimmed(before: &Value, after: &Value) -> Vec<usize> {
    let pairs = list(&before["spec"], "containers").iter().zip(list(&after["spec"], "containers"));
    let grown = |(a, b): (&Value, &Value)| list(b, "command").len() > list(a, "command").len();
    pairs.enumerate().filter(|(_, (a, b))| grown((a, b))).map(|(i, _)| i).collect()
}
