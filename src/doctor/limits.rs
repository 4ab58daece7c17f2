//! What a namespace demands of pods: ResourceQuota, LimitRange, Pod Security.

use serde_json::Value;

use super::report::Finding;
use crate::{inject::quantity::nanos, source::facts::Labels};

/// The label that says which Pod Security Standard is enforced.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Whether a quota has room, and what it asks of containers.
///
/// Our init container has the resources of its step, and a pod counts as its largest init container or the sum of the others,
/// whichever is more (`k8s.io/kubernetes/pkg/quota/v1/evaluator/core`): the sum does not change.
pub fn judge_quotas(quotas: &[Value]) -> Vec<Finding> {
    const CHECK: &str = "quota";
    let mut findings = Vec::new();
    for quota in quotas {
        let name = quota["metadata"]["name"].as_str().unwrap_or("?");
        let hard = quota["status"]["hard"].as_object().or(quota["spec"]["hard"].as_object());
        let mut full = Vec::new();
        let mut counted = Vec::new();
        for (resource, hard) in hard.into_iter().flatten().filter(|(resource, _)| is_of_pods(resource)) {
            let used = quota["status"]["used"][resource].as_str().unwrap_or("0");
            let hard = hard.as_str().unwrap_or("0");
            let text = format!("{resource} {used} of {hard}");
            let spent = nanos(used).zip(nanos(hard)).is_some_and(|(used, hard)| used >= hard);
            if spent { full.push(text) } else { counted.push(text) }
        }
        if !full.is_empty() {
            let hint =
                "no further step starts, with or without stepspan, until others have ended or the quota is raised";
            findings.push(Finding::warn(CHECK, format!("{name} is used up: {}", full.join(", ")), hint));
        } else if !counted.is_empty() {
            let note = "our init container has its step's resources, and adds nothing";
            findings.push(Finding::ok(CHECK, format!("{name}: {}; {note}", counted.join(", "))));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "none for pods"));
    }
    findings
}

/// Resources whose sum a pod changes (`k8s.io/kubernetes/pkg/quota/v1/evaluator/core/pods.go`).
fn is_of_pods(resource: &str) -> bool {
    let compute = ["cpu", "memory", "ephemeral-storage"];
    let plain = resource.strip_prefix("requests.").or_else(|| resource.strip_prefix("limits.")).unwrap_or(resource);
    matches!(resource, "pods" | "count/pods") || compute.contains(&plain)
}

/// What is asked of each container: ours has what its step has, so what is fine for one is for the other.
pub fn judge_limit_ranges(ranges: &[Value]) -> Finding {
    const CHECK: &str = "limit range";
    let mut bounds = Vec::new();
    for range in ranges {
        let items = range["spec"]["limits"].as_array().into_iter().flatten();
        for item in items.filter(|item| item["type"] == "Container") {
            for (field, word) in [
                ("min", "at least"),
                ("max", "at most"),
                ("defaultRequest", "by default"),
                ("default", "limit by default"),
            ] {
                let values = item[field].as_object().into_iter().flatten();
                let values: Vec<_> =
                    values.map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or("?"))).collect();
                if !values.is_empty() {
                    bounds.push(format!("{word} {}", values.join(" ")));
                }
            }
        }
    }
    if bounds.is_empty() {
        return Finding::ok(CHECK, "none for containers");
    }
    Finding::ok(CHECK, format!("{}; our init container has what its step has", bounds.join(", ")))
}

/// The Pod Security Standard that is enforced: our init container keeps to the strictest.
pub fn judge_pod_security(labels: &Labels) -> Finding {
    const CHECK: &str = "pod security";
    match labels.get(ENFORCE).map(String::as_str) {
        None => Finding::ok(CHECK, "none is enforced"),
        Some(level) => Finding::ok(CHECK, format!("{level} is enforced; our init container keeps to restricted")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::report::State;

    #[test]
    fn quotas_are_told_with_what_is_used() {
        let quota = |hard: Value, used: Value| json!({"metadata": {"name": "compute"}, "spec": {"hard": hard.clone()}, "status": {"hard": hard, "used": used}});
        let free = quota(json!({"requests.cpu": "4", "configmaps": "9"}), json!({"requests.cpu": "500m"}));
        let full = quota(json!({"pods": "2"}), json!({"pods": "2"}));
        let other = quota(json!({"configmaps": "9"}), json!({}));
        let found = judge_quotas(std::slice::from_ref(&free)).remove(0);
        assert_eq!(
            found.found,
            "compute: requests.cpu 500m of 4; our init container has its step's resources, and adds nothing"
        );
        assert_eq!(judge_quotas(std::slice::from_ref(&full))[0].state, State::Warn);
        assert_eq!(judge_quotas(std::slice::from_ref(&other))[0].found, "none for pods");
    }

    #[test]
    fn bounds_of_containers_are_told() {
        let range = json!({"spec": {"limits": [
            {"type": "Container", "min": {"cpu": "10m"}, "defaultRequest": {"cpu": "50m"}}, {"type": "Pod", "max": {"cpu": "1"}}]}});
        let found = judge_limit_ranges(&[range]).found;
        assert_eq!(found, "at least cpu 10m, by default cpu 50m; our init container has what its step has");
        assert_eq!(judge_limit_ranges(&[]).found, "none for containers");
    }
}
