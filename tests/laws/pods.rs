//! Pods as the controllers of 3.7 and 4.1 make them, and as nobody should: kinds, layouts, metadata, and faults on top.

mod containers;

use serde_json::{Map, Value, json};

use self::containers::{Step, argo_container, step_container};
use crate::dice::Dice;

/// How the executor comes into the pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    Init37,
    Init41,
    InitLess,
}

/// What the pod runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Main,
    ContainerSet,
    Resource,
    Data,
    Agent,
    ArtifactGc,
}

/// What all parts of one pod agree on.
pub struct Facts {
    pub layout: Layout,
    pub kind: Kind,
    pub workflow: String,
    pub uid: String,
    pub node_id: String,
    pub node_name: String,
    pub template: String,
}

/// The pods written by hand, in the exact shape of stored ones: name and pod.
pub fn recorded() -> Vec<(&'static str, Value)> {
    let files = [
        ("container-3.7", include_str!("pods/container-3.7.json")),
        ("script-retry-3.7", include_str!("pods/script-retry-3.7.json")),
        ("container-set-3.7", include_str!("pods/container-set-3.7.json")),
        ("sidecar-daemon-4.1", include_str!("pods/sidecar-daemon-4.1.json")),
        ("init-less-4.1", include_str!("pods/init-less-4.1.json")),
        ("resource-4.1", include_str!("pods/resource-4.1.json")),
        ("agent-3.7", include_str!("pods/agent-3.7.json")),
        ("artifact-gc-3.7", include_str!("pods/artifact-gc-3.7.json")),
    ];
    files.map(|(name, text)| (name, serde_json::from_str(text).unwrap())).into()
}

/// Any pod.
pub fn pod(dice: &mut Dice<'_>) -> Value {
    let facts = facts(dice);
    let mut metadata = metadata(dice, &facts);
    let mut spec = spec(dice, &facts);
    if dice.rarely() {
        metadata["futureField"] = json!({"b": 1.0, "a": 18_446_744_073_709_551_615_u64, "c": [-0.0, 1e-7, null]});
    }
    if dice.rarely() {
        spec["zFuture"] = json!([{"deep": {"er": {"x": "~1", "a/b": 2}}}]);
    }
    forge(dice, &mut metadata, &mut spec);
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}})
}

fn facts(dice: &mut Dice<'_>) -> Facts {
    let layout = dice.pick(&[Layout::Init37, Layout::Init41, Layout::InitLess]);
    let kinds = [Kind::Main, Kind::ContainerSet, Kind::Main, Kind::Main, Kind::ContainerSet, Kind::Main];
    let other = [Kind::Resource, Kind::Data, Kind::Agent, Kind::ArtifactGc];
    let kind = if dice.byte() > 200 { dice.pick(&other) } else { dice.pick(&kinds) };
    let workflow = dice.pick(&["ci-x7k2q", "nightly-1763690745", "wf", "deploy.prod"]).to_owned();
    let step = dice.pick(&["build", "verify-unit", "b_1"]);
    let tail = dice.pick(&["", "(0)", "(0:v1.2.3)", "(3:repo:a.b,x:(y))(1)", "(0:$(TOKEN)✨)"]);
    let node_name = if dice.rarely() { workflow.clone() } else { format!("{workflow}[0].{step}{tail}") };
    let uid = dice.pick(&["8d63ca73-369e-4578-96fd-5199f99dd77e", "0630fef2-f997-4b40-86aa-9e400921e509"]).to_owned();
    let node_id = format!("{workflow}-{}", crate::identity::fnv(&node_name));
    let template = dice.pick(&["build", "verify-a", "never", "模板"]).to_owned();
    Facts { layout, kind, workflow, uid, node_id, node_name, template }
}

