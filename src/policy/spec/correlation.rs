//! Correlation keys and their sources.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One correlation key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Correlation {
    /// Sources; the first that yields a value decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<Source>>,
    /// The pod label that carries the value in safe form; on the pod already, it wins over `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The pod annotation that carries the exact value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
    /// Without a value the pod is not injected (never denied).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
}

/// Where a correlation value comes from: exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A label of the pod.
    Label(String),
    /// An annotation of the pod.
    Annotation(String),
    /// A label of the Workflow (carried).
    WorkflowLabel(String),
    /// An annotation of the Workflow (carried).
    WorkflowAnnotation(String),
    /// A parameter of the Workflow (carried).
    Parameter(String),
    /// An input parameter of the step (carried).
    Input(String),
    /// A label of the namespace: the source no author of a workflow can forge.
    NamespaceLabel(String),
    /// A variable of the step container: a literal value, or what the shim finds (for the span only).
    Env(String),
    /// Something Argo or Kubernetes knows.
    Builtin(Builtin),
    /// A CEL expression that gives a string.
    Cel(String),
    /// This very text.
    Value(String),
}

impl Source {
    /// As it is shown: its kind and what it names, `parameter/repo`.
    pub fn name(&self) -> String {
        match self {
            Self::Label(key) => format!("label/{key}"),
            Self::Annotation(key) => format!("annotation/{key}"),
            Self::WorkflowLabel(key) => format!("workflowLabel/{key}"),
            Self::WorkflowAnnotation(key) => format!("workflowAnnotation/{key}"),
            Self::Parameter(key) => format!("parameter/{key}"),
            Self::Input(key) => format!("input/{key}"),
            Self::NamespaceLabel(key) => format!("namespaceLabel/{key}"),
            Self::Env(key) => format!("env/{key}"),
            Self::Builtin(builtin) => format!("builtin/{}", builtin.as_str()),
            Self::Cel(text) => format!("cel/{text}"),
            Self::Value(_) => "value".to_owned(),
        }
    }
}

/// The built-in sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Builtin {
    /// The Workflow's name.
    WorkflowName,
    /// The Workflow's name without the suffix `generateName` gave it.
    WorkflowStem,
    /// Argo's node id.
    NodeId,
    /// Argo's node name.
    NodeName,
    /// The step's name, without loop item and retry number.
    StepName,
    /// The template's name.
    TemplateName,
    /// The pod's namespace.
    Namespace,
    /// The step container's name.
    Container,
}

impl Builtin {
    /// The policy's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkflowName => "workflowName",
            Self::WorkflowStem => "workflowStem",
            Self::NodeId => "nodeId",
            Self::NodeName => "nodeName",
            Self::StepName => "stepName",
            Self::TemplateName => "templateName",
            Self::Namespace => "namespace",
            Self::Container => "container",
        }
    }
}
