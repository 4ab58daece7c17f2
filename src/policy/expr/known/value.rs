//! What can be known of a value before there is a pod.

use std::cmp::Ordering;

use super::shape::{Form, Shape};

/// What is known of the value of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Is {
    Shape(Shape),
    /// A literal.
    Null,
    Int(i64),
    Double(f64),
    Text(String),
    /// A number of either kind.
    Number,
    /// A whole number, not below this one.
    AtLeast(i64),
    /// A literal list.
    List(Vec<Is>),
    /// Some list, some map.
    AnyList,
    AnyMap,
    /// An optional that has this, or nothing.
    Optional(Shape),
    Condition(Truth),
    /// The evaluation fails on every pod.
    Fails,
}

/// What a condition may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truth {
    pub yes: bool,
    pub no: bool,
}

impl Truth {
    pub const ANY: Self = Self { yes: true, no: true };
    pub const YES: Self = Self { yes: true, no: false };
    pub const NO: Self = Self { yes: false, no: true };
    pub const NEITHER: Self = Self { yes: false, no: false };

    /// The one thing it can come to.
    pub fn decided(self) -> Option<bool> {
        (self.yes != self.no).then_some(self.yes)
    }
}

/// Types that are never equal to each other and can't be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Bool,
    Number,
    Text,
    List,
    Map,
}

impl Type {
    pub fn noun(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

impl Is {
    pub fn truth(&self) -> Truth {
        match self {
            Self::Condition(truth) => *truth,
            Self::Shape(Shape::Anything | Shape::Bool) => Truth::ANY,
            _ => Truth::NEITHER,
        }
    }

    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Self::Shape(Shape::Anything) | Self::Optional(_) | Self::Fails => return None,
            Self::Shape(Shape::Text(_) | Shape::Exactly(_)) | Self::Text(_) => Type::Text,
            Self::Shape(Shape::Int) | Self::Int(_) | Self::Double(_) | Self::Number | Self::AtLeast(_) => Type::Number,
            Self::Shape(Shape::Bool) | Self::Condition(_) => Type::Bool,
            Self::Shape(Shape::Map(_)) | Self::AnyMap => Type::Map,
            Self::Shape(Shape::List(_)) | Self::List(_) | Self::AnyList => Type::List,
            Self::Null => Type::Null,
        })
    }

    /// The text, where it is one known in full.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Shape(Shape::Exactly(text)) => Some(text),
            _ => None,
        }
    }

    pub fn form(&self) -> Form {
        if let Self::Shape(Shape::Text(form)) = self { *form } else { Form::Free }
    }
}

/// How two constants compare; `None` where one of them is none.
pub(super) fn constants(left: &Is, right: &Is) -> Option<Ordering> {
    match (left, right) {
        (Is::Int(a), Is::Int(b)) => Some(a.cmp(b)),
        (Is::Double(a), Is::Double(b)) => a.partial_cmp(b),
        (Is::Text(a), Is::Text(b)) => Some(a.cmp(b)),
        (Is::Null, Is::Null) => Some(Ordering::Equal),
        (Is::Condition(a), Is::Condition(b)) => Some(a.decided()?.cmp(&b.decided()?)),
        _ => None,
    }
}
