//! What all that works without a cluster shares: reviews of pods that nobody asked for, and Workflows -> the pods that Argo would create,
//! each to be reviewed as any other.
//!
//! The Workflow itself goes through the evaluator first, as it does online: what it then carries reaches the pods by expansion.

use serde_json::{Value, json};

use crate::admission::{API_VERSION, review};
use crate::argo::expand::execution::RANDOM;
use crate::argo::expand::{self, Library, Node, Place, Problem, Refused, Settings, source};
use crate::context::Context;
use crate::patch;
use crate::policy::PolicySet;

/// Takes a manifest, or the items of a List: the API server itself leaves version and kind out of those of a typed one.
pub fn each(mut manifest: Value, take: &mut dyn FnMut(Value)) {
    let text = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let Some(Value::Array(items)) = manifest.get_mut("items").filter(|items| items.is_array()).map(Value::take) else {
        return take(manifest);
    };
    let of = kind.strip_suffix("List").unwrap_or_default();
    for mut item in items {
        if let Value::Object(fields) = &mut item
            && !of.is_empty()
        {
            fields.entry("apiVersion").or_insert_with(|| version.clone().into());
            fields.entry("kind").or_insert_with(|| of.into());
        }
        each(item, take);
    }
}

/// What expansion is told.
#[derive(Debug, Default)]
pub struct Expander {
    /// What Workflows may refer to.
    pub library: Library,
    /// How the controller is set up.
    pub settings: Settings,
    /// Pods are printed as the controller creates them, without injection.
    pub only: bool,
}

/// A pod of a Workflow.
#[derive(Debug)]
pub struct Expanded {
    /// The pod.
    pub pod: Value,
    /// What has to be for it to be created.
    pub conditions: Vec<String>,
    /// Sources of values that only the run knows.
    pub unresolved: Vec<String>,
}

/// What a manifest came to.
#[derive(Debug, Default)]
pub struct Pods {
    /// The pods, in the order in which the steps are written.
    pub pods: Vec<Expanded>,
    /// What Argo would refuse.
    pub problems: Vec<Mistake>,
    /// All that the Workflow comes to, with and without a pod.
    pub nodes: Nodes,
}

/// The nodes of a Workflow.
#[derive(Debug, Default)]
pub struct Nodes {
    /// The Workflow's name, with which those of its nodes begin.
    pub workflow: String,
    /// The nodes, each after the one it is a part of.
    pub all: Vec<Node>,
}

/// What Argo would refuse of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Of what, and why.
    pub message: String,
    /// Where in the manifest.
    pub place: Place,
}

impl Expander {
    /// Expands a manifest.
    pub fn pods(&self, manifest: &Value, namespace: &str, policies: &PolicySet, context: &Context) -> Pods {
        let name = manifest["metadata"]["name"].as_str().or(manifest["metadata"]["generateName"].as_str());
        let what = format!("{} {}", manifest["kind"].as_str().unwrap_or_default(), name.unwrap_or_default());
        if source::is_library(manifest) {
            return Pods::default();
        }
        let mut workflow = source::workflow(manifest);
        if !self.only {
            carry(&mut workflow, namespace, policies, context);
        }
        let expansion = match expand::expand(&workflow, namespace, &self.library, &self.settings) {
            Ok(expansion) => expansion,
            Err(Refused { message, place }) => {
                let mistake = Mistake { message: format!("{what}: {message}"), place };
                return Pods { problems: vec![mistake], ..Pods::default() };
            }
        };
        let conditions = |node| expansion.conditions(node).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let nodes: Vec<_> = expansion.pods.iter().map(|pod| conditions(pod.node)).collect();
        let pods = expansion.pods.into_iter().zip(nodes);
        let pods = pods.map(|(pod, conditions)| Expanded { pod: pod.object, conditions, unresolved: pod.unresolved });
        let mistake = |problem: Problem| {
            let message = format!("{what}: {}: {}", problem.node, problem.message);
            Mistake { message, place: problem.place }
        };
        let problems = expansion.problems.into_iter().map(mistake).collect();
        let nodes = Nodes { workflow: full_name(&workflow), all: expansion.nodes };
        Pods { pods: pods.collect(), problems, nodes }
    }
}

/// A Workflow's name, as far as it is known.
fn full_name(workflow: &Value) -> String {
    let named = |field: &str| workflow["metadata"][field].as_str().filter(|name| !name.is_empty());
    let made_up = || format!("{}{RANDOM}", named("generateName").unwrap_or_default());
    named("name").map_or_else(made_up, str::to_owned)
}

/// The review of a Pod's creation, as the API server asks it.
pub fn pod_review(namespace: &str, pod: &Value) -> Vec<u8> {
    review_of(namespace, &json!({"group": "", "version": "v1", "kind": "Pod"}), pod)
}

fn review_of(namespace: &str, kind: &Value, object: &Value) -> Vec<u8> {
    let asked = json!({
        "apiVersion": API_VERSION,
        "kind": "AdmissionReview",
        "request": {
            "uid": "offline",
            "kind": kind,
            "operation": "CREATE",
            "dryRun": true,
            "namespace": namespace,
            "object": object,
        },
    });
    asked.to_string().into_bytes()
}

/// Adds what the webhook adds to a Workflow when it is created.
fn carry(workflow: &mut Value, namespace: &str, policies: &PolicySet, context: &Context) {
    let namespace = workflow["metadata"]["namespace"].as_str().unwrap_or(namespace).to_owned();
    let kind = json!({"group": "argoproj.io", "version": "v1alpha1", "kind": "Workflow"});
    let reviewed = review(&review_of(&namespace, &kind, workflow), policies, context);
    // The evaluator has proven that its patch applies.
    let _ = patch::apply(workflow, &reviewed.patch);
}
