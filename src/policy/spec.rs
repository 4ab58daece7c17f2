//! The InjectionPolicy as it is written: every field optional, nothing defaulted.
//!
//! A policy is a layer: what it does not say stays open for the policies below it, and defaults are filled in only after all
//! matching layers are merged ([`super::merge`]). The JSON Schema (`stepspan schema`) is made from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `apiVersion` of every policy.
pub const API_VERSION: &str = "stepspan.dev/v1alpha1";
/// `kind` of every policy.
pub const KIND: &str = "InjectionPolicy";

/// One policy document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InjectionPolicy {
    /// `stepspan.dev/v1alpha1`.
    pub api_version: String,
    /// `InjectionPolicy`.
    pub kind: String,
    /// Name, labels and annotations.
    pub metadata: Metadata,
    /// What to inject where.
    #[serde(default)]
    pub spec: Spec,
}

/// The metadata of a policy document; further fields of a resource's metadata are allowed and not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The policy's name, a DNS subdomain.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What a policy says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Spec {
    /// Higher first, ties by name; the first writer of a key wins. 0 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Which pods.
    pub r#match: Match,
    /// How a pod leaves itself out.
    pub opt_out: OptOut,
    /// Which step containers, by name.
    pub containers: Globs,
    /// `deployment.environment` of every span; `dev` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// `service.name` of every span; `agent-steps` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Correlation keys, each with its ordered sources.
    pub correlation: BTreeMap<String, Correlation>,
    /// The Collector.
    pub otlp: Otlp,
    /// The step's environment.
    pub env: Env,
    /// Labels set on the pod where it has none of that name.
    pub labels: BTreeMap<String, String>,
    /// Annotations set on the pod where it has none of that name.
    pub annotations: BTreeMap<String, String>,
    /// Which traces are exported.
    pub sampling: Sampling,
    /// The tracing init container.
    pub init_container: InitContainer,
    /// The entrypoint.
    pub shim: Shim,
    /// Where spans hang.
    pub trace_context: TraceContext,
}

/// Which pods a policy is for; all that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Match {
    /// Namespaces by name.
    pub namespaces: Globs,
    /// Namespaces by label; unknown labels do not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Pods by label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Argo template names, globs; all where empty.
    pub templates: Vec<String>,
    /// CEL expressions, all must be true; one that fails does not match.
    pub when: Vec<String>,
}

/// Names to take and names to leave, as globs (`*` any text, `?` one character).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Globs {
    /// Taken; everything where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
    /// Left, even where included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
}

/// A label selector as Kubernetes has it (`k8s.io/apimachinery/pkg/apis/meta/v1` `LabelSelector`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct LabelSelector {
    /// Labels that must have these values.
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that must hold.
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// The relation.
    pub operator: Operator,
    /// For `In` and `NotIn`: the values.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a requirement relates a label to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label is there with one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// How a pod leaves itself out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct OptOut {
    /// The annotation whose value `false` opts out; `stepspan.dev/inject` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
}

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

/// The Collector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Otlp {
    /// URL; `http://otel-collector:4317` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `grpc` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// PEM certificates of a private CA, at most 2 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Headers whose values are in Secrets of the step's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_from: Option<Vec<HeaderFrom>>,
}

/// The protocols of OTLP we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

impl Protocol {
    /// The word of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// A header whose value is in a Secret. Policies name Secrets, they never read them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderFrom {
    /// The header.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The Secret and its key.
    pub secret_key_ref: SecretKeyRef,
    /// A missing Secret is no error of the pod; `true` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// The step's environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Env {
    /// `otel`: the nine baseline variables (where absent); `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Variables by name, over the preset's.
    pub set: Vec<EnvVar>,
    /// Who sets them; `auto` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// Sets of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// The nine baseline variables of OpenTelemetry.
    Otel,
    /// No variable.
    None,
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// `OTEL_*`, or what an operator allowed.
    pub name: String,
    /// The value, as text: `$` stands for itself.
    pub value: String,
    /// What to do where the container has the variable; `keep` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// What to do where the container has the variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnConflict {
    /// The container's value stays.
    Keep,
    /// Ours replaces it.
    Override,
    /// Per key of a comma list, the container's key wins.
    Merge,
    /// Our variable's whole group is dropped.
    Skip,
}

/// Who sets the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The container's `env`.
    Container,
    /// The shim, for the step's command only.
    Step,
    /// `container` up to Argo 4.0, `step` from 4.1, whose executor would read them itself.
    Auto,
}

/// Which traces are exported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Sampling {
    /// Share of traces, 0 to 1; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: Option<f64>,
    /// A failed step is exported whatever the ratio; `true` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_failed: Option<bool>,
}

/// The tracing init container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct InitContainer {
    /// Before or after the pod's own init containers; `last` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The look at the Collector before the step starts.
    pub probe: Probe,
}

/// Where the init container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Position {
    /// Before all others.
    First,
    /// After all others.
    Last,
}

/// The look at the Collector before the step starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Probe {
    /// At most this long, such as `300ms`; `0s` does not probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// The entrypoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct Shim {
    /// How it comes into the pod; `auto` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// Where the line with trace and span id goes; `auto` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_line: Option<IdentityLine>,
    /// The span's name, with `{key}`; `{agent}/{stepName}` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub span_name: Option<String>,
    /// Names of the span's attributes; `both` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Time for the export after the command's end, such as `500ms` (where absent); at most 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
}

/// How the shim comes into the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Install {
    /// Our init container copies it to an emptyDir.
    InitContainer,
    /// An image volume (Kubernetes 1.33 and later).
    Image,
    /// `image` in pods that Argo makes without an init container, `initContainer` in all others.
    Auto,
}

/// Where the identity line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IdentityLine {
    /// stdout, or stderr where the step's stdout is its result.
    Auto,
    /// stderr.
    Stderr,
    /// Nowhere.
    Off,
}

/// Names of the span's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Attributes {
    /// repo, prNumber, taskId, ...
    Seed,
    /// vcs.*, cicd.*, k8s.*.
    Semconv,
    /// Both.
    Both,
}

impl Attributes {
    /// The policy's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Semconv => "semconv",
            Self::Both => "both",
        }
    }
}

/// Where spans hang.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(default)]
pub struct TraceContext {
    /// Ours, or Argo's own trace (4.1); `own` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<TraceMode>,
    /// What to do with a `traceparent` that comes with the Workflow or pod; `link` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Incoming>,
    /// The step span's parent; `none` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ParentKind>,
}

/// Whose trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TraceMode {
    /// Ours, computed from the Workflow's UID.
    Own,
    /// A child of the environment's traceparent.
    Argo,
}

/// What to do with an incoming `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Incoming {
    /// Our trace links to it.
    Link,
    /// We join it; it never raises sampling beyond the policy's own.
    Parent,
    /// Nothing.
    Ignore,
}

/// What the step span's parent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParentKind {
    /// The node's span, which `stepspan watch` emits.
    Node,
    /// Nothing: step spans are roots of the one trace.
    None,
}
