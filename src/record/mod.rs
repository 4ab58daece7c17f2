//! What a review of a pod leaves behind, so that other policies can be tried on it later: `webhook --record` writes it, `replay` reads it.
//!
//! A record is a line of JSON. It holds an AdmissionReview whose pod was [`reduce`]d to what decisions are made of, the
//! [`Context`], and the [`Account`] of what was decided. The reduced review goes through [`review`](crate::admission::review) as
//! the whole one did and gives the same decisions; what policies read besides is a [gap](gaps::Gaps), and told.
//!
//! What never gets into a record: values of variables and carriers that no loaded policy names, but for identities; arguments, scripts,
//! images, volumes.

pub mod account;
pub mod changes;
pub mod gaps;
pub mod reduce;
pub mod trial;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use account::Account;

use self::gaps::{Gaps, Keeps};
use crate::admission::{API_VERSION, WholePod, whole_pod};
use crate::argo::StepPod;
use crate::context::{Context, Injector};
use crate::json::Json;
use crate::policy::PolicySet;
use crate::policy::value::workflow_stem;

/// The form of a record's line. Another number is another form, and refused.
pub const VERSION: u32 = 1;

/// A line, as it is read.
#[derive(Debug, Deserialize)]
pub struct Record<'a> {
    /// [`VERSION`].
    pub v: u32,
    /// The reduced AdmissionReview.
    #[serde(borrow)]
    pub review: &'a RawValue,
    /// The facts of the place.
    pub context: Context,
    /// What the review holds of what policies can name.
    pub keeps: Keeps,
    /// The Workflow's stem and the template of the step, as `ci/build`.
    pub step: String,
    /// What was decided.
    pub was: Account,
}

/// A line, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    /// RFC 3339.
    ts: &'a str,
    step: &'a str,
    review: Json<'a>,
    context: Here<'a>,
    keeps: &'a Keeps,
    was: &'a Account,
}

/// The part of [`Context`] that one pod's review looks at.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Here<'a> {
    namespaces: BTreeMap<&'a str, &'a BTreeMap<String, String>>,
    injector: &'a Injector,
    allow_env: &'a [String],
}

/// The record of a review and of what it decided, with its time as RFC 3339; `None` where there is nothing to replay, as no step of Argo
/// was created.
pub fn line(body: &[u8], policies: &PolicySet, context: &Context, was: Account, at: &str) -> Option<Vec<u8>> {
    let WholePod { uid, namespace, pod } = whole_pod(body)?;
    let step = StepPod::read(&pod, &namespace).map(|pod| step(&pod))?;
    let mut keeps = Keeps::of(policies, &namespace);
    let object = reduce::pod(&pod, &mut keeps, &context.allow_env);
    let mut was = was;
    was.forget(&Gaps::of(policies, &keeps, &context.allow_env));
    let kind = [("group", "".into()), ("version", "v1".into()), ("kind", "Pod".into())];
    let request = Json::object([
        ("uid", uid.into()),
        ("kind", Json::object(kind)),
        ("namespace", namespace.as_str().into()),
        ("operation", "CREATE".into()),
        ("object", object),
    ]);
    let review = [("apiVersion", API_VERSION.into()), ("kind", "AdmissionReview".into()), ("request", request)];
    let labels = context.namespace_labels(&namespace).map(|labels| (namespace.as_str(), labels));
    let here =
        Here { namespaces: labels.into_iter().collect(), injector: &context.injector, allow_env: &context.allow_env };
    let line =
        Line { v: VERSION, ts: at, step: &step, review: Json::object(review), context: here, keeps: &keeps, was: &was };
    let mut bytes = serde_json::to_vec(&line).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// What all runs of one step share: the Workflow's stem, and the template where there is one.
fn step(pod: &StepPod<'_>) -> String {
    let stem = workflow_stem(pod.workflow_name);
    if pod.template.is_empty() { stem.to_owned() } else { format!("{stem}/{}", pod.template) }
}

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or not of this shape.
    #[error("not a record: {0}; a line may have been cut while it was written")]
    Malformed(String),
    /// Written by another version.
    #[error("a record of form {0}, this stepspan reads form {VERSION}; use the version that wrote it")]
    Version(u32),
}

impl<'a> Record<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no record, or one of another form.
    pub fn read(line: &'a [u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Form {
            v: u32,
        }
        let malformed = |error: serde_json::Error| Unreadable::Malformed(in_line(&error));
        match serde_json::from_slice(line) {
            Ok(Self { v, .. }) if v != VERSION => Err(Unreadable::Version(v)),
            Ok(record) => Ok(record),
            // Another form has other fields.
            Err(error) => match serde_json::from_slice(line) {
                Ok(Form { v }) if v != VERSION => Err(Unreadable::Version(v)),
                _ => Err(malformed(error)),
            },
        }
    }
}

/// The words of `serde_json`, without its number of the line: that of the file stands before them.
fn in_line(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    match text.strip_suffix(&format!(" at line {} column {column}", error.line())) {
        Some(what) => format!("column {column}: {what}"),
        None => text,
    }
}
