//! The fields of a suite, `kind: PolicyTest`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::context::Context;

/// `apiVersion` of suites.
pub const API_VERSION: &str = "stepspan.dev/v1alpha1";
/// `kind` of suites.
pub const KIND: &str = "PolicyTest";

/// A suite, but for its cases.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Suite {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// Policy files and folders, relative to the suite; `policy.yaml` beside it where none is named.
    pub policies: Vec<PathBuf>,
    /// Manifests that Workflows refer to, and Namespaces.
    pub with: Vec<PathBuf>,
    /// `3.7`, `4.1` or `4.1-initless`.
    pub argo: String,
    /// Context of all cases.
    #[serde(deserialize_with = "map_or_null")]
    pub context: Option<Context>,
    /// The cases; read one by one, for the places of mistakes.
    pub cases: Vec<Value>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What it is about.
    pub name: String,
    /// The step.
    #[serde(deserialize_with = "map")]
    pub input: Input,
    /// Context of its own, in place of the suite's; Namespaces of `with` that it does not name stay.
    #[serde(default, deserialize_with = "map_or_null")]
    pub context: Option<Context>,
    /// What has to be.
    #[serde(default, deserialize_with = "or_nothing")]
    pub expect: Expect,
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// What is written is none.
    pub fn read(written: &Value) -> serde_json::Result<Self> {
        map(written)
    }
}

/// Reads a map: from a list, serde would take the fields of a struct in their order.
fn map<'d, D: Deserializer<'d>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let written = Map::<String, Value>::deserialize(from)?;
    serde_json::from_value(written.into()).map_err(D::Error::custom)
}

/// The same, where a key may stand without a value.
fn map_or_null<'d, D: Deserializer<'d>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    let written = Option::<Map<String, Value>>::deserialize(from)?;
    written.map(|written| serde_json::from_value(written.into()).map_err(D::Error::custom)).transpose()
}

/// A key without a value says nothing.
fn or_nothing<'d, D: Deserializer<'d>>(from: D) -> Result<Expect, D::Error> {
    Ok(map_or_null(from)?.unwrap_or_default())
}

/// What may be left out; null is no way to write that.
fn not_null<'d, D: Deserializer<'d>, T: Deserialize<'d>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// The namespace of manifests that name none, where the input names none either.
pub const NAMESPACE: &str = "default";

/// A step: a Pod, an AdmissionReview, or a Workflow and the step it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// A file, relative to the suite.
    pub file: Option<PathBuf>,
    /// The same, inline.
    pub manifest: Option<Value>,
    /// Name of the step, of its node, or of its pod; needed where there are several.
    pub step: Option<String>,
    /// Namespace of manifests that name none; of steps with one name in several namespaces, the one there is meant.
    pub namespace: Option<String>,
}

impl Input {
    /// The namespace of manifests that name none.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(NAMESPACE)
    }
}

/// What has to be; what is left out is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// `injected`, `labelled`, `skipped`, `failed`.
    pub outcome: Option<String>,
    /// Why it is not injected, such as `no-policy`.
    pub reason: Option<String>,
    /// Matching policies, highest priority first.
    pub policies: Option<Vec<String>>,
    /// By container: `injected`, or the reason why it is left alone.
    pub containers: BTreeMap<String, String>,
    /// By correlation key.
    pub values: BTreeMap<String, Correlated>,
    /// By container and variable, as the patched pod has them.
    pub env: BTreeMap<String, BTreeMap<String, Variable>>,
    /// The whole patched pod.
    pub pod: Option<Value>,
    /// A part of the patched pod; elements of lists are found by their `name`, or `mountPath`.
    pub contains: Option<Value>,
    /// JSON pointers of the patched pod at which nothing stands.
    pub absent: Vec<String>,
    /// Operations of the patch.
    pub operations: Option<Bound>,
    /// Bytes by which the pod's JSON grows.
    pub growth: Option<Bound>,
    /// Texts, each in the warning of the same place; there are no others.
    pub warnings: Option<Vec<String>>,
}

/// A value, and where it has to come from.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text (numbers in quotes), null, or a map with `value`, `source` or both")]
pub enum Correlated {
    /// The value; null where there is none.
    Value(Wanted),
    /// The value with its source, such as `parameter/repo`.
    Full(#[serde(deserialize_with = "map")] FullValue),
}

/// A value with its source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullValue {
    /// The value; null where there is none.
    #[serde(default)]
    pub value: Wanted,
    /// Its source; null where none gives a value.
    #[serde(default)]
    pub source: Wanted,
}

/// A text that may be null: that is said, unlike what is left out.
#[derive(Debug, Default)]
pub enum Wanted {
    /// It is left out.
    #[default]
    Anything,
    /// It has to be this; null where there is none.
    Is(Option<String>),
}

impl Wanted {
    /// Whether it has to be another than the one that is found.
    pub fn refuses(&self, found: Option<&str>) -> bool {
        matches!(self, Self::Is(wanted) if wanted.as_deref() != found)
    }

    /// As it is told.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Anything => None,
            Self::Is(wanted) => wanted.as_deref(),
        }
    }
}

impl<'d> Deserialize<'d> for Wanted {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self::Is)
    }
}

/// A variable of the patched pod.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text (numbers in quotes), null, or a map with `decision` (`added`, `kept`, ...) and, if you like, `value`, a text"
)]
pub enum Variable {
    /// Its value, as a text of the pod; null where it is not there.
    Value(Option<String>),
    /// What became of ours, as `explain` names it: `added`, `kept` and so on.
    Decision(#[serde(deserialize_with = "map")] Decided),
}

/// What became of a variable of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Our value, which is never null.
    #[serde(default, deserialize_with = "not_null")]
    pub value: Option<String>,
    /// What became of it.
    pub decision: String,
}

/// A number, or a range.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "expected a whole number, or a map with `min`, `max` or both")]
pub enum Bound {
    /// Exactly so many.
    Exactly(usize),
    /// At least, at most.
    Range(#[serde(deserialize_with = "map")] Range),
}

/// At least, at most.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Range {
    /// At least.
    #[serde(deserialize_with = "not_null")]
    pub min: Option<usize>,
    /// At most.
    #[serde(deserialize_with = "not_null")]
    pub max: Option<usize>,
}

impl Bound {
    /// What is wrong with a number; `None` where it fits.
    pub fn refuses(self, number: usize) -> Option<String> {
        match self {
            Self::Exactly(wanted) => (number != wanted).then(|| wanted.to_string()),
            Self::Range(Range { min, max }) => {
                let fits = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
                let least = min.map(|min| format!("at least {min}"));
                let most = max.map(|max| format!("at most {max}"));
                (!fits).then(|| least.into_iter().chain(most).collect::<Vec<_>>().join(" and "))
            }
        }
    }
}
