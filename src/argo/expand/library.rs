//! What a Workflow may refer to, among the manifests that are there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::raw::{entries, text};
use super::shape;

/// Templates of Workflows, of a namespace and of the cluster, ConfigMaps and service accounts.
#[derive(Debug, Clone)]
pub struct Library {
    templates: BTreeMap<(String, String), Result<Value, String>>,
    cluster: BTreeMap<String, Result<Value, String>>,
    config_maps: BTreeMap<(String, String), Value>,
    accounts: BTreeMap<(String, String), Value>,
    /// What a user has to turn to for more of them.
    more: &'static str,
}

impl Default for Library {
    /// Nothing yet, of a command that takes more by `--with`.
    fn default() -> Self {
        Self::filled_by("--with")
    }
}

impl Library {
    /// Nothing yet; messages name what gives more.
    pub fn filled_by(more: &'static str) -> Self {
        let (templates, config_maps, accounts) = Default::default();
        Self { templates, cluster: BTreeMap::new(), config_maps, accounts, more }
    }

    /// Takes a manifest, where it is one that can be referred to; the last of a name counts. `namespace` is that of manifests that
    /// name none.
    pub fn take(&mut self, manifest: &Value, namespace: &str) -> bool {
        let metadata = &manifest["metadata"];
        let name = text(metadata, "name").to_owned();
        let given = text(metadata, "namespace");
        let namespace = if given.is_empty() { namespace } else { given };
        let place = (namespace.to_owned(), name);
        let checked = || shape::check(manifest).map(|()| manifest.clone()).map_err(String::from);
        match text(manifest, "kind") {
            "WorkflowTemplate" => drop(self.templates.insert(place, checked())),
            "ClusterWorkflowTemplate" => drop(self.cluster.insert(place.1, checked())),
            "ServiceAccount" => drop(self.accounts.insert(place, manifest.clone())),
            "ConfigMap" => drop(self.config_maps.insert(place, manifest.clone())),
            _ => return false,
        }
        true
    }

    /// A WorkflowTemplate of a namespace, or a ClusterWorkflowTemplate.
    ///
    /// # Errors
    /// It is not among what was given, or is none.
    pub fn template(&self, namespace: &str, name: &str, cluster: bool) -> Result<&Value, String> {
        let found =
            if cluster { self.cluster.get(name) } else { self.templates.get(&(namespace.to_owned(), name.to_owned())) };
        let of = if cluster { "Cluster".to_owned() } else { format!("namespace {namespace}: ") };
        match found {
            Some(Ok(template)) => Ok(template),
            Some(Err(why)) => Err(format!("{of}WorkflowTemplate {name}: {why}")),
            None => Err(format!("{of}WorkflowTemplate {name} is not among the given files ({} gives more)", self.more)),
        }
    }

    /// The value of a ConfigMap's key; `None` where the ConfigMap was not given, `Some(None)` where it has no such key.
    pub fn config(&self, namespace: &str, name: &str, key: &str) -> Option<Option<&str>> {
        let map = self.config_maps.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(entries(map, "data").find(|(known, _)| *known == key).and_then(|(_, value)| value.as_str()))
    }

    /// The Secret of a service account's token (`TokenNameForServiceAccount` of Argo's `util/secrets`).
    pub fn token(&self, namespace: &str, account: &str) -> String {
        let account = if account.is_empty() { "default" } else { account };
        let found = self.accounts.get(&(namespace.to_owned(), account.to_owned())).unwrap_or(&Value::Null);
        let annotated = &found["metadata"]["annotations"]["workflows.argoproj.io/service-account-token.name"];
        let named = found["secrets"][0]["name"].as_str().or(annotated.as_str()).map(str::to_owned);
        named.unwrap_or_else(|| format!("{account}.service-account-token"))
    }

    /// The ConfigMap of Argo's controller, in whatever namespace it is.
    pub fn controller_config(&self) -> Option<&Value> {
        self.config_maps.iter().find(|((_, name), _)| name == "workflow-controller-configmap").map(|(_, map)| map)
    }
}
