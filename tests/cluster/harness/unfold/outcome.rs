//! What an unfolded pod yields, as its annotations (or labels) say.
//!
//! On a template's `metadata`:
//! - `test.stepspan.dev/exit: "1,0"`: exit codes of the step's containers by attempt, the last one for all further
//!   attempts; `test.stepspan.dev/exit.<container>` for one container. Default 0.
//! - `test.stepspan.dev/result: "text"`: `outputs.result`.
//! - `test.stepspan.dev/output.<parameter>: "text"`: an output parameter; the others get a text of ours.
//! - `test.stepspan.dev/hold: ""`: leaves the pod pending, until it is taken away.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

const PREFIX: &str = "test.stepspan.dev/";

/// What to report for one pod.
#[derive(Debug)]
pub struct Outcome {
    /// The template is a daemon: the pod stays.
    pub daemon: bool,
    /// `outputs` of the `WorkflowTaskResult`.
    pub outputs: Value,
    /// Names of the containers whose exit code counts.
    steps: Vec<String>,
}

impl Outcome {
    pub fn of(pod: &Value) -> Self {
        let template = template_of(pod);
        let members = template["containerSet"]["containers"].as_array();
        let steps = members.map_or_else(
            || vec!["main".to_owned()],
            |members| members.iter().filter_map(|member| member["name"].as_str().map(str::to_owned)).collect(),
        );
        Self { daemon: template["daemon"] == true, outputs: outputs_of(pod, &template), steps }
    }

    /// The status of a pod whose containers have all ended.
    pub fn terminated(&self, pod: &Value) -> Value {
        let code =
            |container: &str| if self.steps.iter().any(|s| s == container) { exit_code(pod, container) } else { 0 };
        let failed = self.steps.iter().any(|step| code(step) != 0);
        let ready = condition("Ready", false);
        json!({
            "phase": if failed { "Failed" } else { "Succeeded" },
            "startTime": now(),
            "conditions": [condition("PodScheduled", true), condition("Initialized", true), ready],
            "initContainerStatuses": statuses(pod, "initContainers", |_| ended(0)),
            "containerStatuses": statuses(pod, "containers", |container| ended(code(container))),
        })
    }
}

/// The status of a pod that runs and is ready.
pub fn running(pod: &Value) -> Value {
    let address = "10.88.0.10";
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(|kind| condition(kind, true));
    json!({
        "phase": "Running",
        "startTime": now(),
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "initContainerStatuses": statuses(pod, "initContainers", |_| ended(0)),
        "containerStatuses": statuses(pod, "containers", |_| json!({"running": {"startedAt": now()}})),
    })
}

/// The value of `test.stepspan.dev/<key>` among annotations or labels.
pub fn annotation<'p>(pod: &'p Value, key: &str) -> Option<&'p str> {
    let key = format!("{PREFIX}{key}");
    ["annotations", "labels"].iter().find_map(|kind| pod["metadata"][kind][&key].as_str())
}

/// The template as the controller hands it to the executor.
fn template_of(pod: &Value) -> Value {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|kind| pod["spec"][kind].as_array().into_iter().flatten())
        .flat_map(|container| container["env"].as_array().into_iter().flatten())
        .find(|variable| variable["name"] == "ARGO_TEMPLATE")
        .and_then(|variable| serde_json::from_str(variable["value"].as_str()?).ok())
        .unwrap_or_default()
}

fn outputs_of(pod: &Value, template: &Value) -> Value {
    let mut outputs = Map::new();
    if let Some(result) = annotation(pod, "result") {
        outputs.insert("result".to_owned(), json!(result));
    }
    let declared = template["outputs"]["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<Value> = declared.map(|parameter| with_value(pod, parameter.clone())).collect();
    if !parameters.is_empty() {
        outputs.insert("parameters".to_owned(), Value::Array(parameters));
    }
    Value::Object(outputs)
}

fn with_value(pod: &Value, mut parameter: Value) -> Value {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let value = annotation(pod, &format!("output.{name}")).map_or_else(|| format!("value of {name}"), str::to_owned);
    parameter["value"] = json!(value);
    parameter
}

fn exit_code(pod: &Value, container: &str) -> i64 {
    let codes = annotation(pod, &format!("exit.{container}")).or_else(|| annotation(pod, "exit")).unwrap_or("0");
    let codes: Vec<i64> = codes.split(',').filter_map(|code| code.trim().parse().ok()).collect();
    codes.get(attempt(pod)).or(codes.last()).copied().unwrap_or(0)
}

/// The number in `build(0)(2)`: Argo names retries so. Without a retry strategy there is but one attempt.
fn attempt(pod: &Value) -> usize {
    let node = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"].as_str().unwrap_or_default();
    let number = node.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')).and_then(|(_, n)| n.parse().ok());
    number.unwrap_or(0)
}

fn statuses(pod: &Value, kind: &str, state: impl Fn(&str) -> Value) -> Vec<Value> {
    let containers = pod["spec"][kind].as_array().into_iter().flatten();
    let status = |container: &Value| {
        let state = state(container["name"].as_str().unwrap_or_default());
        let runs = state.get("running").is_some();
        // An init container that has done its work counts as ready.
        let ready = runs || kind == "initContainers";
        json!({
            "name": container["name"], "image": container["image"], "imageID": "",
            "ready": ready, "started": runs, "restartCount": 0, "state": state,
        })
    };
    containers.map(status).collect()
}

fn ended(code: i64) -> Value {
    let reason = if code == 0 { "Completed" } else { "Error" };
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": now(), "finishedAt": now()}})
}

fn condition(kind: &str, holds: bool) -> Value {
    json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": now()})
}

/// RFC 3339, to the second, as Kubernetes writes times.
fn now() -> String {
    let time =
        time::OffsetDateTime::from(SystemTime::now()).replace_nanosecond(0).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
