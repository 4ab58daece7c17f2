//! The patch: the three RFC 6902 operations we need, applied to ourselves before anyone else has to.
//!
//! Own and small because it is on the hot path and must keep key order; the `json-patch` crate is the oracle in its tests.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::json::{Json, escape, index, unescape};

/// What an operation does (RFC 6902, section 4).
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `add`: a field, or before an index of a list (`-` is its end).
    Add(Json<'static>),
    /// `replace` what is there.
    Replace(Json<'static>),
    /// `remove` what is there.
    Remove,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// JSON pointer (RFC 6901).
    pub path: String,
    /// What is done there.
    pub action: Action,
}

impl Op {
    /// `add` at a pointer.
    pub fn add(path: impl Into<String>, value: impl Into<Json<'static>>) -> Self {
        Self { path: path.into(), action: Action::Add(value.into()) }
    }

    /// `add` of a field, whose name is escaped.
    pub fn add_in(object: &str, field: &str, value: impl Into<Json<'static>>) -> Self {
        Self::add(format!("{object}/{}", escape(field)), value)
    }

    /// `replace` at a pointer.
    pub fn replace(path: impl Into<String>, value: impl Into<Json<'static>>) -> Self {
        Self { path: path.into(), action: Action::Replace(value.into()) }
    }

    /// `remove` at a pointer.
    pub fn remove(path: impl Into<String>) -> Self {
        Self { path: path.into(), action: Action::Remove }
    }
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (op, value) = match &self.action {
            Action::Add(value) => ("add", Some(value)),
            Action::Replace(value) => ("replace", Some(value)),
            Action::Remove => ("remove", None),
        };
        let mut map = serializer.serialize_map(Some(2 + usize::from(value.is_some())))?;
        map.serialize_entry("op", op)?;
        map.serialize_entry("path", &self.path)?;
        if let Some(value) = value {
            map.serialize_entry("value", value)?;
        }
        map.end()
    }
}

/// Applies operations in order; key order of objects stays.
///
/// # Errors
/// The pointer of the first operation that does not apply. The value is then half patched: throw it away.
pub fn apply(target: &mut Value, ops: &[Op]) -> Result<(), String> {
    for op in ops {
        apply_one(target, op).ok_or_else(|| op.path.clone())?;
    }
    Ok(())
}

/// Whether [`apply`] would succeed, at the cost of moving pointers: what is brought in is not copied, an empty value stands for it.
/// The target is then no longer the document it was.
///
/// # Errors
/// The pointer of the first operation that does not apply, or that leads into what an earlier one brought in; the latter would
/// apply, and is not proven here.
pub fn prove(target: &mut Json<'_>, ops: &[Op]) -> Result<(), String> {
    let mut rest = ops;
    while let Some(first) = rest.first() {
        let parent = parent(first);
        // Operations on one object or list stand together: the way to it is gone once.
        let same = rest.iter().take_while(|op| self::parent(op) == parent).count();
        let (run, later) = rest.split_at(same);
        let place = parent.and_then(|parent| target.pointer_mut(parent)).ok_or_else(|| first.path.clone())?;
        for op in run {
            prove_one(place, op).ok_or_else(|| op.path.clone())?;
        }
        rest = later;
    }
    Ok(())
}

fn parent(op: &Op) -> Option<&str> {
    op.path.rsplit_once('/').map(|(parent, _)| parent)
}

fn prove_one(place: &mut Json<'_>, op: &Op) -> Option<()> {
    let (_, last) = op.path.rsplit_once('/')?;
    match place {
        Json::Object(fields) => {
            let field = unescape(last);
            match &op.action {
                Action::Add(_) => fields.insert(field.into_owned().into(), Json::Null),
                Action::Replace(_) => *fields.get_mut(&field)? = Json::Null,
                Action::Remove => drop(fields.remove(&field)?),
            }
        }
        Json::Array(items) => {
            let end = items.len();
            let index = if last == "-" { end } else { index(last)? };
            match &op.action {
                Action::Add(_) if index <= end => items.insert(index, Json::Null),
                Action::Replace(_) => *items.get_mut(index)? = Json::Null,
                Action::Remove if index < end => drop(items.remove(index)),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

fn apply_one(target: &mut Value, op: &Op) -> Option<()> {
    let (parent, last) = op.path.rsplit_once('/')?;
    match target.pointer_mut(parent)? {
        Value::Object(fields) => {
            let field = unescape(last);
            match &op.action {
                Action::Add(value) => drop(fields.insert(field.into_owned(), value.into())),
                Action::Replace(value) => *fields.get_mut(&*field)? = value.into(),
                Action::Remove => drop(fields.shift_remove(&*field)?),
            }
        }
        Value::Array(items) => {
            let end = items.len();
            let index = if last == "-" { end } else { index(last)? };
            match &op.action {
                Action::Add(value) if index <= end => items.insert(index, value.into()),
                Action::Replace(value) => *items.get_mut(index)? = value.into(),
                Action::Remove if index < end => drop(items.remove(index)),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Small documents, of names and texts that need escapes.
    pub(crate) fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(1)), Just(json!("x\n\"~/")), Just(json!(null)), Just(json!(1.5))];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[ab/~\"-]{0,2}", inner, 0..4).prop_map(|m| json!(m)),
            ]
        })
    }

    /// Operations, of which many apply to such a document.
    pub(crate) fn op() -> impl Strategy<Value = Op> {
        let segment = proptest::sample::select(vec!["0", "1", "2", "-", "a", "b", "~1", "~0", "01", "", "\""]);
        let path = proptest::collection::vec(segment, 1..4).prop_map(|s| format!("/{}", s.join("/")));
        (path, 0..3, document()).prop_map(|(path, kind, value)| match kind {
            0 => Op::add(path, value),
            1 => Op::replace(path, value),
            _ => Op::remove(path),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn does_what_the_json_patch_crate_does(document in document(), ops in proptest::collection::vec(op(), 1..4)) {
            let oracle: json_patch::Patch = serde_json::from_value(serde_json::to_value(&ops).unwrap()).unwrap();
            let (mut ours, mut theirs) = (document.clone(), document);
            let expected = json_patch::patch(&mut theirs, &oracle);
            let applied = apply(&mut ours, &ops);
            prop_assert_eq!(applied.is_ok(), expected.is_ok(), "{:?} {:?}", applied, expected);
            if applied.is_ok() {
                prop_assert_eq!(ours, theirs);
            }
        }

        #[test]
        fn what_is_proven_applies(document in document(), ops in proptest::collection::vec(op(), 1..4)) {
            let proven = prove(&mut Json::from(&document), &ops);
            let applied = apply(&mut document.clone(), &ops);
            prop_assert!(proven.is_err() || applied.is_ok(), "{:?}", ops);
            if let [alone] = &*ops {
                prop_assert_eq!(proven, applied, "{:?}", alone);
            }
        }
    }
}
