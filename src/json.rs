//! JSON as it stands in the bytes: strings are borrowed, names of objects are found by looking, numbers stay what they are.
//!
//! A review reads one document once and builds a patch of small values. `serde_json::Value` copies each string and hashes each
//! name for that; it stays the type wherever a document is written out again.
//!
//! Invariant: the names of an object are unique, the last of several wins (as for `encoding/json` of the API server). An object
//! of up to [`FEW`] names keeps their order; a larger one is sorted, so that looking for a name never walks through thousands.

mod pointer;

use std::borrow::Cow;
use std::fmt;
use std::ops::Index;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Number, Value};

pub use pointer::{escape, index, unescape};

/// Up to so many names are searched from front to back.
const FEW: usize = 32;

static NULL: Json<'static> = Json::Null;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Json<'a> {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string; borrowed where it has no escape.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// The fields of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Json<'a> {
    /// An object of the given fields.
    pub fn object<const N: usize>(fields: [(&'static str, Json<'a>); N]) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// A field of an object.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.as_object()?.get(name)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    /// The items of an array.
    pub fn as_array(&self) -> Option<&[Json<'a>]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The fields of an object.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(fields) = self { Some(fields) } else { None }
    }

    /// What a pointer (RFC 6901) leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Json<'a>> {
        steps(pointer)?.try_fold(self, |at, step| match at {
            Self::Object(fields) => fields.get(&unescape(step)),
            Self::Array(items) => items.get(index(step)?),
            _ => None,
        })
    }

    /// What a pointer (RFC 6901) leads to, to be changed.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Json<'a>> {
        steps(pointer)?.try_fold(self, |at, step| match at {
            Self::Object(fields) => fields.get_mut(&unescape(step)),
            Self::Array(items) => items.get_mut(index(step)?),
            _ => None,
        })
    }

    /// A copy that borrows nothing.
    pub fn to_static(&self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(number) => Json::Number(number.clone()),
            Self::String(text) => text.to_string().into(),
            Self::Array(items) => Json::Array(items.iter().map(Json::to_static).collect()),
            Self::Object(fields) => {
                let owned = |(name, value): &(Cow<'_, str>, Json<'_>)| (name.to_string().into(), value.to_static());
                Json::Object(Object(fields.0.iter().map(owned).collect()))
            }
        }
    }
}

fn steps(pointer: &str) -> Option<impl Iterator<Item = &str>> {
    let steps = if pointer.is_empty() { None } else { Some(pointer.strip_prefix('/')?.split('/')) };
    Some(steps.into_iter().flatten())
}

impl<'a> Object<'a> {
    fn position(&self, name: &str) -> Result<usize, usize> {
        if self.0.len() > FEW {
            return self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        }
        self.0.iter().position(|(known, _)| known == name).ok_or(self.0.len())
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.position(name).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// A field, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json<'a>> {
        self.position(name).ok().and_then(|at| self.0.get_mut(at)).map(|(_, value)| value)
    }

    /// Whether there is a field of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Sets a field.
    pub fn insert(&mut self, name: Cow<'a, str>, value: Json<'a>) {
        match self.position(&name) {
            Ok(at) => drop(self.0.get_mut(at).map(|field| std::mem::replace(&mut field.1, value))),
            Err(at) => {
                self.0.insert(at, (name, value));
                if self.0.len() == FEW + 1 {
                    self.0.sort_by(|a, b| a.0.cmp(&b.0));
                }
            }
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Json<'a>> {
        self.position(name).ok().map(|at| self.0.remove(at).1)
    }

    /// The names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has_repeated_names(&self) -> bool {
        self.0.iter().enumerate().any(|(i, (name, _))| self.0.iter().take(i).any(|(earlier, _)| earlier == name))
    }
}

impl<'a> FromIterator<(Cow<'a, str>, Json<'a>)> for Object<'a> {
    fn from_iter<T: IntoIterator<Item = (Cow<'a, str>, Json<'a>)>>(fields: T) -> Self {
        let mut object = Self(fields.into_iter().collect());
        if object.0.len() <= FEW && !object.has_repeated_names() {
            return object;
        }
        // Stable, so the last of several stands first after turning round, and stays.
        object.0.reverse();
        object.0.sort_by(|a, b| a.0.cmp(&b.0));
        object.0.dedup_by(|later, first| later.0 == first.0);
        object
    }
}

impl Index<&str> for Json<'_> {
    type Output = Self;

    /// A field; `null` where there is none.
    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NULL)
    }
}

impl PartialEq<str> for Json<'_> {
    fn eq(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

impl PartialEq<&str> for Json<'_> {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == Some(text)
    }
}

impl<'a> From<&'a str> for Json<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Json<'_> {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Json<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Json<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<Vec<Json<'a>>> for Json<'a> {
    fn from(items: Vec<Json<'a>>) -> Self {
        Self::Array(items)
    }
}

impl<'a> From<&'a Value> for Json<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(name, value)| (name.as_str().into(), value.into())).collect())
            }
        }
    }
}

impl From<Value> for Json<'static> {
    fn from(value: Value) -> Self {
        Json::from(&value).to_static()
    }
}

impl From<&Json<'_>> for Value {
    fn from(json: &Json<'_>) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.clone()),
            Json::String(text) => Self::String(text.to_string()),
            Json::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Json::Object(fields) => {
                Self::Object(fields.iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
            }
        }
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(fields) => serializer.collect_map(fields.iter()),
        }
    }
}

/// A string, borrowed where it has no escape.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Json::Object(fields.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests;
