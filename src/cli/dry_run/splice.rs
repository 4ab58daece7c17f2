//! A patch applied to JSON text: only what lies on the way of an operation is read, all else stays the text it was.
//!
//! The same result as [`patch::apply`](crate::patch::apply) on the parsed text, for a third of the work; where that is not
//! certain (a field written twice) nothing is given, and the caller takes the other way.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::apply::{End, apply};
use crate::json::Json;
use crate::patch::Op;
use crate::yaml::Tree;

/// JSON that is opened where it is touched.
#[derive(Serialize)]
#[serde(untagged)]
enum Unopened<'a> {
    Text(&'a RawValue),
    Value(&'a Json<'a>),
}

/// Writes the patched text; `None`, with nothing written, where it has to be parsed as a whole.
pub(super) fn write(text: &str, patch: &[Op], out: &mut Vec<u8>) -> Option<()> {
    let mut root = Tree::Leaf(Unopened::Text(serde_json::from_str(text).ok()?));
    apply(&mut root, patch)?;
    let start = out.len();
    serde_json::to_writer(&mut *out, &root).map_err(|_| out.truncate(start)).ok()
}

impl<'a> End<'a> for Unopened<'a> {
    fn open(&self) -> Option<Tree<'a, Self>> {
        let text = |text| Tree::Leaf(Self::Text(text));
        Some(match self {
            Self::Text(object) if object.get().starts_with('{') => {
                let Fields(fields) = serde_json::from_str(object.get()).ok()?;
                Tree::Map(fields.into_iter().map(|(name, value)| (name, text(value))).collect())
            }
            Self::Text(array) => {
                let items: Vec<&RawValue> = serde_json::from_str(array.get()).ok()?;
                Tree::Sequence(items.into_iter().map(text).collect())
            }
            Self::Value(Json::Object(fields)) => {
                Tree::Map(fields.iter().map(|(name, value)| (name.into(), Self::brought(value))).collect())
            }
            Self::Value(Json::Array(items)) => Tree::Sequence(items.iter().map(Self::brought).collect()),
            Self::Value(_) => return None,
        })
    }

    fn brought(value: &'a Json<'a>) -> Tree<'a, Self> {
        Tree::Leaf(Self::Value(value))
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
