//! Values, as an evaluation sees them: the pod and the other maps of a scope are looked at where they are.
//!
//! Cloning a value never copies what it holds, so values go through loops, lists and optionals without a cost of their
//! own.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use super::bounds::Meter;
use super::error::EvalError;
use super::scope::Workflow;
use crate::json::Json;

/// One value, borrowing from the scope or the expression.
#[derive(Debug, Clone)]
pub(super) enum Item<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Text<'a>),
    /// An object or an array; [`Item::from_json`] makes the others plain values.
    Json(&'a Json<'a>),
    Texts(&'a BTreeMap<String, String>),
    Workflow(&'a Workflow<'a>),
    List(Rc<[Item<'a>]>),
    /// A map literal: few entries, so searched from front to back.
    Map(Rc<[(Item<'a>, Item<'a>)]>),
    Optional(Option<Rc<Item<'a>>>),
}

/// A string of the scope or the expression, or one made on the way.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Made(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> Text<'a> {
    /// The part `start..end` (bytes on character boundaries), without a copy where the whole is not a copy either.
    pub(super) fn part(&self, start: usize, end: usize) -> Text<'a> {
        match self {
            Self::Borrowed(text) => Text::Borrowed(text.get(start..end).unwrap_or_default()),
            Self::Made(text) => Text::Made(text.get(start..end).unwrap_or_default().into()),
        }
    }
}

impl<'a> From<&'a str> for Item<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }
}

impl From<String> for Item<'_> {
    fn from(text: String) -> Self {
        Self::Text(Text::Made(text.into()))
    }
}

