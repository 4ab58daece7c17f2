//! The answer: `AdmissionReview` with an `AdmissionResponse` of `admission.k8s.io/v1`.
//!
//! Written into one buffer: the patch is nearly all of it, and base64 needs no escaping that a serialiser would look for.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{API_VERSION, Reviewed};
use crate::inject::reason::SkipReason;

/// The API server drops warnings beyond 256 characters each, 4 KiB together (`k8s.io/apiserver` `warning` handling).
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 12;
/// Bytes that a patch, and an answer besides its patch, usually fit into.
const PATCH_ROOM: usize = 6 * 1024;
const ANSWER_ROOM: usize = 512;

/// `auditAnnotations`.
#[derive(Serialize)]
struct Audit<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'static, str>>,
}

/// The serialised AdmissionReview; `None` where no uid could be read.
pub fn response(reviewed: &Reviewed) -> Option<Vec<u8>> {
    let uid = reviewed.uid.as_deref()?;
    let mut patch = Vec::with_capacity(PATCH_ROOM);
    // Serialising strings, numbers and maps to memory cannot fail; should it ever, no patch is the open failure.
    let patched = !reviewed.patch.is_empty() && serde_json::to_writer(&mut patch, &reviewed.patch).is_ok();
    let mut out = String::with_capacity(patch.len().div_ceil(3) * 4 + ANSWER_ROOM);
    out.push_str(r#"{"kind":"AdmissionReview","apiVersion":""#);
    out.push_str(API_VERSION);
    out.push_str(r#"","response":{"#);
    field(&mut out, r#""uid":"#, uid)?;
    out.push_str(r#","allowed":true"#);
    if patched {
        out.push_str(r#","patchType":"JSONPatch","patch":""#);
        STANDARD.encode_string(&patch, &mut out);
        out.push('"');
    }
    let warnings: Vec<String> = reviewed.warnings.iter().take(MAX_WARNINGS).map(|w| warning(w)).collect();
    if !warnings.is_empty() {
        field(&mut out, r#","warnings":"#, &warnings)?;
    }
    field(&mut out, r#","auditAnnotations":"#, &audit(reviewed))?;
    out.push_str("}}");
    Some(out.into_bytes())
}

fn field(out: &mut String, name: &str, value: &(impl Serialize + ?Sized)) -> Option<()> {
    out.push_str(name);
    out.push_str(&serde_json::to_string(value).ok()?);
    Some(())
}

fn warning(text: &str) -> String {
    crate::text::clean(&format!("stepspan: {text}"), MAX_WARNING)
}

fn audit(reviewed: &Reviewed) -> Audit<'_> {
    let policies = match &*reviewed.decision.policies {
        [] => None,
        [alone] if alone.len() <= crate::text::MAX_ANNOTATION => Some(Cow::Borrowed(alone.as_str())),
        several => Some(crate::text::clean(&several.join(","), crate::text::MAX_ANNOTATION).into()),
    };
    let reason = reviewed.reason.as_ref().map(|reason| match reason {
        SkipReason::Missing(_) => reason.to_string().into(),
        plain => plain.label().into(),
    });
    Audit { outcome: reviewed.outcome.label(), policies, reason }
}
