//! Which of the API server's hooks are asked about a step's pod: rules, namespaceSelector, objectSelector.
//!
//! What is not evaluated here (matchConditions) counts as met: a hook is rather named once too often.

use serde_json::Value;

use crate::{
    policy::{
        selector::{selects, selects_namespace},
        spec::LabelSelector,
    },
    source::facts::Labels,
};

/// The pod's side of a match.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// The pod's labels.
    pub pod: &'a Labels,
}

/// Whether a webhook of a configuration (or anything with its fields) is asked when the pod is created.
pub fn is_asked(webhook: &Value, rules: &Value, place: Place<'_>) -> bool {
    rules.as_array().into_iter().flatten().any(takes_pods) && selected(webhook, place)
}

/// Whether `namespaceSelector` and `objectSelector` take the pod; absent ones take everything.
pub fn selected(matching: &Value, place: Place<'_>) -> bool {
    namespace_selected(matching, place) && pod_selected(&matching["objectSelector"], place)
}

/// Whether a label selector takes the pod; an absent or empty one takes every pod.
pub fn pod_selected(selector: &Value, place: Place<'_>) -> bool {
    let selector = self::selector(selector);
    selector.is_none_or(|selector| selects(&selector, |key| place.pod.get(key).map(String::as_str)))
}

/// Whether `namespaceSelector` takes the namespace.
pub fn namespace_selected(matching: &Value, place: Place<'_>) -> bool {
    let selector = selector(&matching["namespaceSelector"]);
    selector.is_none_or(|selector| selects_namespace(&selector, place.namespace, place.labels))
}

/// `None` where there is none, or none that can be read.
fn selector(value: &Value) -> Option<LabelSelector> {
    serde_json::from_value(value.clone()).ok()
}

/// Whether a rule takes the creation of pods (`k8s.io/api/admissionregistration/v1` `RuleWithOperations`).
fn takes_pods(rule: &Value) -> bool {
    let has = |field: &str, wanted: &[&str]| {
        let mut words = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.any(|word| wanted.contains(&word))
    };
    has("apiGroups", &["", "*"])
        && has("apiVersions", &["v1", "*"])
        && has("resources", &["pods", "*", "*/*"])
        && has("operations", &["CREATE", "*"])
        && rule["scope"] != "Cluster"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn rules_and_selectors_decide() {
        let (namespace, pod) = (labels(&[("team", "build")]), labels(&[("workflows.argoproj.io/workflow", "w")]));
        let place = Place { namespace: "ci", labels: &namespace, pod: &pod };
        let pods = json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]);
        assert!(is_asked(&json!({}), &pods, place));
        for (field, value) in [("resources", "pods/exec"), ("operations", "UPDATE"), ("apiGroups", "apps")] {
            let mut rules = pods.clone();
            rules[0][field] = json!([value]);
            assert!(!is_asked(&json!({}), &rules, place), "{field}");
        }
        let by_name = |operator: &str| {
            json!({"namespaceSelector": {"matchExpressions":
                [{"key": "kubernetes.io/metadata.name", "operator": operator, "values": ["ci"]}]}})
        };
        assert!(is_asked(&by_name("In"), &pods, place));
        assert!(!is_asked(&by_name("NotIn"), &pods, place));
        let object = json!({"objectSelector": {"matchLabels": {"sidecar.istio.io/inject": "true"}}});
        assert!(!is_asked(&object, &pods, place));
    }
}
