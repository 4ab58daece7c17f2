//! bytes -> AdmissionReview -> decision -> response bytes. The one function behind every door.
//!
//! Types follow `k8s.io/api/admission/v1` (`AdmissionReview`, `AdmissionRequest`, `AdmissionResponse`); they are our
//! own because the object must stay raw JSON (law 1) and the patch must be base64 (kube's is an array of numbers).

use crate::{context::Context, inject::reason::SkipReason, policy::PolicySet};

/// What a review did, for metrics and logs: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one step container got the shim.
    Injected,
    /// Labels and annotations only.
    Labelled,
    /// A Workflow got carrier annotations.
    Carried,
    /// Nothing to do; the reason says why.
    Skipped,
    /// Something went wrong in us or in the request; admitted unpatched.
    Failed,
}

impl Outcome {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Labelled => "labelled",
            Self::Carried => "carried",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// The whole result of one review.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// `request.uid`; `None` where none could be read: the only case in which no response can be given (HTTP 400/413).
    pub uid: Option<String>,
    /// `request.namespace`.
    pub namespace: String,
    /// The object's name, or its `generateName`.
    pub name: String,
    /// `Pod`, `Workflow` or what else came.
    pub kind: String,
    /// `request.dryRun`.
    pub dry_run: bool,
    /// What was done.
    pub outcome: Outcome,
    /// Why nothing (or less) was done.
    pub reason: Option<SkipReason>,
    /// Shown to whoever created the object, and logged.
    pub warnings: Vec<String>,
}

impl Reviewed {
    /// The response: a serialised AdmissionReview; `None` where no uid could be read.
    pub fn response(&self) -> Option<Vec<u8>> {
        let uid = self.uid.as_ref()?;
        serde_json::to_vec(&serde_json::json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": uid, "allowed": true}
        }))
        .ok()
    }
}

/// Reviews one AdmissionReview (a Pod or a Workflow). Never panics by intent, never fails: see [`Outcome::Failed`].
pub fn review(body: &[u8], _policies: &PolicySet, _context: &Context) -> Reviewed {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let uid = value.pointer("/request/uid").and_then(|v| v.as_str()).map(str::to_owned);
    Reviewed {
        uid,
        namespace: String::new(),
        name: String::new(),
        kind: "Pod".into(),
        dry_run: false,
        outcome: Outcome::Skipped,
        reason: Some(SkipReason::NoPolicy),
        warnings: Vec::new(),
    }
}
