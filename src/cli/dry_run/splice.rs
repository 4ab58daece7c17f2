//! A patch applied to JSON text: only what lies on the way of an operation is read, all else stays the text it was.
//!
//! The same result as [`patch::apply`](crate::patch::apply) on the parsed text, for a third of the work; where that is not
//! certain (a field written twice) nothing is given, and the caller takes the other way.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{Json, index, unescape};
use crate::patch::{Action, Op};

/// A tree that is opened where it is touched.
enum Node<'a> {
    Text(&'a RawValue),
    Value(&'a Json<'a>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

/// Writes the patched text; `None`, with nothing written, where it has to be parsed as a whole.
pub(super) fn write(text: &str, patch: &[Op], out: &mut Vec<u8>) -> Option<()> {
    let mut root = Node::Text(serde_json::from_str(text).ok()?);
    for op in patch {
        root.apply(op)?;
    }
    let start = out.len();
    serde_json::to_writer(&mut *out, &root).map_err(|_| out.truncate(start)).ok()
}

impl<'a> Node<'a> {
    fn apply(&mut self, op: &'a Op) -> Option<()> {
        let (parent, last) = op.path.rsplit_once('/')?;
        let mut target = self;
        for segment in parent.split('/').skip(1) {
            target = match target.open()? {
                Self::Object(fields) => {
                    let field = unescape(segment);
                    fields.iter_mut().find(|(name, _)| *name == field).map(|(_, value)| value)?
                }
                Self::Array(items) => items.get_mut(index(segment)?)?,
                Self::Text(_) | Self::Value(_) => return None,
            };
        }
        match target.open()? {
            Self::Object(fields) => change_field(fields, unescape(last), &op.action),
            Self::Array(items) => change_item(items, last, &op.action),
            Self::Text(_) | Self::Value(_) => None,
        }
    }

    /// The fields or items, each unopened; `None` for a scalar.
    fn open(&mut self) -> Option<&mut Self> {
        let opened = match self {
            Self::Text(text) if text.get().starts_with('{') => {
                let Fields(fields) = serde_json::from_str(text.get()).ok()?;
                Self::Object(fields.into_iter().map(|(name, text)| (name, Self::Text(text))).collect())
            }
            Self::Text(text) => {
                let items: Vec<&RawValue> = serde_json::from_str(text.get()).ok()?;
                Self::Array(items.into_iter().map(Self::Text).collect())
            }
            Self::Value(Json::Object(fields)) => {
                Self::Object(fields.iter().map(|(name, value)| (name.into(), Self::Value(value))).collect())
            }
            Self::Value(Json::Array(items)) => Self::Array(items.iter().map(Self::Value).collect()),
            Self::Value(_) => return None,
            Self::Object(_) | Self::Array(_) => return Some(self),
        };
        *self = opened;
        Some(self)
    }
}

fn change_field<'a>(fields: &mut Vec<(Cow<'a, str>, Node<'a>)>, name: Cow<'a, str>, action: &'a Action) -> Option<()> {
    let at = fields.iter().position(|(field, _)| *field == name);
    match (action, at) {
        (Action::Add(value) | Action::Replace(value), Some(at)) => fields.get_mut(at)?.1 = Node::Value(value),
        (Action::Add(value), None) => fields.push((name, Node::Value(value))),
        (Action::Remove, Some(at)) => drop(fields.remove(at)),
        (Action::Replace(_) | Action::Remove, None) => return None,
    }
    Some(())
}

fn change_item<'a>(items: &mut Vec<Node<'a>>, last: &str, action: &'a Action) -> Option<()> {
    let at = if last == "-" { items.len() } else { index(last)? };
    match action {
        Action::Add(value) if at <= items.len() => items.insert(at, Node::Value(value)),
        Action::Replace(value) => *items.get_mut(at)? = Node::Value(value),
        Action::Remove if at < items.len() => drop(items.remove(at)),
        _ => return None,
    }
    Some(())
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Value(value) => value.serialize(serializer),
            Self::Object(fields) => serializer.collect_map(fields.iter().map(|(name, value)| (name, value))),
            Self::Array(items) => serializer.collect_seq(items),
        }
    }
}

/// An object's fields in order, none twice.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A field's name, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                let names: BTreeSet<&str> = fields.iter().map(|(name, _): &(Cow<'_, str>, _)| name.as_ref()).collect();
                if names.len() < fields.len() {
                    return Err(serde::de::Error::custom("a field is written twice"));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch;
    use crate::patch::tests::{document, op};
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn text_is_patched_as_its_value_is(document in document(), ops in prop::collection::vec(op(), 0..4)) {
            let mut expected = document.clone();
            let applies = patch::apply(&mut expected, &ops).is_ok();
            let mut out = Vec::new();
            let written = write(&document.to_string(), &ops, &mut out);
            prop_assert_eq!(written.is_some(), applies);
            if applies {
                prop_assert_eq!(String::from_utf8(out).unwrap(), expected.to_string());
            }
        }
    }

    #[test]
    fn a_field_written_twice_is_left_to_the_parser() {
        let mut out = Vec::new();
        assert!(write(r#"{"a":1,"a":2}"#, &[Op::add("/b", json!(1))], &mut out).is_none() && out.is_empty());
    }
}
