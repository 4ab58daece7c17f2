//! The walker's tree for [`serde_json::Value`].

use std::borrow::Cow;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::resolve::Scalar;
use super::walk::{self, Build};
use super::{Span, YamlError, number};

/// Reads one YAML document as the JSON that kubectl would send for it.
///
/// `first_line` is the line of the file on which `text` starts, from 1; errors name lines of the file. A text without
/// content is null. The rules for scalars are those of go-yaml v2 (see [`crate::yaml`]).
pub fn read(text: &str, first_line: usize) -> Result<Value, YamlError> {
    walk::walk::<JsonTree>(text, first_line)
}

struct JsonTree;

impl<'a> Build<'a> for JsonTree {
    type Node = Value;
    type Map = Map<String, Value>;

    #[inline]
    fn scalar(resolved: Scalar, text: Cow<'a, str>, _: Span, _: Span) -> Result<Value, String> {
        to_value(resolved, text)
    }

    fn sequence(items: Vec<Value>, _: Span, _: Option<Span>) -> Value {
        Value::Array(items)
    }

    fn map(map: Self::Map, _: Span, _: Option<Span>) -> Value {
        Value::Object(map)
    }

    #[inline]
    fn insert(map: &mut Self::Map, key: Cow<'a, str>, _: Span, value: Value) -> Result<(), Cow<'a, str>> {
        match map.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
            Entry::Occupied(mut entry) => {
                entry.insert(value);
                Err(entry.key().clone().into())
            }
        }
    }

    fn position(map: &Self::Map, key: &str) -> Option<usize> {
        map.keys().position(|k| k == key)
    }

    fn as_sequence(node: &Value) -> Option<&[Value]> {
        node.as_array().map(Vec::as_slice)
    }

    fn is_map(node: &Value) -> bool {
        node.is_object()
    }

    fn entries(node: Value) -> impl Iterator<Item = (Cow<'a, str>, Span, Value)> {
        let map = if let Value::Object(map) = node { map } else { Map::new() };
        map.into_iter().map(|(key, value)| (key.into(), Span { line: 0, column: 0 }, value))
    }
}

/// The JSON value of a resolved scalar.
pub(super) fn to_value(resolved: Scalar, text: Cow<'_, str>) -> Result<Value, String> {
    Ok(match resolved {
        Scalar::Text => Value::String(text.into_owned()),
        Scalar::Decoded(text) => Value::String(text),
        Scalar::Null => Value::Null,
        Scalar::Bool(b) => Value::Bool(b),
        Scalar::Negative(n) => Value::from(n),
        Scalar::Unsigned(n) => Value::from(n),
        Scalar::Float(f) => Value::Number(float(f, &text)?),
    })
}

/// The number that JSON has for a float written as `text`.
pub(super) fn float(float: f64, text: &str) -> Result<Number, String> {
    number::from_float(float).ok_or_else(|| format!("`{text}` is not a number that JSON has"))
}
