//! What one evaluation looks at.

use std::collections::BTreeMap;

use super::tree::Variable;
use super::value::Item;
use crate::json::Json;

/// A map without entries, for the parts of a scope that are not there.
static NOTHING: BTreeMap<String, String> = BTreeMap::new();

/// Everything an expression can see, borrowed: building one costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `pod`: the Pod as received.
    pub pod: &'a Json<'a>,
    /// `namespaceName`: the namespace of the review. (`namespace` is a reserved word of CEL.)
    pub namespace: &'a str,
    /// `namespaceLabels`; `None` where they are not known, and using them is an error.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// `template`: the Argo template, empty where unknown.
    pub template: &'a str,
    /// `container`: the step container, empty where the expression is not about one.
    pub container: &'a str,
    /// `workflow`: what the pod brings along of its Workflow.
    pub workflow: Workflow<'a>,
    /// `inputs`: the step's input parameters, as carried by the pod.
    pub inputs: &'a BTreeMap<String, String>,
}

/// What a pod brings along of its Workflow: only what policies name is carried.
#[derive(Debug, Clone, Copy)]
pub struct Workflow<'a> {
    /// `workflow.name`, empty where unknown.
    pub name: &'a str,
    /// `workflow.uid`, empty where unknown.
    pub uid: &'a str,
    /// `workflow.parameters`.
    pub parameters: &'a BTreeMap<String, String>,
    /// `workflow.labels`.
    pub labels: &'a BTreeMap<String, String>,
    /// `workflow.annotations`.
    pub annotations: &'a BTreeMap<String, String>,
}

impl Default for Workflow<'_> {
    fn default() -> Self {
        Self { name: "", uid: "", parameters: &NOTHING, labels: &NOTHING, annotations: &NOTHING }
    }
}

impl<'a> Scope<'a> {
    /// A scope of a pod alone; set the fields that are known.
    pub fn of_pod(pod: &'a Json<'a>) -> Self {
        Self {
            pod,
            namespace: "",
            namespace_labels: None,
            template: "",
            container: "",
            workflow: Workflow::default(),
            inputs: &NOTHING,
        }
    }

    /// The value of a variable; `None` for one that is not known.
    pub(super) fn item(&'a self, variable: Variable) -> Option<Item<'a>> {
        Some(match variable {
            Variable::Pod => Item::from_json(self.pod),
            Variable::Namespace => Item::from(self.namespace),
            Variable::NamespaceLabels => Item::Texts(self.namespace_labels?),
            Variable::Template => Item::from(self.template),
            Variable::Container => Item::from(self.container),
            Variable::Workflow => Item::Workflow(&self.workflow),
            Variable::Inputs => Item::Texts(self.inputs),
        })
    }
}

impl<'a> Workflow<'a> {
    pub(super) const KEYS: [&'static str; 5] = ["name", "uid", "parameters", "labels", "annotations"];

    pub(super) fn entry(&self, key: &str) -> Option<Item<'a>> {
        Some(match key {
            "name" => Item::from(self.name),
            "uid" => Item::from(self.uid),
            "parameters" => Item::Texts(self.parameters),
            "labels" => Item::Texts(self.labels),
            "annotations" => Item::Texts(self.annotations),
            _ => return None,
        })
    }
}
