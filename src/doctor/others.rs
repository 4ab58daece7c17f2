//! Who else changes pods when they are created.

use serde_json::Value;

use super::{
    report::Finding,
    rules::{Place, is_asked, namespace_selected, selected},
};

/// The check.
pub const CHECK: &str = "who else injects";

/// A product that is known by its names.
struct Product {
    /// In the configuration's, a webhook's or the service's name.
    sign: &'static str,
    name: &'static str,
    /// Puts itself in front of commands, Argo's executor included.
    commands: bool,
}

const fn product(sign: &'static str, name: &'static str) -> Product {
    Product { sign, name, commands: false }
}

const fn wrapper(sign: &'static str, name: &'static str) -> Product {
    Product { sign, name, commands: true }
}

/// The first whose sign is found; those with a narrower sign come first.
const PRODUCTS: [Product; 20] = [
    wrapper("vault-secrets-webhook", "Bank-Vaults"),
    wrapper("1password", "1Password"),
    product("vault-agent-injector", "Vault agent"),
    product("istio", "Istio"),
    product("linkerd", "Linkerd"),
    product("opentelemetry-operator", "OpenTelemetry Operator"),
    product("kyverno", "Kyverno"),
    product("gatekeeper", "Gatekeeper"),
    product("datadog", "Datadog"),
    product("dynatrace", "Dynatrace"),
    product("dapr", "Dapr"),
    product("consul", "Consul"),
    product("kueue", "Kueue"),
    product("vpa-webhook", "Vertical Pod Autoscaler"),
    product("pod-identity", "AWS pod identity"),
    product("azure-wi", "Azure workload identity"),
    product("warden-", "GKE"),
    product("common-webhooks.networking.gke.io", "GKE"),
    product("kubemod", "KubeMod"),
    product("stepspan", "another stepspan"),
];

/// Somebody who is asked about steps' pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injector {
    /// The product, and the object's name.
    pub name: String,
    /// Puts itself in front of commands.
    pub commands: bool,
    /// Pods are refused while it is away.
    pub fails_closed: bool,
}

/// Those of `configurations` (MutatingWebhookConfigurations) that are asked about a pod in its place.
pub fn webhooks<'a>(configurations: impl IntoIterator<Item = &'a Value>, place: Place<'_>) -> Vec<Injector> {
    configurations.into_iter().filter_map(|configuration| webhook(configuration, place)).collect()
}

fn webhook(configuration: &Value, place: Place<'_>) -> Option<Injector> {
    let all = configuration["webhooks"].as_array()?;
    let asked: Vec<_> = all.iter().filter(|webhook| is_asked(webhook, &webhook["rules"], place)).collect();
    if asked.is_empty() {
        return None;
    }
    let name = configuration["metadata"]["name"].as_str().unwrap_or("?");
    let mut signs = vec![name];
    for webhook in &asked {
        let service = &webhook["clientConfig"]["service"]["name"];
        signs.extend(webhook["name"].as_str().into_iter().chain(service.as_str()));
    }
    let known = PRODUCTS.iter().find(|product| signs.iter().any(|sign| sign.contains(product.sign)));
    Some(Injector {
        name: known.map_or_else(|| name.to_owned(), |product| format!("{} ({name})", product.name)),
        commands: known.is_some_and(|product| product.commands),
        // Absent is Fail (`k8s.io/api/admissionregistration/v1`).
        fails_closed: asked.iter().any(|webhook| webhook["failurePolicy"] != "Ignore"),
    })
}

/// Those of `policies` (MutatingAdmissionPolicies) that are bound and take a pod in its place.
pub fn policies(policies: &[Value], bindings: &[Value], place: Place<'_>) -> Vec<Injector> {
    let bound = |policy: &Value| {
        let name = &policy["metadata"]["name"];
        let mut own = bindings.iter().filter(|binding| binding["spec"]["policyName"] == *name);
        own.any(|binding| selected(&binding["spec"]["matchResources"], place))
    };
    let matching = policies.iter().filter(|policy| {
        let constraints = &policy["spec"]["matchConstraints"];
        is_asked(constraints, &constraints["resourceRules"], place) && bound(policy)
    });
    let named = |policy: &Value| Injector {
        name: format!("MutatingAdmissionPolicy {}", policy["metadata"]["name"].as_str().unwrap_or("?")),
        commands: false,
        // The API server evaluates it itself: there is nothing to be away.
        fails_closed: false,
    };
    matching.map(named).collect()
}

