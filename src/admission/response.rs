//! The answer: `AdmissionResponse` of `admission.k8s.io/v1`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Reviewed;

/// The API server drops warnings beyond 256 characters each, 4 KiB together (`k8s.io/apiserver` `warning` handling).
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 12;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    kind: &'static str,
    api_version: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
}

/// The serialised AdmissionReview; `None` where no uid could be read.
pub fn response(reviewed: &Reviewed) -> Option<Vec<u8>> {
    let uid = reviewed.uid.as_deref()?;
    // Serialising strings, numbers and maps to memory cannot fail; should it ever, no patch is the open failure.
    let patch = (!reviewed.patch.is_empty()).then(|| serde_json::to_vec(&reviewed.patch).ok()).flatten();
    let response = Response {
        uid,
        allowed: true,
        patch_type: patch.as_ref().map(|_| "JSONPatch"),
        patch: patch.map(|bytes| STANDARD.encode(bytes)),
        warnings: reviewed.warnings.iter().take(MAX_WARNINGS).map(|w| warning(w)).collect(),
        audit_annotations: audit(reviewed),
    };
    serde_json::to_vec(&Review { kind: "AdmissionReview", api_version: super::API_VERSION, response }).ok()
}

fn warning(text: &str) -> String {
    crate::text::clean(&format!("stepspan: {text}"), MAX_WARNING)
}

fn audit(reviewed: &Reviewed) -> BTreeMap<&'static str, String> {
    let mut audit = BTreeMap::from([("outcome", reviewed.outcome.label().to_owned())]);
    if let Some(reason) = &reviewed.reason {
        audit.insert("reason", reason.to_string());
    }
    if !reviewed.decision.policies.is_empty() {
        audit
            .insert("policies", crate::text::clean(&reviewed.decision.policies.join(","), crate::text::MAX_ANNOTATION));
    }
    audit
}
