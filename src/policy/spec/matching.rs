//! Which pods, which containers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
