//! Where a pod may run, as far as our image must run there too.

use super::reason::SkipReason;
use crate::json::{Json, Object};

const ARCH: [&str; 2] = ["kubernetes.io/arch", "beta.kubernetes.io/arch"];
const OS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];

/// Why our image cannot run where the pod may; `None` where nothing in the pod says so.
///
/// Read are `spec.os`, `nodeSelector` and required node affinity. A pod that says nothing may still meet a foreign node on a mixed
/// cluster; that is for the installation check, not for each pod.
pub fn refuses(pod: &Json<'_>, architectures: &[String]) -> Option<SkipReason> {
    let spec = &pod["spec"];
    let linux = ["linux".to_owned()];
    if spec["os"]["name"].as_str().is_some_and(|os| os != "linux") || !stays_on(spec, &OS, &linux) {
        return Some(SkipReason::Windows);
    }
    (!stays_on(spec, &ARCH, architectures)).then_some(SkipReason::Architecture)
}

/// The fields of `spec` that [`refuses`] reads, with nothing else in them.
pub fn said<'a>(spec: &'a Json<'a>) -> Vec<(&'static str, Json<'a>)> {
    let spoken = |label: &str| ARCH.contains(&label) || OS.contains(&label);
    let labels = spec["nodeSelector"].as_object().into_iter().flat_map(Object::iter);
    let labels = labels.filter(|(label, _)| spoken(label)).map(|(label, value)| (label.into(), value.clone()));
    let requirements = requirements(spec).filter(|r| r["key"].as_str().is_some_and(spoken));
    let requirements = requirements.cloned().collect::<Vec<_>>();
    let labels: Object<'_> = labels.collect();
    let mut said = Vec::new();
    if !labels.is_empty() {
        said.push(("nodeSelector", Json::Object(labels)));
    }
    if !requirements.is_empty() {
        let terms = vec![Json::object([("matchExpressions", requirements.into())])];
        let required = Json::object([("nodeSelectorTerms", terms.into())]);
        let affinity = Json::object([("requiredDuringSchedulingIgnoredDuringExecution", required)]);
        said.push(("affinity", Json::object([("nodeAffinity", affinity)])));
    }
    said.extend(spec["os"].get("name").map(|name| ("os", Json::object([("name", name.clone())]))));
    said
}

/// Whether all the pod says of the labels keeps it on nodes with one of the values.
fn stays_on(spec: &Json<'_>, labels: &[&str], ours: &[String]) -> bool {
    let is_ours = |v: &Json<'_>| v.as_str().is_some_and(|v| ours.iter().any(|o| o == v));
    if labels.iter().filter_map(|l| spec["nodeSelector"].get(l)).any(|v| !is_ours(v)) {
        return false;
    }
    let mut spoken = requirements(spec).filter(|r| r["key"].as_str().is_some_and(|k| labels.contains(&k)));
    spoken.all(|r| match r["operator"].as_str() {
        Some("In") => r["values"].as_array().is_some_and(|v| v.iter().all(is_ours)),
        Some("Exists") => true,
        _ => false,
    })
}

/// What the pod requires of its nodes, term by term.
fn requirements<'a>(spec: &'a Json<'a>) -> impl Iterator<Item = &'a Json<'a>> {
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array().into_iter().flatten();
    terms.flat_map(|term| term["matchExpressions"].as_array().into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_says_of_its_nodes() {
        let affinity = |operator: &str, values: &[&str]| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": operator, "values": values}]}]}}}})
        };
        for (spec, expected) in [
            (json!({}), None),
            (json!({"nodeSelector": {"kubernetes.io/arch": "amd64"}}), None),
            (json!({"nodeSelector": {"kubernetes.io/arch": "arm64"}}), Some(SkipReason::Architecture)),
            (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), Some(SkipReason::Windows)),
            (json!({"os": {"name": "windows"}}), Some(SkipReason::Windows)),
            (affinity("In", &["amd64"]), None),
            (affinity("In", &["amd64", "arm64"]), Some(SkipReason::Architecture)),
            (affinity("NotIn", &["s390x"]), Some(SkipReason::Architecture)),
        ] {
            assert_eq!(refuses(&json!({"spec": spec}).into(), &["amd64".to_owned()]), expected, "{spec}");
        }
    }
}