impl<'a> Item<'a> {
    /// A JSON value: whole numbers are ints, all others doubles.
    pub(super) fn from_json(value: &'a Json<'a>) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::from(&**text),
            Json::Number(number) => match number.as_i64() {
                Some(int) => Self::Int(int),
                None => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Array(_) | Json::Object(_) => Self::Json(value),
        }
    }

    /// The type, as messages name it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Json(Json::Array(_)) | Self::List(_) => "list",
            Self::Json(_) | Self::Texts(_) | Self::Workflow(_) | Self::Map(_) => "map",
            Self::Optional(_) => "optional",
        }
    }

    /// Elements of a list or entries of a map.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Json(Json::Array(list)) => Some(list.len()),
            Self::Json(Json::Object(map)) => Some(map.len()),
            Self::Texts(map) => Some(map.len()),
            Self::Workflow(_) => Some(Workflow::KEYS.len()),
            Self::List(list) => Some(list.len()),
            Self::Map(map) => Some(map.len()),
            _ => None,
        }
    }

    /// A number without a fraction, as an int.
    pub(super) fn as_whole(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            Self::Double(value) if value.fract() == 0.0 && (-INT_END..INT_END).contains(value) => Some(*value as i64),
            _ => None,
        }
    }

    /// The element at `index` of a list.
    pub(super) fn element(&self, index: usize) -> Option<Item<'a>> {
        match self {
            Self::Json(Json::Array(list)) => list.get(index).map(Item::from_json),
            Self::List(list) => list.get(index).cloned(),
            _ => None,
        }
    }

    /// What a map has under `key`. Any value may be asked for: only what can be a key is found.
    pub(super) fn entry(&self, key: &Item<'a>, meter: &mut Meter) -> Result<Option<Item<'a>>, EvalError> {
        if let Self::Map(entries) = self {
            for (known, value) in entries.iter() {
                if known.equals(key, meter)? {
                    return Ok(Some(value.clone()));
                }
            }
            return Ok(None);
        }
        let Self::Text(key) = key else { return Ok(None) };
        Ok(match self {
            Self::Json(Json::Object(map)) => map.get(key).map(Item::from_json),
            Self::Texts(map) => map.get(&**key).map(|text| Item::from(text.as_str())),
            Self::Workflow(workflow) => workflow.entry(key),
            _ => None,
        })
    }

    /// The elements of a list or the keys of a map, in their order; `None` for anything else.
    pub(super) fn iterate(&self) -> Option<Box<dyn Iterator<Item = Item<'a>> + 'a>> {
        Some(match self {
            Self::Json(Json::Array(list)) => Box::new(list.iter().map(Item::from_json)),
            Self::Json(Json::Object(map)) => Box::new(map.keys().map(Item::from)),
            Self::Texts(map) => Box::new(map.keys().map(|key| Item::from(key.as_str()))),
            Self::Workflow(_) => Box::new(Workflow::KEYS.into_iter().map(Item::from)),
            Self::List(list) => {
                let list = Rc::clone(list);
                Box::new((0..list.len()).filter_map(move |index| list.get(index).cloned()))
            }
            Self::Map(map) => {
                let map = Rc::clone(map);
                Box::new((0..map.len()).filter_map(move |index| map.get(index).map(|(key, _)| key.clone())))
            }
            _ => return None,
        })
    }

    fn is_map(&self) -> bool {
        self.type_name() == "map"
    }

    /// `==`: values of different types differ, but for ints and doubles of the same number.
    pub(super) fn equals(&self, other: &Item<'a>, meter: &mut Meter) -> Result<bool, EvalError> {
        meter.charge(1)?;
        match (self, other) {
            (Self::Null, Self::Null) => Ok(true),
            (Self::Bool(a), Self::Bool(b)) => Ok(a == b),
            (Self::Text(a), Self::Text(b)) => {
                let same_length = a.len() == b.len();
                meter.charge_text(if same_length { a.len() } else { 0 })?;
                Ok(same_length && **a == **b)
            }
            (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_)) => {
                Ok(compare_numbers(self, other) == Some(Ordering::Equal))
            }
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b, meter),
                (a, b) => Ok(a.is_none() && b.is_none()),
            },
            _ if self.len().is_none() || self.len() != other.len() => Ok(false),
            _ if self.is_map() && other.is_map() => self.same_entries(other, meter),
            _ if self.is_map() || other.is_map() => Ok(false),
            _ => self.same_elements(other, meter),
        }
    }

    fn same_elements(&self, other: &Item<'a>, meter: &mut Meter) -> Result<bool, EvalError> {
        for (a, b) in self.iterate().into_iter().flatten().zip(other.iterate().into_iter().flatten()) {
            if !a.equals(&b, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn same_entries(&self, other: &Item<'a>, meter: &mut Meter) -> Result<bool, EvalError> {
        for key in self.iterate().into_iter().flatten() {
            let same = match (self.entry(&key, meter)?, other.entry(&key, meter)?) {
                (Some(a), Some(b)) => a.equals(&b, meter)?,
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `<` and its like: numbers, strings by code point, bools (false first); `None` for anything else.
    pub(super) fn compare(&self, other: &Item<'a>, meter: &mut Meter) -> Result<Option<Ordering>, EvalError> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Ok(Some(a.cmp(b))),
            (Self::Text(a), Self::Text(b)) => {
                meter.charge_text(a.len().min(b.len()))?;
                Ok(Some(a.cmp(b)))
            }
            _ => Ok(compare_numbers(self, other)),
        }
    }
}

/// Orders ints and doubles by their number, without rounding; `None` for anything else and for what is not a number.
fn compare_numbers(a: &Item<'_>, b: &Item<'_>) -> Option<Ordering> {
    match (a, b) {
        (Item::Int(a), Item::Int(b)) => Some(a.cmp(b)),
        (Item::Double(a), Item::Double(b)) => a.partial_cmp(b),
        (Item::Int(a), Item::Double(b)) => compare_int(*a, *b),
        (Item::Double(a), Item::Int(b)) => compare_int(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

/// 2^63, the first double beyond all ints.
pub(super) const INT_END: f64 = 9_223_372_036_854_775_808.0;

fn compare_int(int: i64, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        None
    } else if double >= INT_END {
        Some(Ordering::Less)
    } else if double < -INT_END {
        Some(Ordering::Greater)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "in range, as checked above, and whole")]
        let whole = double.floor() as i64;
        Some(int.cmp(&whole).then(if double.fract() == 0.0 { Ordering::Equal } else { Ordering::Less }))
    }
}
