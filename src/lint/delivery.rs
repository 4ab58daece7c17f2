//! Where spans go, who sets the variables, and what keeps a pod from starting.

use serde_json::Value;

use super::Found;
use super::rule::{BARE_HOST, CONTAINER_SCOPE, FAIL_CLOSED};
use crate::policy::effective::DEFAULT_ENDPOINT;
use crate::policy::load::Written;
use crate::policy::spec::{EnvVar, Otlp, Preset, Scope, Spec};
use crate::policy::syntax::host_and_port;
use crate::yaml::{Node, Spanned};

pub(super) fn check(one: &Written, all: &[&Written], found: &mut Found<'_>) {
    let spec = &one.policy.spec;
    bare_hosts(spec, all, found);
    for (i, header) in spec.otlp.headers_from.iter().flatten().enumerate() {
        if header.optional == Some(false) {
            let name = &header.secret_key_ref.name;
            let message =
                format!("in a namespace without the Secret `{name}` no step starts (CreateContainerConfigError)");
            let hint = "leave `optional` out: spans then go without the header";
            found.add(&FAIL_CLOSED, &format!("spec.otlp.headersFrom[{i}].optional"), message, hint);
        }
    }
    let none_set = spec.env.preset == Some(Preset::None) && !spec.env.set.iter().any(is_endpoint);
    if spec.env.scope == Some(Scope::Container) && !none_set {
        let message = "from Argo 4.1 on the executor takes OTEL_EXPORTER_OTLP_ENDPOINT for its own: it traces itself, and its exit waits \
                       for the Collector";
        let hint = "leave `scope` out: `auto` has the shim set them from 4.1 on";
        found.add(&CONTAINER_SCOPE, "spec.env.scope", message, hint);
    }
}

/// `OTEL_EXPORTER_OTLP_ENDPOINT`, or that of one signal.
fn is_endpoint(variable: &EnvVar) -> bool {
    variable.name.starts_with("OTEL_EXPORTER_OTLP_") && variable.name.ends_with("ENDPOINT")
}

/// Endpoints that mean another Collector in each namespace. The default is one too: it is told where a policy speaks of its Collector
/// and none says where that is; a policy that says nothing of it leaves that to others.
fn bare_hosts(spec: &Spec, all: &[&Written], found: &mut Found<'_>) {
    let mut add = |path: &str, url: &str, which: &str| {
        let (host, _) = host_and_port(url);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !host.is_empty() && host.bytes().all(plain) && host != "localhost" {
            let message =
                format!("{which}`{host}` resolves only where the step's own namespace has a Service of that name");
            let hint = format!("for one Collector of the cluster write {host}.<namespace>.svc");
            found.add(&BARE_HOST, path, message, hint);
        }
    };
    if let Some(endpoint) = &spec.otlp.endpoint {
        add("spec.otlp.endpoint", endpoint, "");
    } else if spec.otlp != Otlp::default() && all.iter().all(|one| one.policy.spec.otlp.endpoint.is_none()) {
        // A variable is for what the step's own program sends: the shim asks the policy alone.
        let in_variable = all.iter().flat_map(|one| &one.policy.spec.env.set).any(is_endpoint);
        let which = if in_variable {
            "`env.set` gives an endpoint to the step's program, none is given for its span, and the default "
        } else {
            "no policy gives an endpoint, and the default "
        };
        add("spec.otlp", DEFAULT_ENDPOINT, which);
    }
    for (i, variable) in spec.env.set.iter().enumerate().filter(|(_, variable)| is_endpoint(variable)) {
        add(&format!("spec.env.set[{i}].value"), &variable.value, "");
    }
}

/// Whether a document is a configuration that registers our webhooks.
pub(super) fn is_webhooks(place: &Spanned) -> bool {
    let kind = place.root.get("kind").map(Node::to_value);
    kind.is_some_and(|kind| kind == "MutatingWebhookConfiguration")
}

/// `failurePolicy: Fail` on one of our webhooks.
pub(super) fn check_webhooks(place: &Spanned, found: &mut Found<'_>) {
    if !is_webhooks(place) {
        return;
    }
    let document = place.to_value();
    for (i, webhook) in document["webhooks"].as_array().into_iter().flatten().enumerate() {
        let ours = webhook["name"].as_str().is_some_and(|name| name.ends_with(".stepspan.dev"));
        // What is left out is `Fail` (admissionregistration.k8s.io/v1).
        let fails = webhook.get("failurePolicy").and_then(Value::as_str).unwrap_or("Fail") == "Fail";
        if ours && fails {
            let message = "no step starts while the webhook can't be reached";
            found.add(&FAIL_CLOSED, &format!("webhooks[{i}].failurePolicy"), message, "write `failurePolicy: Ignore`");
        }
    }
}
