//! The pod that makes the requests of `http` templates and calls plugins: one a Workflow (`workflow/controller/agent.go`).

use serde_json::{Value, json};

use super::execution::Execution;
use super::library::Library;
use super::merge::{Into, merge};
use super::pod::{self, log_options, minimal_security};
use super::raw::{kept, list, push, text};
use super::settings::Settings;
use super::{Expansion, Node, NodeKind, Place, Predicted, Problem, node, shape, unresolved};
use crate::yaml;

/// What stands for the name of the token's volume: the controller makes it up, so that plugins cannot know it.
const TOKEN: &str = "kube-api-access-{{random}}";

/// Adds the agent's pod, where there are requests for it.
pub(super) fn pod(out: &mut Expansion, execution: &Execution, library: &Library, settings: &Settings) {
    let requests = out.nodes.iter().enumerate().filter(|(_, node)| node.kind == NodeKind::Request);
    let mut conditions = requests.map(|(at, _)| out.conditions(at).join(", and "));
    let Some(first) = conditions.next() else { return };
    // One that surely runs is enough.
    let sure = first.is_empty() || conditions.any(|condition| condition.is_empty());
    let condition = (!sure).then_some(first);
    // Its node's name has nothing of the Workflow's, so that its digits are known.
    let name = format!("{}-agent", node::id(&execution.name, "agent"));
    let secret = library.token(&execution.namespace, text(&execution.spec, "serviceAccountName"));
    let mut made = bare(&name, &secret, execution, settings);
    if let Err(message) = placed(&mut made, execution, settings) {
        out.problems.push(Problem { node: name, message, place: Place::default() });
        return;
    }
    let pod = Some(out.pods.len());
    out.nodes.push(Node { name, kind: NodeKind::Agent, template: String::new(), parent: None, condition, pod });
    let unresolved = unresolved::sources(&made, &Value::Null, execution);
    out.pods.push(Predicted { object: made, node: out.nodes.len() - 1, unresolved });
}

fn container(name: &str, execution: &Execution, settings: &Settings) -> Value {
    let args: Value = ["agent", name].into_iter().chain(log_options()).map(Value::from).collect();
    let mut container = json!({
        "name": name,
        "image": settings.executor_image,
        "command": ["argoexec"],
        "args": args,
        "env": [
            {"name": "ARGO_WORKFLOW_NAME", "value": execution.name},
            {"name": "ARGO_WORKFLOW_UID", "value": execution.uid},
            {"name": "ARGO_AGENT_PATCH_RATE", "value": "10s"},
            {"name": "ARGO_PLUGIN_ADDRESSES", "value": "null"},
            {"name": "ARGO_PLUGIN_NAMES", "value": "null"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "64M"}, "limits": {"cpu": "100m", "memory": "256M"}},
        "securityContext": minimal_security(),
        "volumeMounts": [
            {"name": "var-run-argo", "mountPath": "/var/run/argo"},
            {"name": TOKEN, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
        ],
    });
    if let Some(policy) = kept(&settings.executor, "imagePullPolicy") {
        container["imagePullPolicy"] = policy.clone();
    }
    container
}

/// The pod as every Workflow has it.
fn bare(name: &str, secret: &str, execution: &Execution, settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": execution.namespace,
            "labels": {
                "workflows.argoproj.io/workflow": execution.name,
                "workflows.argoproj.io/completed": "false",
                "workflows.argoproj.io/component": "agent",
            },
            "annotations": {"kubectl.kubernetes.io/default-container": "main"},
            "ownerReferences": pod::owner(execution),
        },
        "spec": {
            "restartPolicy": "OnFailure",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 8737, "seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": false,
            "volumes": [{"name": "var-run-argo", "emptyDir": {}}, {"name": TOKEN, "secret": {"secretName": secret}}],
            "initContainers": [container("init", execution, settings)],
            "containers": [container("main", execution, settings)],
        },
    })
}

/// What the Workflow says of all its pods.
fn placed(made: &mut Value, execution: &Execution, settings: &Settings) -> Result<(), String> {
    let spec = &execution.spec;
    pod::add_metadata(made, spec, &Value::Null);
    if !settings.instance_id.is_empty() {
        made["metadata"]["labels"]["workflows.argoproj.io/controller-instanceid"] = settings.instance_id.clone().into();
    }
    let pod_spec = &mut made["spec"];
    for field in ["serviceAccountName", "dnsPolicy", "dnsConfig"] {
        if let Some(value) = kept(spec, field) {
            pod_spec[field] = value.clone();
        }
    }
    push(pod_spec, "imagePullSecrets", list(spec, "imagePullSecrets").iter().cloned());
    pod::schedule(pod_spec, spec, &Value::Null, None);
    if let Some(patch) = kept(spec, "podSpecPatch").and_then(Value::as_str) {
        let patch = yaml::read(patch, 1).map_err(|error| format!("podSpecPatch: {error}"))?;
        *pod_spec = merge(pod_spec, &patch, Into::PodSpec);
        shape::check(pod_spec).map_err(|error| format!("podSpecPatch: {error}"))?;
    }
    Ok(())
}
