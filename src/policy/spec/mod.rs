//! The InjectionPolicy as it is written: every field optional, nothing defaulted.
//!
//! A policy is a layer: what it does not say stays open for the policies below it, and defaults are filled in only after all
//! matching layers are merged ([`super::merge`]). The JSON Schema (`stepspan schema`) is made from these types.

mod correlation;
mod matching;
mod output;
mod status;
mod tracing;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use correlation::{Builtin, Correlation, Source};
pub use matching::{Globs, LabelSelector, Match, Operator, OptOut, Requirement};
pub use output::{Env, EnvVar, HeaderFrom, OnConflict, Otlp, Preset, Protocol, Scope, SecretKeyRef};
pub use status::{Condition, Status, StatusError};
pub use tracing::{
    Attributes, IdentityLine, Incoming, InitContainer, Install, ParentKind, Position, Probe, Sampling, Shim,
    TraceContext, TraceMode,
};

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
