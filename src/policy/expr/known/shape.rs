//! What every pod of Argo looks like when it is admitted, as far as an expression can count on it.
//!
//! Sources: `workflow/controller/workflowpod.go` and `agent.go` of argo-workflows 3.5 to 4.1, the defaults and the admission
//! plugins of kube-apiserver that come before webhooks, and what a scope holds ([`crate::policy::expr::Scope`]).

use crate::argo::names;
use crate::policy::expr::tree::Variable;
use crate::policy::syntax;

/// Label: whether Argo's controller is done with the pod (`LabelKeyCompleted`).
const COMPLETED_LABEL: &str = "workflows.argoproj.io/completed";

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    /// Nothing.
    Anything,
    /// A text that keeps to a form.
    Text(Form),
    /// This very text.
    Exactly(&'static str),
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// A map.
    Map(Map),
    /// A list of maps.
    List(Map),
}

/// What a text can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Anything.
    Free,
    /// The value of a label.
    Label,
    /// A DNS label: namespaces and containers have such names.
    DnsLabel,
}

impl Form {
    /// Whether a text of this form can be `text`.
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::Free => true,
            Self::Label => syntax::is_label_value(text),
            // A scope without a namespace or a container has an empty text.
            Self::DnsLabel => text.is_empty() || (syntax::is_dns_subdomain(text) && !text.contains('.')),
        }
    }

    /// Whether `part` can stand in a text of this form.
    pub fn holds(self, part: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        match self {
            Self::Free => true,
            Self::Label => part.bytes().all(plain),
            Self::DnsLabel => part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        }
    }

    /// In a message.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Free => "a text",
            Self::Label => "the value of a label",
            Self::DnsLabel => "a name of lower-case letters, digits and -",
        }
    }
}

/// The maps that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Map {
    Pod,
    Metadata,
    PodLabels,
    PodAnnotations,
    Owner,
    Spec,
    /// Nothing has run yet.
    Status,
    Workflow,
    /// Texts of a form, any key may be missing.
    Texts(Form),
    /// Containers and the like: nothing is known.
    Unknown,
}

/// What is at a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Entry {
    /// On every pod.
    Always(Shape),
    /// On some.
    Maybe(Shape),
    /// On none.
    Never,
    /// Not known.
    Unknown,
}

/// What a variable is.
pub(super) fn of(variable: Variable) -> Shape {
    match variable {
        Variable::Pod => Shape::Map(Map::Pod),
        Variable::Namespace | Variable::Container => Shape::Text(Form::DnsLabel),
        Variable::Template => Shape::Text(Form::Free),
        Variable::NamespaceLabels => Shape::Map(Map::Texts(Form::Label)),
        Variable::Workflow => Shape::Map(Map::Workflow),
        Variable::Inputs => Shape::Map(Map::Texts(Form::Free)),
    }
}

impl Map {
    /// What is at `key`.
    pub fn entry(self, key: &str) -> Entry {
        match self {
            Self::Pod => pod(key),
            Self::Metadata => metadata(key),
            Self::PodLabels => match key {
                names::WORKFLOW_LABEL => Entry::Always(Shape::Text(Form::Label)),
                COMPLETED_LABEL => Entry::Always(Shape::Exactly("false")),
                _ if !syntax::is_qualified_name(key) => Entry::Never,
                _ => Entry::Maybe(Shape::Text(Form::Label)),
            },
            Self::PodAnnotations => match key {
                names::NODE_ID_ANNOTATION | names::NODE_NAME_ANNOTATION => Entry::Always(Shape::Text(Form::Free)),
                // Theirs are in any case (`ValidateAnnotations`).
                _ if !syntax::is_qualified_name(&key.to_lowercase()) => Entry::Never,
                _ => Entry::Maybe(Shape::Text(Form::Free)),
            },
            Self::Owner => owner(key),
            Self::Spec => spec(key),
            Self::Workflow => workflow(key),
            Self::Texts(Form::Label) if !syntax::is_qualified_name(key) => Entry::Never,
            Self::Texts(form) => Entry::Maybe(Shape::Text(form)),
            Self::Status => Entry::Never,
            Self::Unknown => Entry::Unknown,
        }
    }
}

fn pod(key: &str) -> Entry {
    match key {
        "apiVersion" => Entry::Always(Shape::Exactly("v1")),
        "kind" => Entry::Always(Shape::Exactly("Pod")),
        "metadata" => Entry::Always(Shape::Map(Map::Metadata)),
        "spec" => Entry::Always(Shape::Map(Map::Spec)),
        "status" => Entry::Maybe(Shape::Map(Map::Status)),
        _ => Entry::Never,
    }
}

fn metadata(key: &str) -> Entry {
    match key {
        "labels" => Entry::Always(Shape::Map(Map::PodLabels)),
        // Pods of the agent may have none; of what is injected, all have.
        "annotations" => Entry::Always(Shape::Map(Map::PodAnnotations)),
        "namespace" => Entry::Always(Shape::Text(Form::DnsLabel)),
        "ownerReferences" => Entry::Always(Shape::List(Map::Owner)),
        // Argo names its pods itself; the API server gives the uid after admission.
        "name" => Entry::Always(Shape::Text(Form::Free)),
        "uid" | "resourceVersion" | "deletionTimestamp" => Entry::Never,
        _ => Entry::Unknown,
    }
}

fn owner(key: &str) -> Entry {
    match key {
        "kind" => Entry::Always(Shape::Exactly("Workflow")),
        "apiVersion" | "name" | "uid" => Entry::Always(Shape::Text(Form::Free)),
        "controller" | "blockOwnerDeletion" => Entry::Maybe(Shape::Bool),
        _ => Entry::Never,
    }
}

fn spec(key: &str) -> Entry {
    match key {
        "containers" | "volumes" => Entry::Always(Shape::List(Map::Unknown)),
        "initContainers" | "tolerations" | "imagePullSecrets" | "hostAliases" => {
            Entry::Maybe(Shape::List(Map::Unknown))
        }
        "restartPolicy" | "dnsPolicy" | "schedulerName" | "serviceAccountName" => {
            Entry::Always(Shape::Text(Form::Free))
        }
        "priorityClassName" | "nodeName" | "hostname" | "subdomain" | "runtimeClassName" => {
            Entry::Maybe(Shape::Text(Form::Free))
        }
        "nodeSelector" => Entry::Maybe(Shape::Map(Map::Texts(Form::Label))),
        "hostNetwork" | "hostPID" | "hostIPC" | "shareProcessNamespace" | "automountServiceAccountToken" => {
            Entry::Maybe(Shape::Bool)
        }
        "priority" | "activeDeadlineSeconds" => Entry::Maybe(Shape::Int),
        "affinity" => Entry::Maybe(Shape::Map(Map::Unknown)),
        _ => Entry::Unknown,
    }
}

fn workflow(key: &str) -> Entry {
    match key {
        "name" | "uid" => Entry::Always(Shape::Text(Form::Free)),
        "parameters" | "annotations" => Entry::Always(Shape::Map(Map::Texts(Form::Free))),
        "labels" => Entry::Always(Shape::Map(Map::Texts(Form::Label))),
        _ => Entry::Never,
    }
}
