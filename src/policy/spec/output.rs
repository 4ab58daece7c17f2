//! The Collector and the step's environment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