fn metadata(dice: &mut Dice<'_>, facts: &Facts) -> Value {
    let mut labels =
        json!({"workflows.argoproj.io/completed": "false", "workflows.argoproj.io/workflow": facts.workflow});
    match facts.kind {
        Kind::Agent => labels["workflows.argoproj.io/component"] = json!("agent"),
        Kind::ArtifactGc => labels["workflows.argoproj.io/component"] = json!("artifact-gc"),
        _ => {}
    }
    for key in ["repo", "pr", "prNumber", "taskId", "user/label", "tier", "team", "acme.io/tier"] {
        if dice.rarely() {
            labels[key] = json!(dice.label_value());
        }
    }
    let mut metadata = json!({"namespace": crate::case::NAMESPACE, "labels": labels});
    let name = format!("{}-{}-2320800586", facts.workflow, facts.template.replace("模板", "x"));
    if dice.rarely() {
        metadata["generateName"] = json!(format!("{}-", facts.workflow));
    } else {
        metadata["name"] = json!(name);
    }
    metadata["annotations"] = annotations(dice, facts);
    if dice.rarely() {
        metadata.as_object_mut().unwrap().shift_remove("annotations");
    }
    if !dice.rarely() {
        metadata["ownerReferences"] = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "name": facts.workflow, "uid": facts.uid, "controller": true, "blockOwnerDeletion": true}]);
    }
    if dice.often() {
        metadata["managedFields"] = json!([{"manager": "workflow-controller", "fieldsV1": {"f:metadata": {".": {}}}}]);
    }
    metadata
}

fn annotations(dice: &mut Dice<'_>, facts: &Facts) -> Value {
    let mut all = json!({"kubectl.kubernetes.io/default-container": "main"});
    if facts.kind != Kind::Agent {
        let forged = dice.rarely() && dice.rarely();
        all["workflows.argoproj.io/node-id"] = json!(if forged { dice.text() } else { facts.node_id.clone() });
        all["workflows.argoproj.io/node-name"] = json!(facts.node_name);
    }
    if facts.layout == Layout::Init41 || (facts.layout == Layout::InitLess && dice.often()) {
        all["workflows.argoproj.io/trace-id"] = json!("d7bd4a9189f3fff41074794dc3e7e435");
        all["workflows.argoproj.io/span-id"] = json!("681c76eda981c874");
    }
    let carriers = ["p.repo", "p.pr", "i.msg", "i.odd_name-1", "l.repo", "l.acme.io", "a.note", "a.repo", "p.unknown"];
    for carrier in carriers {
        if dice.rarely() {
            all[format!("stepspan.dev/{carrier}")] = json!(dice.text());
        }
    }
    if dice.rarely() {
        all["stepspan.dev/i.msg"] = json!("{{=(inputs.parameters['msg'] ?? '')[0:1024]}}");
    }
    let parents = [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "$(TOKEN)",
    ];
    for key in ["traceparent", "stepspan.dev/a.traceparent"] {
        if dice.rarely() {
            all[key] = json!(dice.pick(&parents));
        }
    }
    for key in ["user-note", "acme.io/free", "acme.io/repo", "acme.io/note", "commitSha", "ref"] {
        if dice.rarely() {
            all[key] = json!(dice.text());
        }
    }
    all
}

