//! Reviews arbitrary bytes, as they are and as the object of a review: no panic, always allowed, and what was injected settles.
//!
//! `cargo +nightly fuzz run review -- -max_len=20000 -timeout=5`

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stepspan::admission::review;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;

static POLICIES: LazyLock<Option<PolicySet>> = LazyLock::new(|| PolicySet::embedded(&Rules::default()).ok());
static CONTEXT: LazyLock<Context> = LazyLock::new(Context::default);

const HEAD: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"n",
    "operation":"CREATE","kind":{"group":"","version":"v1","kind":"Pod"},"object":"#;
const WORKFLOW: &str = r#""group":"argoproj.io","version":"v1alpha1","kind":"Workflow""#;

fuzz_target!(|bytes: &[u8]| {
    let Some(policies) = POLICIES.as_ref() else { return };
    answer(bytes, policies);
    let pod = [HEAD.as_bytes(), bytes, b"}}"].concat();
    assert!(answer(&pod, policies), "a readable uid has an answer");
    let workflow = HEAD.replace(r#""group":"","version":"v1","kind":"Pod""#, WORKFLOW);
    assert!(answer(&[workflow.as_bytes(), bytes, b"}}"].concat(), policies));
});

/// Whether there was an answer.
fn answer(body: &[u8], policies: &PolicySet) -> bool {
    let reviewed = review(body, policies, &CONTEXT);
    let Some(response) = reviewed.response() else { return false };
    let response: Value = serde_json::from_slice(&response).unwrap_or_default();
    assert_eq!(response["response"]["allowed"], true);
    true
}
