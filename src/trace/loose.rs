//! JSON that anybody may have written -> what is needed of it, as it streams by: what has another form is as if it was not there, and what is
//! not asked for takes no memory.
//!
//! Not serde's derive: one value of a wrong type would be an error of the whole list that it is in, and a Workflow's status has no schema.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::phase::{Kind, Phase};
use super::status::{Time, read_time};

/// What can be made of any JSON: each function takes one form, and gives the default for those that it is not.
pub(super) trait Loose: Default {
    /// A text.
    fn text(_: &str) -> Self {
        Self::default()
    }

    /// `true` or `false`.
    fn flag(_: bool) -> Self {
        Self::default()
    }

    /// A field of an object; whether it was taken is for it to say, by asking for its value.
    ///
    /// # Errors
    /// The JSON is none.
    fn field<'de, A: MapAccess<'de>>(&mut self, _: String, map: &mut A) -> Result<(), A::Error> {
        skip(map)
    }

    /// An item of a list.
    ///
    /// # Errors
    /// The JSON is none.
    fn item<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element::<IgnoredAny>()?.is_some())
    }
}

/// Passes over a value.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// Takes a value.
pub(super) fn take<'de, T: Loose, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    map.next_value::<As<T>>().map(|value| value.0)
}

/// What serde reads as such.
#[derive(Debug, Clone, Default)]
pub struct As<T>(pub T);

impl<'de, T: Loose> Deserialize<'de> for As<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any(PhantomData)).map(As)
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Loose> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        Ok(T::flag(flag))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(key) = map.next_key()? {
            value.field(key, &mut map)?;
        }
        Ok(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while value.item(&mut list)? {}
        Ok(value)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }
}

/// Longest message that is kept: a span has the first 256 bytes of it, a table one line.
const LONGEST: usize = 4096;

/// A text that may be as long as anybody likes.
pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text.shrink_to_fit();
    text
}

/// Of an object, what stands under one name: all else is passed over.
pub(super) struct FieldOf<'k>(pub &'k str);

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldOf<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                skip(&mut map)?;
            }
        }
        Ok(found)
    }
}

impl Loose for String {
    fn text(text: &str) -> Self {
        text.to_owned()
    }
}

/// The items of a list.
#[derive(Debug, Clone)]
pub(super) struct Each<T>(pub Vec<T>);

impl<T> Default for Each<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Loose> Loose for Each<T> {
    fn item<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(item) = list.next_element::<As<T>>()? else { return Ok(false) };
        self.0.push(item.0);
        Ok(true)
    }
}

/// Those that are texts, and not empty.
impl Loose for Vec<String> {
    fn item<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(item) = list.next_element::<As<String>>()? else { return Ok(false) };
        self.extend(Some(item.0).filter(|text| !text.is_empty()));
        Ok(true)
    }
}

impl Loose for Option<Time> {
    fn text(text: &str) -> Self {
        read_time(text)
    }
}

impl Loose for Phase {
    fn text(text: &str) -> Self {
        Self::read(text)
    }
}

impl Loose for Kind {
    fn text(text: &str) -> Self {
        Self::read(text)
    }
}

impl Loose for bool {
    fn flag(flag: bool) -> Self {
        flag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Both(String, bool);

    impl Loose for Both {
        fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
            match key.as_str() {
                "a" => self.0 = take(map)?,
                "b" => self.1 = take(map)?,
                _ => skip(map)?,
            }
            Ok(())
        }
    }

    #[test]
    fn what_has_another_form_is_not_there() {
        let read = |json: &str| serde_json::from_str::<As<Both>>(json).map(|both| both.0).ok();
        assert_eq!(read(r#"{"a":"x","b":true,"c":[{"a":1}]}"#), Some(Both("x".into(), true)));
        for json in ["1", "-1", "1.5", "null", "\"a\"", "[1,{}]", "true", "{}", r#"{"a":{"a":"x"},"b":"true"}"#] {
            assert_eq!(read(json), Some(Both::default()), "{json}");
        }
        for json in ["", "{", r#"{"a":"x""#, "[1"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
