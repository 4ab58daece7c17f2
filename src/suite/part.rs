//! A part of a pod against the whole: maps by key, elements of lists by their name, others by being there.

use serde_json::{Map, Value};

use super::Failure;
use super::check::has_empty;
use super::expect::{as_yaml, differing};

/// The field by which an element of a list is found.
pub(super) fn name_key(element: &Value) -> Option<&'static str> {
    ["name", "mountPath"].into_iter().find(|key| element[key].is_string())
}

/// What of a part is not in a whole.
pub(super) fn subset(path: &str, part: &Value, whole: &Value, all: &mut Vec<Failure>) {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            for (key, part) in part {
                match whole.get(key) {
                    Some(found) => subset(&format!("{path}.{key}"), part, found, all),
                    None => all.push(Failure::new(format!("{path}.{key}"), as_yaml(part), "nothing")),
                }
            }
        }
        (Value::Array(part), Value::Array(whole)) => {
            let list = path.rsplit('.').next().unwrap_or_default();
            for (at, part) in part.iter().enumerate() {
                let name = name_key(part).and_then(|key| part[key].as_str());
                let place = name.map_or_else(|| format!("{path}[{at}]"), |name| format!("{path}[{name}]"));
                match meant(list, part, whole) {
                    Some(found) if name.is_some() => subset(&place, part, found, all),
                    Some(_) => {}
                    None => all.push(Failure::new(place, as_yaml(part), "no such element")),
                }
            }
        }
        _ if part == whole => {}
        _ => all.push(differing(path, part, whole)),
    }
}

/// The part of a whole that has the shape of another part; `None` where nothing of it is left.
pub(super) fn of(list: &str, part: &Value, whole: &Value) -> Option<Value> {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            let kept = part.iter().filter_map(|(key, one)| Some((key.clone(), of(key, one, whole.get(key)?)?)));
            Some(kept.collect::<Map<_, _>>()).filter(|kept| !kept.is_empty()).map(Value::from)
        }
        (Value::Array(part), Value::Array(whole)) => {
            let kept = part.iter().filter_map(|one| {
                let found = meant(list, one, whole)?;
                if name_key(one).is_some() { of(list, one, found) } else { Some(found.clone()) }
            });
            Some(kept.collect::<Vec<_>>()).filter(|kept| !kept.is_empty()).map(Value::from)
        }
        (_, found) => (!has_empty(found)).then(|| found.clone()),
    }
}

/// The element of a list that a part of one means.
fn meant<'w>(list: &str, part: &Value, whole: &'w [Value]) -> Option<&'w Value> {
    best(list, part, whole).map(|(found, _)| found)
}

/// The same, and how many of the part's leaves are in it. Of several with one name it is the one that has most of them, as a volume is
/// mounted in several places; of variables the last, which the kubelet takes.
fn best<'w>(list: &str, part: &Value, whole: &'w [Value]) -> Option<(&'w Value, usize)> {
    let Some(key) = name_key(part) else {
        return whole.iter().find(|found| *found == part).map(|found| (found, 1));
    };
    let mut named = whole.iter().filter(|found| found[key] == part[key]);
    let held = |found: &'w Value| (found, held(list, part, found));
    if list == "env" {
        return named.next_back().map(held);
    }
    // Of those that have as many, the first.
    named.rev().map(held).max_by_key(|(_, held)| *held)
}

fn held(list: &str, part: &Value, whole: &Value) -> usize {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().filter_map(|(key, part)| Some(held(key, part, whole.get(key)?))).sum()
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.iter().filter_map(|one| best(list, one, whole)).map(|(_, held)| held).sum()
        }
        _ => usize::from(part == whole),
    }
}
