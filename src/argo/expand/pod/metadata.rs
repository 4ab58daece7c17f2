//! The pod around its containers: metadata, where it may run, and as whom.

use serde_json::{Value, json};

use super::Placed;
use crate::argo::expand::execution::Execution;
use crate::argo::expand::node;
use crate::argo::expand::raw::{entries, kept, list, push, set, text};

/// The reference to the Workflow.
pub(in crate::argo::expand) fn owner(execution: &Execution) -> Value {
    json!([{
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": execution.name,
        "uid": execution.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// The pod before it has containers.
pub(super) fn pod(placed: &Placed<'_>, name: &str) -> Value {
    let Placed { execution, settings, template, .. } = placed;
    let workflow = &execution.spec;
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": execution.namespace,
            "labels": {"workflows.argoproj.io/workflow": execution.name, "workflows.argoproj.io/completed": "false"},
            "annotations": {
                "workflows.argoproj.io/node-name": placed.node,
                "workflows.argoproj.io/node-id": node::known_id(&execution.name, placed.node),
            },
            "ownerReferences": owner(execution),
        },
        "spec": {"restartPolicy": "Never"},
    });
    if placed.on_exit {
        pod["metadata"]["labels"]["workflows.argoproj.io/on-exit"] = "true".into();
    }
    if !settings.instance_id.is_empty() {
        pod["metadata"]["labels"]["workflows.argoproj.io/controller-instanceid"] = settings.instance_id.clone().into();
    }
    if settings.version.is_4_1() {
        for id in ["trace", "span"] {
            let (key, value) = (format!("workflows.argoproj.io/{id}-id"), format!("{{{{{id}}}}}"));
            pod["metadata"]["annotations"][key] = value.into();
        }
    }
    if let Some(gc) = workflow.get("podGC").filter(|gc| gc.is_object()) {
        let delay = kept(gc, "deleteDelayDuration").and_then(Value::as_str).unwrap_or(&settings.pod_gc_delay);
        let delay = as_go_writes(delay).unwrap_or_else(|| delay.to_owned());
        let strategy = format!("{}/{delay}", text(gc, "strategy"));
        pod["metadata"]["annotations"]["workflows.argoproj.io/pod-gc-strategy"] = strategy.into();
    }
    let spec = &mut pod["spec"];
    push(spec, "imagePullSecrets", list(workflow, "imagePullSecrets").iter().cloned());
    if let Some(seconds) = deadline(placed) {
        spec["activeDeadlineSeconds"] = seconds;
    }
    for field in ["hostNetwork", "dnsPolicy", "dnsConfig"] {
        if let Some(value) = kept(workflow, field).filter(|value| **value != false) {
            spec[field] = value.clone();
        }
    }
    for field in ["serviceAccountName", "automountServiceAccountToken"] {
        if let Some(value) = kept(template, field).or_else(|| kept(workflow, field)).filter(|value| **value != true) {
            spec[field] = value.clone();
        }
    }
    pod
}

/// The template's timeout, or the shorter of its deadline and the Workflow's; what is left of them only the run knows.
fn deadline(placed: &Placed<'_>) -> Option<Value> {
    let seconds = |of: &Value| {
        let value = &of["activeDeadlineSeconds"];
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    };
    let paused =
        |container: &Value| list(container, "env").iter().any(|e| text(e, "name").starts_with("ARGO_DEBUG_PAUSE_"));
    let template = placed.template;
    let mains = [&template["container"], &template["script"]];
    if mains.into_iter().chain(list(&template["containerSet"], "containers")).any(paused) {
        return None;
    }
    let workflow = seconds(&placed.execution.spec).filter(|_| !placed.on_exit);
    let shorter = [workflow, seconds(template)].into_iter().flatten().min();
    // Argo compares with what is past of the timeout, so that it always counts.
    timeout(template).or(shorter).map(Value::from)
}

/// A duration of whole seconds, or bare seconds, as Go's `Duration.String` has it: `90s` is `1m30s`.
fn as_go_writes(duration: &str) -> Option<String> {
    let seconds = duration.parse().ok().or_else(|| seconds_of(duration))?;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    })
}

/// The seconds of a duration such as `1h30m` or `1.5h`, without the parts of a second (Go's `time.ParseDuration`).
fn seconds_of(duration: &str) -> Option<u64> {
    let mut milliseconds: u64 = 0;
    let mut rest = duration;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, behind) = behind.split_at(behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len()));
        let factor: u64 = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // More places than these come to less than a millisecond.
        let fraction = fraction.get(..fraction.len().min(9))?;
        let of = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
        let part = of(fraction)?.checked_mul(factor)? / 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        milliseconds = milliseconds.checked_add(of(whole)?.checked_mul(factor)?)?.checked_add(part)?;
        rest = behind;
    }
    Some(milliseconds / 1000)
}

/// `timeout` in seconds.
fn timeout(template: &Value) -> Option<i64> {
    i64::try_from(seconds_of(text(template, "timeout")).filter(|seconds| *seconds > 0)?).ok()
}

/// `kubectl logs` and `exec` without a container's name go there.
pub(super) fn default_container(pod: &mut Value) {
    let names: Vec<&str> = list(&pod["spec"], "containers").iter().map(|container| text(container, "name")).collect();
    let default = if names.contains(&"main") { "main" } else { names.last().copied().unwrap_or_default() };
    let default = default.to_owned();
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = default.into();
}

/// `podMetadata` of the Workflow, then `metadata` of the template.
pub(in crate::argo::expand) fn add(pod: &mut Value, workflow: &Value, template: &Value) {
    for source in [&workflow["podMetadata"], &template["metadata"]] {
        for kind in ["annotations", "labels"] {
            set(&mut pod["metadata"], kind, entries(source, kind));
        }
    }
}

/// Where the pod may run (`addSchedulingConstraints`): as the template says, or the one it is a part of, or the Workflow.
pub(in crate::argo::expand) fn schedule(
    spec: &mut Value,
    workflow: &Value,
    template: &Value,
    boundary: Option<&Value>,
) {
    let nothing = Value::Null;
    let boundary = boundary.unwrap_or(&nothing);
    for field in ["nodeSelector", "affinity", "tolerations"] {
        // An empty one counts where Go has a pointer to it.
        let given = |source: &'_ Value| {
            if field == "affinity" { source[field].is_object() } else { kept(source, field).is_some() }
        };
        if let Some(value) =
            [template, boundary, workflow].into_iter().find(|source| given(source)).map(|source| &source[field])
        {
            spec[field] = value.clone();
        }
    }
    for (field, of_workflow) in [
        ("schedulerName", "schedulerName"),
        ("priorityClassName", "podPriorityClassName"),
        ("securityContext", "securityContext"),
    ] {
        let own = template.get(field).filter(|value| value.is_object()).or_else(|| kept(template, field));
        if let Some(value) = own.or_else(|| kept(workflow, of_workflow)) {
            spec[field] = value.clone();
        }
    }
    for source in [workflow, template] {
        push(spec, "hostAliases", list(source, "hostAliases").iter().cloned());
    }
}
