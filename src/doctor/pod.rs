//! A pod as Argo's controller creates it.

use serde_json::{Value, json};
use stepspan_contract::names;

use crate::{
    admission::{self, Reviewed},
    argo::{Layout, names as argo},
    context::Context,
    policy::PolicySet,
    source::facts::Labels,
};

/// No workflow has it; nothing that is stored ever will.
const UID: &str = "00000000-0000-4000-8000-000000000000";
const WORKFLOW: &str = "stepspan-doctor";

/// What the pod is made of.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// The layout of the pods that are there.
    pub layout: Layout,
    /// The image of all its containers: Argo's executor, which must be allowed anyway.
    pub image: &'a str,
    /// Every container says what it needs.
    pub resources: bool,
    /// It asks to be left alone by us.
    pub opted_out: bool,
}

/// The pod, within Pod Security "restricted", as an Argo that is configured for it makes it.
pub fn pod(shape: Shape<'_>) -> Value {
    let executor = match shape.layout {
        Layout::InitContainer => "/var/run/argo/argoexec",
        Layout::InitLess => "/argo-bin/bin/argoexec",
    };
    let template = json!({"name": "check", "inputs": {}, "outputs": {}, "metadata": {},
        "container": {"name": "", "image": shape.image, "command": ["true"], "resources": {}}})
    .to_string();
    let log = ["--loglevel", "info", "--log-format", "text", "--gloglevel", "0"];
    let command = |words: &[&str]| words.iter().chain(&log).map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut main = container("main", &command(&[executor, "emissary"]), shape);
    if let Some(words) = main["command"].as_array_mut() {
        words.extend(["--".into(), "true".into()]);
    }
    let mut volumes =
        vec![json!({"name": "var-run-argo", "emptyDir": {}}), json!({"name": "tmp-dir-argo", "emptyDir": {}})];
    let mut spec = json!({
        "restartPolicy": "Never", "serviceAccountName": "default", "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 8737, "seccompProfile": {"type": "RuntimeDefault"}},
    });
    let own = match shape.layout {
        Layout::InitContainer => {
            let mut init = container("init", &command(&["argoexec", "init"]), shape);
            init["env"] = env("init", Some(&template));
            spec["initContainers"] = json!([init]);
            container("wait", &command(&["argoexec", "wait"]), shape)
        }
        Layout::InitLess => {
            volumes.push(
                json!({"name": "argoexec-bin", "image": {"reference": shape.image, "pullPolicy": "IfNotPresent"}}),
            );
            push(
                &mut main["volumeMounts"],
                json!({"name": "argoexec-bin", "mountPath": "/argo-bin", "readOnly": true}),
            );
            let mut supervisor = container("supervisor", &command(&["argoexec", "supervisor"]), shape);
            supervisor["env"] = env("supervisor", Some(&template));
            supervisor
        }
    };
    spec["containers"] = json!([own, main]);
    spec["volumes"] = volumes.into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(shape), "spec": spec})
}

/// The pod's labels.
pub fn labels() -> Labels {
    [(argo::WORKFLOW_LABEL, WORKFLOW), ("workflows.argoproj.io/completed", "false")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn metadata(shape: Shape<'_>) -> Value {
    let mut annotations = json!({"kubectl.kubernetes.io/default-container": "main",
        argo::NODE_ID_ANNOTATION: format!("{WORKFLOW}-1"), argo::NODE_NAME_ANNOTATION: format!("{WORKFLOW}.check")});
    if shape.layout == Layout::InitLess {
        annotations[argo::TRACE_ID_ANNOTATION] = "00000000000000000000000000000001".into();
    }
    if shape.opted_out {
        annotations[names::OPT_OUT_ANNOTATION] = "false".into();
    }
    // Without blockOwnerDeletion, which would need a right on Workflows.
    let owner = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": WORKFLOW, "uid": UID, "controller": true});
    json!({"name": format!("{WORKFLOW}-check-1000000001"), "labels": labels(), "annotations": annotations, "ownerReferences": [owner]})
}

fn container(name: &str, command: &[String], shape: Shape<'_>) -> Value {
    let resources = if shape.resources {
        json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}})
    } else {
        json!({})
    };
    json!({
        "name": name, "image": shape.image, "command": command, "env": env(name, None), "resources": resources,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "var-run-argo", "mountPath": "/var/run/argo"}],
    })
}

fn env(container: &str, template: Option<&str>) -> Value {
    let mut env = json!([{"name": "ARGO_CONTAINER_NAME", "value": container}, {"name": argo::NODE_ID_ENV, "value": format!("{WORKFLOW}-1")}]);
    if let Some(template) = template {
        push(&mut env, json!({"name": argo::TEMPLATE_ENV, "value": template}));
    }
    env
}

fn push(list: &mut Value, value: Value) {
    if let Value::Array(list) = list {
        list.push(value);
    }
}

/// What our evaluator says of the pod: offline it is the same as online.
pub fn review(pod: &Value, namespace: &str, policies: &PolicySet, context: &Context) -> Reviewed {
    let review = json!({
        "apiVersion": admission::API_VERSION, "kind": "AdmissionReview",
        "request": {"uid": UID, "operation": "CREATE", "namespace": namespace, "dryRun": true, "object": pod,
            "kind": {"group": "", "version": "v1", "kind": "Pod"}},
    });
    admission::review(review.to_string().as_bytes(), policies, context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::Outcome,
        argo::{PodKind, StepPod},
        json::Json,
        policy::compile::Rules,
    };

    #[test]
    fn the_evaluator_takes_it_for_a_step_of_either_layout() {
        let policies = PolicySet::embedded(&Rules::default()).unwrap();
        for layout in [Layout::InitContainer, Layout::InitLess] {
            let shape = Shape { layout, image: "registry.example/argoexec:v3.7.3", resources: true, opted_out: false };
            let made = pod(shape);
            let raw = Json::from(made.clone());
            let step = StepPod::read(&raw, "ci").unwrap();
            assert_eq!((step.kind, step.layout, &*step.template), (PodKind::Step, layout, "check"));
            assert!(step.steps().all(|container| container.user_argv.is_some()));
            let reviewed = review(&made, "ci", &policies, &Context::default());
            assert_eq!(reviewed.outcome, Outcome::Injected, "{:?}", reviewed.reason);
            let opted_out = review(&pod(Shape { opted_out: true, ..shape }), "ci", &policies, &Context::default());
            assert_eq!(opted_out.outcome, Outcome::Skipped);
        }
    }
}