fn spec(dice: &mut Dice<'_>, facts: &Facts) -> Value {
    let mut containers = step_containers(dice, facts);
    let helper = if facts.layout == Layout::InitLess { "supervisor" } else { "wait" };
    if matches!(facts.kind, Kind::Main | Kind::ContainerSet) {
        containers.insert(0, argo_container(helper, facts));
    }
    if dice.rarely() {
        containers.push(argo_container("artifact-plugin-x", facts));
    }
    let mut spec = Map::new();
    let claim = json!({"name": "kube-api-access-x", "projected": {"sources": [], "defaultMode": 420}});
    let disk = json!({"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}});
    let mut volumes = vec![json!({"name": "var-run-argo", "emptyDir": {}}), claim, disk];
    volumes.extend(["data", "my"].map(|name| json!({"name": name, "emptyDir": {"sizeLimit": "1Gi"}})));
    spec.insert("volumes".to_owned(), json!(volumes));
    let with_init = facts.layout != Layout::InitLess && !matches!(facts.kind, Kind::Agent | Kind::ArtifactGc);
    if with_init {
        let mut init = vec![argo_container("init", facts)];
        if dice.rarely() {
            init.insert(
                0,
                json!({"name": "user-init", "image": "busybox", "resources": {}, "restartPolicy": "Always"}),
            );
        }
        spec.insert("initContainers".to_owned(), json!(init));
    }
    spec.insert("containers".to_owned(), json!(containers));
    spec.insert("restartPolicy".to_owned(), json!("Never"));
    placement(dice, &mut spec);
    let contexts =
        [json!({}), json!({"runAsUser": 0}), json!({"runAsUser": 1000, "runAsNonRoot": true}), json!({"fsGroup": 0})];
    spec.insert("securityContext".to_owned(), dice.pick(&contexts));
    Value::Object(spec)
}

fn step_containers(dice: &mut Dice<'_>, facts: &Facts) -> Vec<Value> {
    match facts.kind {
        Kind::Main => {
            let mut all = vec![step_container(dice, facts, "main", Step::User)];
            for name in ["influxdb", "proxy"] {
                if dice.rarely() {
                    all.push(step_container(dice, facts, name, Step::User));
                }
            }
            all
        }
        Kind::ContainerSet => {
            containers::SET.iter().map(|name| step_container(dice, facts, name, Step::User)).collect()
        }
        Kind::Resource => vec![step_container(dice, facts, "main", Step::Executor("resource"))],
        Kind::Data => vec![step_container(dice, facts, "main", Step::Executor("data"))],
        Kind::Agent => {
            vec![json!({"name": "main", "image": "argoexec", "command": ["argoexec"], "args": ["agent", "main"]})]
        }
        Kind::ArtifactGc => {
            vec![json!({"name": "main", "image": "argoexec", "command": ["argoexec", "artifact", "delete"]})]
        }
    }
}

fn placement(dice: &mut Dice<'_>, spec: &mut Map<String, Value>) {
    if dice.rarely() {
        let selectors = [
            json!({"kubernetes.io/arch": "amd64"}),
            json!({"kubernetes.io/arch": "arm64"}),
            json!({"kubernetes.io/os": "windows"}),
            json!({"disk": "ssd"}),
        ];
        spec.insert("nodeSelector".to_owned(), dice.pick(&selectors));
    }
    if dice.rarely() {
        let values = dice.pick(&[json!(["amd64"]), json!(["amd64", "s390x"])]);
        let expression =
            json!({"key": "kubernetes.io/arch", "operator": dice.pick(&["In", "NotIn"]), "values": values});
        spec.insert(
            "affinity".to_owned(),
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}),
        );
    }
}

/// What an author of a Workflow can put there to mislead us.
fn forge(dice: &mut Dice<'_>, metadata: &mut Value, spec: &mut Value) {
    if dice.rarely() && metadata["annotations"].is_object() {
        let keys = ["status", "repo", "ca-bundle", "dynamic", "inject", "anything", "prNumber"];
        let value = if dice.often() { "injected".to_owned() } else { dice.text() };
        metadata["annotations"][format!("stepspan.dev/{}", dice.pick(&keys))] = json!(value);
        metadata["annotations"]["trace.context"] = json!(dice.text());
    }
    if dice.rarely() && metadata["annotations"].is_object() {
        let key = dice.pick(&["stepspan.dev/inject", "acme.io/trace"]);
        metadata["annotations"][key] = json!(dice.pick(&["false", "true", ""]));
    }
    let conflict = dice.pick(&["", "", "", "", "", "", "stepspan", "stepspan-ca", "stepspan-cache"]);
    if !conflict.is_empty() {
        spec["volumes"].as_array_mut().unwrap().push(json!({"name": conflict, "emptyDir": {}}));
    }
    if dice.rarely() && dice.rarely() {
        spec["containers"].as_array_mut().unwrap().push(json!({"name": "stepspan-init", "image": "x"}));
    }
    if dice.rarely() && dice.rarely() {
        spec.as_object_mut().unwrap().shift_remove("volumes");
        spec.as_object_mut().unwrap().shift_remove("initContainers");
        for container in spec["containers"].as_array_mut().unwrap() {
            let fields = container.as_object_mut().unwrap();
            fields.shift_remove("volumeMounts");
            fields.shift_remove("volumeDevices");
        }
    }
}
