//! Loads arbitrary text as a policy file: it may be refused, with places inside the file, but not panic, overflow or hang; what loads
//! can be reviewed with.
//!
//! `cargo +nightly fuzz run policy -- -max_len=4000 -timeout=5`

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use stepspan::admission::review;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::PolicyFile;

const POD: &[u8] = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"n",
    "operation":"CREATE","kind":{"group":"","version":"v1","kind":"Pod"},"object":{"metadata":{"name":"w-1",
    "labels":{"workflows.argoproj.io/workflow":"w"},"annotations":{"workflows.argoproj.io/node-id":"w-1",
    "workflows.argoproj.io/node-name":"w.a"},"ownerReferences":[{"kind":"Workflow","uid":"8d63"}]},
    "spec":{"initContainers":[{"name":"init"}],"containers":[{"name":"main","command":["/var/run/argo/argoexec","emissary","--","sh"]}]}}}}"#;

fuzz_target!(|text: &str| {
    let start = Instant::now();
    let file = PolicyFile { name: "policy.yaml".to_owned(), text: text.to_owned() };
    match PolicySet::from_files(&[file], &Rules { allow_env: vec!["*".to_owned()] }) {
        Ok(set) => assert!(review(POD, &set, &Context::default()).response().is_some()),
        Err(errors) => {
            // A carriage return alone is a line break of YAML too.
            let lines = text.bytes().filter(|b| matches!(b, b'\n' | b'\r')).count() + 1;
            assert!(!errors.0.is_empty() && errors.0.iter().all(|e| e.line <= lines), "{errors}");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{text}");
});
