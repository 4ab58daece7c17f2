//! Law 5: whatever comes, nothing panics, and the answer allows wherever a uid can be read.

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan::admission::review;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;

use crate::case::{Case, body, patch_of, set};
use crate::dice::{cases, rows};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        open(&bytes, &embedded(), &Context::default());
    }

    #[test]
    fn a_review_with_faults_is_answered(bytes in rows(), faults in proptest::collection::vec(fault(), 1..4)) {
        let case = Case::of(&bytes);
        let mut body = body(&case.pod, "Pod");
        for fault in &faults {
            fault.make(&mut body);
        }
        open(&body, &set(&case.policies, &case.context), &case.context);
    }

    #[test]
    fn a_field_of_any_form_is_answered(at in any::<u32>(), kind in 0..8usize, pod in 0..8usize) {
        let (_, mut pod) = recorded().remove(pod);
        let count = count(&pod);
        let forms = [json!(null), json!([]), json!({}), json!(7), json!("x"), json!([null]), json!({"name": 1}), json!(true)];
        replace(&mut pod, &mut (at as usize % count), &forms[kind]);
        let embedded = embedded();
        open(&body(&pod, "Pod"), &embedded, &Context::default());
        open(&body(&pod, "Workflow"), &embedded, &Context::default());
    }
}

#[test]
fn every_beginning_of_a_review_is_answered() {
    let whole = body(&recorded().remove(0).1, "Pod");
    let known = String::from_utf8(whole.clone()).unwrap().find("009ae2ba0c1b\"").unwrap() + 13;
    let embedded = embedded();
    for end in 0..whole.len() {
        let readable = open(&whole[..end], &embedded, &Context::default());
        assert_eq!(readable, end >= known, "cut at {end}");
    }
}

#[test]
fn depth_and_length_are_answered() {
    let deep = |n| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let embedded = embedded();
    for inner in [deep(100), deep(200), deep(200_000), format!("{{\"a\":{}", "{\"a\":".repeat(300_000))] {
        let text = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"CREATE",
            "kind":{{"kind":"Pod"}},"object":{{"metadata":{{"labels":{{"workflows.argoproj.io/workflow":"x"}}}},"spec":{inner}}}}}}}"#
        );
        assert!(open(text.as_bytes(), &embedded, &Context::default()));
    }
}

fn embedded() -> PolicySet {
    PolicySet::embedded(&Rules::default()).unwrap()
}

/// Whether there was an answer; it allows, and has the uid that another parser finds.
fn open(bytes: &[u8], policies: &PolicySet, context: &Context) -> bool {
    let reviewed = review(bytes, policies, context);
    let expected =
        serde_json::from_slice::<Value>(bytes).ok().and_then(|v| Some(v["request"]["uid"].as_str()?.to_owned()));
    match &reviewed.uid {
        None => {
            assert!(reviewed.response().is_none() && reviewed.patch.is_empty());
            assert!(expected.is_none_or(|uid| uid.is_empty() || uid.len() > 253));
            false
        }
        Some(uid) => {
            assert!(expected.is_none_or(|e| e == *uid));
            drop(patch_of(&reviewed));
            true
        }
    }
}

#[derive(Debug, Clone)]
enum Fault {
    Cut(usize),
    Byte(usize, u8),
    Insert(usize, &'static [u8]),
    Twice(usize, usize),
}

fn fault() -> impl Strategy<Value = Fault> {
    let pieces: [&[u8]; 8] =
        [b"{", b"]", b"\"", b"\\ud800", b"null", b",\"uid\":7,", b"\xff\xfe", b"{\"request\":{\"uid\":\"x\"}}"];
    prop_oneof![
        any::<usize>().prop_map(Fault::Cut),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Fault::Byte(at, byte)),
        (any::<usize>(), 0..8usize).prop_map(move |(at, i)| Fault::Insert(at, pieces[i])),
        (any::<usize>(), any::<usize>()).prop_map(|(at, n)| Fault::Twice(at, n)),
    ]
}

impl Fault {
    fn make(&self, body: &mut Vec<u8>) {
        let length = body.len().max(1);
        match *self {
            Self::Cut(at) => body.truncate(at % length),
            Self::Byte(at, byte) => {
                if let Some(place) = body.get_mut(at % length) {
                    *place = byte;
                }
            }
            Self::Insert(at, piece) => {
                let at = at % (body.len() + 1);
                body.splice(at..at, piece.iter().copied());
            }
            Self::Twice(at, n) => {
                let (at, n) = (at % length, n % 200);
                let piece: Vec<u8> = body.iter().skip(at).take(n).copied().collect();
                let at = at.min(body.len());
                body.splice(at..at, piece);
            }
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// Puts another value in the place of the numbered one.
fn replace(value: &mut Value, number: &mut usize, with: &Value) {
    if *number == 0 {
        *value = with.clone();
        *number = usize::MAX;
        return;
    }
    *number -= 1;
    let below: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    for item in below {
        if *number > 1_000_000 {
            return;
        }
        replace(item, number, with);
    }
}