/// Whether a configuration leaves the namespace out, whatever the pod.
pub fn leaves_out(configuration: &Value, place: Place<'_>) -> bool {
    let all = configuration["webhooks"].as_array();
    !all.into_iter().flatten().any(|webhook| namespace_selected(webhook, place))
}

/// One line for those that do no harm, one for each that may.
pub fn judge(injectors: &[Injector]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names = |of: fn(&Injector) -> bool| -> Vec<&str> {
        injectors.iter().filter(|injector| of(injector)).map(|injector| injector.name.as_str()).collect()
    };
    let wrapping = names(|injector| injector.commands);
    if !wrapping.is_empty() {
        let found = format!("{} may put itself in front of commands", wrapping.join(", "));
        let hint = "a step whose command no longer begins with Argo's executor is left alone: take it out of step pods";
        findings.push(Finding::warn(CHECK, found, hint));
    }
    let closed = names(|injector| injector.fails_closed && !injector.commands);
    if !closed.is_empty() {
        let found = format!("{}: pods are refused while it is away (failurePolicy Fail)", closed.join(", "));
        let hint = "a refused pod is an error of its step: set TRANSIENT_ERROR_PATTERN on Argo's controller";
        findings.push(Finding::warn(CHECK, found, hint));
    }
    let quiet = names(|injector| !injector.commands && !injector.fails_closed);
    if !quiet.is_empty() {
        findings.push(Finding::ok(CHECK, quiet.join(", ")));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "nobody"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{doctor::report::State, source::facts::Labels};

    fn configuration(name: &str, failure_policy: Option<&str>) -> Value {
        json!({"metadata": {"name": name}, "webhooks": [{"name": "pods.example.dev", "failurePolicy": failure_policy,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}]})
    }

    #[test]
    fn products_are_known_by_their_names() {
        let empty = Labels::new();
        let place = Place { namespace: "ci", labels: &empty, pod: &empty };
        let all = [
            configuration("istio-sidecar-injector", Some("Fail")),
            configuration("vault-agent-injector-cfg", Some("Ignore")),
            configuration("vault-secrets-webhook", Some("Ignore")),
            configuration("our-own", None),
        ];
        let injectors = webhooks(&all, place);
        assert_eq!(injectors.len(), 4);
        assert_eq!(injectors[0].name, "Istio (istio-sidecar-injector)");
        assert!(injectors[2].commands && !injectors[1].commands && injectors[3].fails_closed);
        let findings = judge(&injectors);
        assert_eq!(findings.iter().map(|f| f.state).collect::<Vec<_>>(), [State::Warn, State::Warn, State::Ok]);
        assert_eq!(findings[1].found.split(':').next(), Some("Istio (istio-sidecar-injector), our-own"));
        assert_eq!(judge(&[])[0].found, "nobody");
    }

    #[test]
    fn a_policy_counts_where_it_is_bound() {
        let empty = Labels::new();
        let place = Place { namespace: "ci", labels: &empty, pod: &empty };
        let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["*"]}]);
        let policy = json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": rules}}});
        let elsewhere = json!({"namespaceSelector": {"matchLabels": {"team": "other"}}});
        let binding = |resources: Value| json!({"spec": {"policyName": "p", "matchResources": resources}});
        let found = |bindings: &[Value]| policies(std::slice::from_ref(&policy), bindings, place).len();
        assert_eq!(found(&[]), 0);
        assert_eq!(found(&[binding(elsewhere)]), 0);
        assert_eq!(found(&[binding(Value::Null)]), 1);
    }
}
