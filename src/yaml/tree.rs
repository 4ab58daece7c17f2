//! A document whose texts stay where they were read: for what is looked at, changed in a few places and written out again.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Number, Value};

use super::entries::Entries;
use super::resolve::Scalar;
use super::value::float;
use super::walk::{self, Build};
use super::{Span, YamlError};
use crate::json::{Json, Text};

/// A document; keys keep their order and none occurs twice. `L` is what stands at its ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<'a, L = Leaf<'a>> {
    /// What has nothing below it.
    Leaf(L),
    /// A sequence.
    Sequence(Vec<Self>),
    /// A map.
    Map(Vec<(Cow<'a, str>, Self)>),
}

/// A scalar.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Leaf<'a> {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text, borrowed where it stands in the document as it is.
    Text(Cow<'a, str>),
}

impl<L: Default> Default for Tree<'_, L> {
    fn default() -> Self {
        Self::Leaf(L::default())
    }
}

impl<L> Tree<'_, L> {
    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Whether this is a map.
    pub fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }
}

impl<'a> Tree<'a> {
    /// Reads one document by the same rules as [`read`](super::read).
    pub fn read(text: &'a str, first_line: usize) -> Result<Self, YamlError> {
        walk::walk::<TreeBuild>(text, first_line)
    }

    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Leaf(Leaf::Text(text.into()))
    }

    /// What the text says, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Leaf(Leaf::Text(text)) = self { Some(text) } else { None }
    }
}

impl<'a> From<&'a Value> for Tree<'a> {
    fn from(value: &'a Value) -> Self {
        Self::Leaf(match value {
            Value::Null => Leaf::Null,
            Value::Bool(value) => Leaf::Bool(*value),
            Value::Number(number) => Leaf::Number(number.clone()),
            Value::String(text) => Leaf::Text(text.into()),
            Value::Array(items) => return Self::Sequence(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                return Self::Map(fields.iter().map(|(name, value)| (name.into(), value.into())).collect());
            }
        })
    }
}

impl<'a> From<&'a Json<'_>> for Tree<'a> {
    fn from(json: &'a Json<'_>) -> Self {
        Self::Leaf(match json {
            Json::Null => Leaf::Null,
            Json::Bool(value) => Leaf::Bool(*value),
            Json::Number(number) => Leaf::Number(number.clone()),
            Json::String(text) => Leaf::Text((&**text).into()),
            Json::Array(items) => return Self::Sequence(items.iter().map(Self::from).collect()),
            Json::Object(fields) => {
                return Self::Map(fields.iter().map(|(name, value)| (name.into(), value.into())).collect());
            }
        })
    }
}

impl<'a> From<&'a Tree<'_>> for Json<'a> {
    fn from(tree: &'a Tree<'_>) -> Self {
        match tree {
            Tree::Leaf(Leaf::Null) => Self::Null,
            Tree::Leaf(Leaf::Bool(value)) => Self::Bool(*value),
            Tree::Leaf(Leaf::Number(number)) => Self::Number(number.clone()),
            Tree::Leaf(Leaf::Text(text)) => Self::String((&**text).into()),
            Tree::Sequence(items) => Self::Array(items.iter().map(Self::from).collect()),
            Tree::Map(entries) => {
                Self::Object(entries.iter().map(|(key, value)| ((&**key).into(), value.into())).collect())
            }
        }
    }
}

impl<L: Serialize> Serialize for Tree<'_, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leaf(leaf) => leaf.serialize(serializer),
            Self::Sequence(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl Serialize for Leaf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

struct TreeBuild;

impl<'a> Build<'a> for TreeBuild {
    type Node = Tree<'a>;
    type Map = Entries<Cow<'a, str>, Tree<'a>>;

    #[inline]
    fn scalar(resolved: Scalar, text: Cow<'a, str>, _: Span, _: Span) -> Result<Tree<'a>, String> {
        Ok(Tree::Leaf(match resolved {
            Scalar::Text => Leaf::Text(text),
            Scalar::Decoded(text) => Leaf::Text(text.into()),
            Scalar::Null => Leaf::Null,
            Scalar::Bool(value) => Leaf::Bool(value),
            Scalar::Negative(n) => Leaf::Number(n.into()),
            Scalar::Unsigned(n) => Leaf::Number(n.into()),
            Scalar::Float(f) => Leaf::Number(float(f, &text)?),
        }))
    }

    fn sequence(items: Vec<Tree<'a>>, _: Span, _: Option<Span>) -> Tree<'a> {
        Tree::Sequence(items)
    }

    fn map(map: Self::Map, _: Span, _: Option<Span>) -> Tree<'a> {
        Tree::Map(map.into_list())
    }

    #[inline]
    fn insert(map: &mut Self::Map, key: Cow<'a, str>, _: Span, value: Tree<'a>) -> Result<(), Cow<'a, str>> {
        map.set(key, value).map_or(Ok(()), Err)
    }

    fn position(map: &Self::Map, key: &str) -> Option<usize> {
        map.position(key)
    }

    fn as_sequence<'n>(node: &'n Tree<'a>) -> Option<&'n [Tree<'a>]> {
        if let Tree::Sequence(items) = node { Some(items) } else { None }
    }

    fn is_map(node: &Tree<'a>) -> bool {
        node.is_map()
    }

    fn entries(node: Tree<'a>) -> impl Iterator<Item = (Cow<'a, str>, Span, Tree<'a>)> {
        let entries = if let Tree::Map(entries) = node { entries } else { Vec::new() };
        entries.into_iter().map(|(key, value)| (key, Span { line: 0, column: 0 }, value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Leaf(Leaf::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Leaf(Leaf::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Leaf(Leaf::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Leaf(Leaf::Number(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Tree::Leaf(Number::from_f64(value).map_or(Leaf::Null, Leaf::Number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let mut entries = Entries::default();
        while let Some((Text(name), value)) = map.next_entry()? {
            // The last of several is what counts, as for the API server.
            entries.set(name, value);
        }
        Ok(Tree::Map(entries.into_list()))
    }
}
