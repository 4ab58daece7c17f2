//! What the kubelet makes of env, command and args before a container starts.
//!
//! After `k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go` and `makeEnvironment` of `pkg/kubelet/kubelet_pods.go`:
//! variables of `env` are expanded in order, each seeing only those before it (and never those of `envFrom`); command and args see
//! all. Bytes, not text: after a lone `$` the kubelet turns one byte into a character, as Go's `string(byte)` does.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::case::{list, text};

/// Stands for whatever a Secret, a ConfigMap or the downward API holds.
pub const SECRET: &str = "s3cr3t-of-";

/// A container's environment and argv as its process gets them.
#[derive(Debug, PartialEq)]
pub struct Started {
    pub env: BTreeMap<String, Vec<u8>>,
    pub argv: Vec<Vec<u8>>,
}

/// Starts a container.
pub fn start(container: &Value) -> Started {
    let mut env = BTreeMap::new();
    for source in list(container, "envFrom") {
        for key in ["TOKEN", "SERVICE_NAME", "STEP"] {
            let name = format!("{}{key}", text(source, "prefix"));
            env.insert(name, format!("{SECRET}envFrom").into_bytes());
        }
    }
    let mut known = BTreeMap::new();
    for entry in list(container, "env") {
        let (name, literal) = (text(entry, "name").to_owned(), text(entry, "value"));
        let value = if !literal.is_empty() {
            expand(literal, &known)
        } else if entry.get("valueFrom").is_some() {
            value_from(&entry["valueFrom"])
        } else {
            Vec::new()
        };
        known.insert(name.clone(), value.clone());
        env.insert(name, value);
    }
    let words = list(container, "command").iter().chain(list(container, "args"));
    let argv = words.map(|word| expand(word.as_str().unwrap_or_default(), &env)).collect();
    Started { env, argv }
}

fn value_from(source: &Value) -> Vec<u8> {
    match source["fieldRef"]["fieldPath"].as_str() {
        Some("metadata.uid") => b"uid-of-the-pod".to_vec(),
        Some("metadata.name") => b"name-of-the-pod".to_vec(),
        _ => format!("{SECRET}{source}").into_bytes(),
    }
}

/// `Expand`.
pub fn expand(input: &str, known: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let bytes = input.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'$' || at + 1 >= bytes.len() {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let rest = &bytes[at + 1..];
        match rest[0] {
            b'$' => {
                out.push(b'$');
                at += 2;
            }
            b'(' => {
                let Some(end) = rest.iter().position(|b| *b == b')') else {
                    out.extend(b"$(");
                    at += 2;
                    continue;
                };
                let name = String::from_utf8_lossy(&rest[1..end]).into_owned();
                out.extend(known.get(&name).map_or(&bytes[at..at + end + 2], Vec::as_slice));
                at += end + 2;
            }
            other => {
                out.push(b'$');
                out.extend(char::from(other).to_string().bytes());
                at += 2;
            }
        }
    }
    out
}

#[test]
fn expands_as_the_kubelet_s_own_examples() {
    // From expand_test.go.
    let known = BTreeMap::from([("VAR_A".to_owned(), b"A".to_vec()), ("VAR_EMPTY".to_owned(), Vec::new())]);
    for (input, expected) in [
        ("$(VAR_A)", "A"),
        ("___$(VAR_EMPTY)___", "______"),
        ("$(VAR_DNE)", "$(VAR_DNE)"),
        ("$$(VAR_A)_$(VAR_A)", "$(VAR_A)_A"),
        ("$$$(VAR_A)", "$A"),
        ("$$$$$$(VAR_A)", "$$$(VAR_A)"),
        ("foo$(", "foo$("),
        ("foo$", "foo$"),
        ("$VAR_A)", "$VAR_A)"),
        ("$(VAR_A)$(", "A$("),
    ] {
        assert_eq!(String::from_utf8(expand(input, &known)).unwrap(), expected, "{input}");
    }
}
