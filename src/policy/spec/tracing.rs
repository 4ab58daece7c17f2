//! Sampling, init container, shim and trace context.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The step span's parent; where absent `node` if `stepspan watch` runs, as the webhook's context says, else `none`.
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
