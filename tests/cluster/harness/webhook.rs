//! Registers a webhook with the API server, the way the chart does, and knows when it is in force.
//!
//! The API server reads webhook configurations through a watch, so a new one takes effect a moment later, without any
//! sign. The configuration therefore holds a third webhook that nobody serves and that must not fail: it covers only
//! objects of kind ConfigMap with a label of our own. Once a dry-run of such a ConfigMap is refused, the configuration
//! is in force; once it is accepted again, the configuration is gone.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Cluster, namespace::Namespace, wait::until};

pub const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const PROBE_LABEL: &str = "test.stepspan.dev/probe";
const LIMIT: Duration = Duration::from_mins(3);

/// A registration in force; dropping it removes it.
pub struct Webhook<'c> {
    namespace: &'c Namespace<'c>,
    cluster: &'c Cluster,
    name: String,
}

impl Cluster {
    /// Registers the webhook at `url` (such as `https://127.0.0.1:8443`, no path) for one namespace, and returns when
    /// the API server calls it: pods at `/mutate`, Workflows at `/mutate-workflows`.
    pub fn register_webhook<'c>(
        &'c self,
        namespace: &'c Namespace<'c>,
        url: &str,
        ca_pem: &str,
    ) -> Result<Webhook<'c>> {
        self.register_webhook_with(namespace, url, ca_pem, |_| {})
    }

    /// The same, with a last change to the configuration, such as another `failurePolicy` at
    /// `/webhooks/0` (pods) or `/webhooks/1` (Workflows).
    pub fn register_webhook_with<'c>(
        &'c self,
        namespace: &'c Namespace<'c>,
        url: &str,
        ca_pem: &str,
        adjust: impl FnOnce(&mut Value),
    ) -> Result<Webhook<'c>> {
        let name = format!("stepspan-{}", namespace.name());
        let mut object = configuration(&name, namespace.name(), url, ca_pem);
        adjust(&mut object);
        self.api().create(CONFIGURATIONS, &object)?.accepted()?;
        let webhook = Webhook { namespace, cluster: self, name };
        webhook.wait_until_in_force(true)?;
        Ok(webhook)
    }
}

impl Webhook<'_> {
    /// The configuration's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of the `MutatingWebhookConfiguration`, to patch it.
    pub fn path(&self) -> String {
        format!("{CONFIGURATIONS}/{}", self.name)
    }

    /// Removes the registration and returns when the API server no longer calls the webhook.
    pub fn unregister(self) -> Result<()> {
        self.cluster.api().delete(&self.path())?.accepted()?;
        self.wait_until_in_force(false)
    }

    fn wait_until_in_force(&self, wanted: bool) -> Result<()> {
        let probe = json!({"metadata": {"name": "probe", "labels": {PROBE_LABEL: ""}}});
        let what = format!("webhook {} to be {}", self.name, if wanted { "in force" } else { "gone" });
        until(&what, LIMIT, || {
            let accepted = self.namespace.create_object("configmaps?dryRun=All", &probe)?.is_success();
            Ok((accepted != wanted).then_some(()))
        })
    }
}

impl Drop for Webhook<'_> {
    fn drop(&mut self) {
        let _ = self.cluster.api().delete(&self.path());
    }
}

fn configuration(name: &str, namespace: &str, url: &str, ca_pem: &str) -> Value {
    let ca = base64_of(ca_pem.as_bytes());
    let only_here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let common = |name: &str, path: &str, rule: Value| {
        json!({
            "name": name,
            "clientConfig": {"url": format!("{url}{path}"), "caBundle": ca},
            "rules": [rule],
            "namespaceSelector": only_here,
            "failurePolicy": "Ignore",
            // As long as can be: a machine that is slow for a moment misses no pod.
            "timeoutSeconds": 30,
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "NoneOnDryRun",
            "admissionReviewVersions": ["v1"],
        })
    };
    let rule = |group: &str, version: &str, resource: &str| {
        json!({
            "apiGroups": [group], "apiVersions": [version], "resources": [resource],
            "operations": ["CREATE"], "scope": "Namespaced",
        })
    };

    let mut pods = common("pods.stepspan.dev", "/mutate", rule("", "v1", "pods"));
    pods["objectSelector"] =
        json!({"matchExpressions": [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]});
    pods["matchConditions"] = json!([{
        "name": "not-opted-out",
        "expression": "object.metadata.?annotations['stepspan.dev/inject'].orValue('') != 'false'",
    }]);
    let workflows = common("workflows.stepspan.dev", "/mutate-workflows", rule("argoproj.io", "v1alpha1", "workflows"));
    let mut probe = common("probe.stepspan.dev", "", rule("", "v1", "configmaps"));
    // Port 1 refuses at once.
    probe["clientConfig"]["url"] = json!("https://127.0.0.1:1/");
    probe["failurePolicy"] = json!("Fail");
    probe["objectSelector"] = json!({"matchExpressions": [{"key": PROBE_LABEL, "operator": "Exists"}]});
    json!({"metadata": {"name": name}, "webhooks": [pods, workflows, probe]})
}

/// Standard base64, as JSON holds bytes in Kubernetes.
pub fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The text that a Secret or a caBundle holds so.
pub fn text_of(base64: &Value) -> Result<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64.as_str().context("no text")?)?;
    Ok(String::from_utf8(bytes)?)
}
