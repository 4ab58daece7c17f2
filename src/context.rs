//! Everything `review` may know besides the bytes and the policies: plain data, printable, saved with a record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name in [`Context::unresolved`] of a Workflow's UID, of which its trace id is made.
pub const UID_SOURCE: &str = "workflow/uid";

/// The name in [`Context::unresolved`] of a pod of which some field, whichever, keeps what only the run knows. No policy has a source of that
/// name.
pub const POD_SOURCE: &str = "pod/field";

/// The facts of the place a review runs in. The webhook fills it from its flags, `dry-run` from its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Context {
    /// Labels of namespaces, by namespace; one that is absent is not known.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// How our own container comes into pods.
    pub injector: Injector,
    /// Variable names or prefixes (ending in `*`) that policies may set besides `OTEL_*`.
    pub allow_env: Vec<String>,
    /// Names of values that expansion could not know; offline only, filled by whoever expanded.
    pub unresolved: Vec<String>,
}

/// The image that is put into pods, and the shape of its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Injector {
    /// Image reference.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// Architectures the image has, as `kubernetes.io/arch` names them.
    pub architectures: Vec<String>,
    /// OpenShift assigns user ids itself: set none.
    pub openshift: bool,
    /// The shim emits the metrics of its step (`metrics.owner: shim`).
    pub shim_metrics: bool,
    /// Somebody emits the spans of nodes (`stepspan watch` runs): policies that do not say `traceContext.parent` mean `node`.
    pub node_spans: bool,
}

impl Default for Injector {
    fn default() -> Self {
        Self {
            image: concat!("stepspan/stepspan:", env!("CARGO_PKG_VERSION")).to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            architectures: vec!["amd64".to_owned()],
            openshift: false,
            shim_metrics: false,
            node_spans: false,
        }
    }
}

impl Context {
    /// Takes the labels of a Namespace; false for anything else.
    pub fn take_namespace(&mut self, manifest: &Value) -> bool {
        let metadata = &manifest["metadata"];
        let (Some("Namespace"), Some(name)) = (manifest["kind"].as_str(), metadata["name"].as_str()) else {
            return false;
        };
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        self.namespaces.insert(name.to_owned(), labels.collect());
        true
    }

    /// A namespace's labels. The name label that the API server sets on every namespace is always known.
    pub fn namespace_labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }
}
