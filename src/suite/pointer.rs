//! JSON pointers (RFC 6901) at which nothing can ever stand: of them `absent` would hold whatever is found.

use serde_json::{Map, Value};

/// What of an `expect` can be in no pod: its path below `expect`, and what is wrong.
pub(super) fn impossible(expect: &Value) -> Vec<(String, String)> {
    let pointers = expect["absent"].as_array().into_iter().flatten().enumerate();
    let wrong = pointers.filter_map(|(at, pointer)| {
        let pointer = pointer.as_str()?;
        let why = if is_pointer(pointer) { in_any(pointer)? } else { meant(pointer) };
        Some((format!("absent[{at}]"), why))
    });
    wrong.collect()
}

/// Section 3; that of the whole document left out, which is always there.
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn meant(text: &str) -> String {
    let steps: Vec<&str> = text.split(['.', '/']).filter(|step| !step.is_empty()).collect();
    let meant = if steps.is_empty() { "metadata/labels/repo".to_owned() } else { steps.join("/") };
    format!("{text:?} is no JSON pointer: it is written as /{meant}, and in a key ~1 stands for /, ~0 for ~")
}

/// Why nothing can stand there in any pod, by what is known of all pods.
fn in_any(pointer: &str) -> Option<String> {
    let steps = steps(pointer);
    (1..steps.len()).find_map(|at| {
        let (place, rest) = steps.split_at(at);
        let step = rest.first()?;
        if is_list(place) && !is_index(step) {
            return Some(no_index(place, step));
        }
        (is_of_texts(place) && rest.len() > 1).then(|| escaped(place, rest, rest.len()))
    })
}

/// Why nothing can stand there in an object of this shape.
pub(super) fn in_one(pointer: &str, object: &Value) -> Option<String> {
    let steps = steps(pointer);
    let mut value = object;
    for at in 0..steps.len() {
        let (place, rest) = steps.split_at(at);
        let step = rest.first()?;
        value = match value {
            Value::Array(_) if !is_index(step) => return Some(no_index(place, step)),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            Value::Object(fields) => match fields.get(&key(step)) {
                Some(found) => found,
                None => return several(fields, place, rest),
            },
            Value::Null => return None,
            _ => return Some(format!("/{} is no map and no list: nothing stands below it", place.join("/"))),
        };
    }
    None
}

/// A key of the map that is written as several steps.
fn several(fields: &Map<String, Value>, place: &[&str], rest: &[&str]) -> Option<String> {
    let one = |end: &usize| fields.contains_key(&key(&rest[..*end].join("/")));
    (2..=rest.len()).find(one).map(|end| escaped(place, rest, end))
}

fn steps(pointer: &str) -> Vec<&str> {
    pointer.split('/').skip(1).collect()
}

/// Section 4: `~01` is `~1`.
fn key(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Section 4: digits without a zero before them; `-` is the element after the last, which is never there.
fn is_index(step: &str) -> bool {
    step == "0" || (!step.starts_with('0') && !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Maps of texts, whose keys are free.
fn is_of_texts(place: &[&str]) -> bool {
    matches!(
        place,
        [.., "metadata" | "podMetadata" | "workflowMetadata", "labels" | "annotations"] | [.., "nodeSelector"]
    )
}

fn is_list(place: &[&str]) -> bool {
    matches!(
        place,
        ["metadata", "finalizers" | "ownerReferences"]
            | ["spec", "containers" | "initContainers" | "volumes" | "tolerations" | "imagePullSecrets"]
            | [
                "spec",
                "containers" | "initContainers",
                _,
                "command" | "args" | "env" | "envFrom" | "volumeMounts" | "ports"
            ]
    )
}

fn no_index(place: &[&str], step: &str) -> String {
    format!("/{} is a list, and {step:?} no index into it: its first element is 0", place.join("/"))
}

/// The first steps of `rest`, up to `end`, are one key.
fn escaped(place: &[&str], rest: &[&str], end: usize) -> String {
    let one = rest[..end].join("~1");
    let meant = [place, &[one.as_str()], &rest[end..]].concat().join("/");
    format!("a / in a key is written ~1: write /{meant}")
}
