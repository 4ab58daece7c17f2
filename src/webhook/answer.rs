//! Answers that do not come from a review: admitted unpatched with a warning, or refused for want of a uid.
//!
//! Response shape: `k8s.io/api/admission/v1` `AdmissionReview`; refusals are a `meta/v1` `Status`, which kubectl and the
//! API server print as they do their own.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::json;

use crate::{
    admission::head::Head,
    admission::{Outcome, Reviewed},
    inject::reason::SkipReason,
    telemetry::metrics::Cause,
};

/// A review's answer before it is made: what to say when nothing was reviewed.
pub(super) fn unreviewed(head: Head, outcome: Outcome, reason: SkipReason, warning: String) -> Reviewed {
    Reviewed {
        uid: head.uid,
        namespace: head.namespace,
        name: head.name,
        kind: head.kind,
        warnings: vec![warning],
        ..Reviewed::unpatched(outcome, reason)
    }
}

/// The reason a failure is counted and logged under.
pub(super) fn reason(cause: Cause) -> SkipReason {
    match cause {
        Cause::TooLarge => SkipReason::TooLarge,
        Cause::Malformed | Cause::Timeout | Cause::Aborted => SkipReason::Malformed,
        _ => SkipReason::Internal,
    }
}

/// A serialised AdmissionReview that admits `uid` without a patch.
pub fn allow(uid: &str, warnings: &[String]) -> Vec<u8> {
    let mut response = json!({"uid": uid, "allowed": true});
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    review.to_string().into_bytes()
}

/// The size of the base64 `patch` in a serialised answer, decoded; 0 where there is none.
pub(super) fn patch_bytes(answer: &[u8]) -> usize {
    const KEY: &[u8] = br#""patch":""#;
    let Some(start) = memchr::memmem::find(answer, KEY).map(|at| at + KEY.len()) else { return 0 };
    let rest = answer.get(start..).unwrap_or_default();
    let encoded = rest.split(|byte| *byte == b'"' || *byte == b'=').next().unwrap_or_default();
    encoded.len() * 3 / 4
}

/// A JSON answer; `last` asks the client to use another connection from now on.
pub(super) fn json(status: StatusCode, body: Vec<u8>, last: bool) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if last {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A refusal as a `Status`.
pub(super) fn refuse(status: StatusCode, message: &str, last: bool) -> Response<Body> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status.as_u16(),
    });
    json(status, body.to_string().into_bytes(), last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_is_measured_in_the_answer() {
        let answer = br#"{"response":{"warnings":["\"patch\":\"x"],"patch":"W3t9XQ==","patchType":"JSONPatch"}}"#;
        assert_eq!(patch_bytes(answer), "[{}]".len());
        assert_eq!(patch_bytes(&allow("u", &["w".into()])), 0);
    }
}
