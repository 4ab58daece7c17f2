//! What step pods may reach, by the `NetworkPolicies` of their namespace.

use serde_json::Value;

use super::{
    report::Finding,
    rules::{Place, pod_selected},
};

const CHECK: &str = "egress";
/// The label of what the chart makes.
const OURS: (&str, &str) = ("app.kubernetes.io/name", "stepspan");

/// Where one of ours is the only one, it takes from step pods all that they had.
pub fn judge(policies: &[Value], place: Place<'_>) -> Finding {
    let restricting =
        policies.iter().filter(|policy| restricts(policy) && pod_selected(&policy["spec"]["podSelector"], place));
    let (ours, others): (Vec<&Value>, Vec<&Value>) =
        restricting.partition(|policy| policy["metadata"]["labels"][OURS.0] == OURS.1);
    let names = |of: &[&Value]| {
        let names: Vec<_> = of.iter().filter_map(|policy| policy["metadata"]["name"].as_str()).collect();
        names.join(", ")
    };
    match (ours.is_empty(), others.is_empty()) {
        (true, true) => Finding::ok(CHECK, "no NetworkPolicy restricts it"),
        (true, false) => Finding::ok(CHECK, format!("restricted by {}; --run tries the Collector", names(&others))),
        (false, false) => Finding::ok(
            CHECK,
            format!("restricted by {}, and let to the Collector by {}", names(&others), names(&ours)),
        ),
        (false, true) => Finding::fail(
            CHECK,
            format!("{} is the only NetworkPolicy that restricts it: steps reach nothing else", names(&ours)),
            "take this namespace out of networkPolicy.namespaces of the chart: that is for namespaces that deny egress already",
        ),
    }
}

/// Whether it is about egress (`k8s.io/api/networking/v1` `NetworkPolicySpec`).
fn restricts(policy: &Value) -> bool {
    match policy["spec"]["policyTypes"].as_array() {
        Some(types) => types.iter().any(|kind| kind == "Egress"),
        None => policy["spec"]["egress"].is_array(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        doctor::{pod, report::State},
        source::facts::Labels,
    };

    fn policy(name: &str, of: &str, selector: &Value) -> Value {
        json!({"metadata": {"name": name, "labels": {OURS.0: of}},
            "spec": {"podSelector": selector, "policyTypes": ["Ingress", "Egress"]}})
    }

    fn judged(policies: &[Value]) -> (State, String) {
        let (labels, pod) = (Labels::new(), pod::labels());
        let found = judge(policies, Place { namespace: "ci", labels: &labels, pod: &pod });
        (found.state, found.found)
    }

    #[test]
    fn ours_is_never_to_be_the_first() {
        let steps = json!({"matchExpressions": [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]});
        let ours = policy("stepspan-collector", OURS.1, &steps);
        let deny = policy("deny", "security", &json!({}));
        let of_others = policy("db", "security", &json!({"matchLabels": {"app": "db"}}));
        let mut ingress = policy("in", "security", &json!({}));
        ingress["spec"]["policyTypes"] = json!(["Ingress"]);
        assert_eq!(judged(&[of_others.clone(), ingress.clone()]), (State::Ok, "no NetworkPolicy restricts it".into()));
        assert!(judged(std::slice::from_ref(&deny)).1.starts_with("restricted by deny; "));
        assert!(judged(&[ours.clone(), deny]).1.ends_with("let to the Collector by stepspan-collector"));
        let (state, found) = judged(&[ours, of_others, ingress]);
        assert!(state == State::Fail && found.starts_with("stepspan-collector is the only"), "{found}");
    }
}
