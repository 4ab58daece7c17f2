//! What a resource's status says. Files have none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a policy resource stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of the spec that this is about.
    pub observed_generation: i64,
    /// `Accepted`: the spec has no mistake. `Ready`: it is in force.
    pub conditions: Vec<Condition>,
    /// Every mistake of the spec.
    pub errors: Vec<StatusError>,
}

/// One condition (`k8s.io/apimachinery/pkg/apis/meta/v1` `Condition`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted` or `Ready`.
    pub r#type: String,
    /// `True` or `False`.
    pub status: String,
    /// The generation of the spec that this is about.
    pub observed_generation: i64,
    /// When `status` last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// One mistake of a spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusError {
    /// The field, such as `spec.match.when[0]`.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
