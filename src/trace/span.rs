//! A span, as OTLP has it (opentelemetry-proto, `trace/v1/trace.proto`).

use std::borrow::Cow;

use super::status::Time;
use crate::identity::{SpanId, TraceId, TraceParent};

/// The name of an attribute.
pub type Key = Cow<'static, str>;

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Something that happened while it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What, in a few fixed words.
    pub name: &'static str,
    /// To what.
    pub attributes: Vec<(Key, Value)>,
}

/// Another span that it belongs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which one.
    pub to: TraceParent,
    /// What that one is to this: `stepspan.link` = `incoming`, `previous attempt` or `first run`.
    pub role: &'static str,
}

/// A span of a Workflow or of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The Workflow's trace, or the one that its policy joins.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is in.
    pub parent: Option<SpanId>,
    /// What it is called.
    pub name: String,
    /// When it began.
    pub start: Time,
    /// When it ended; `None` while it goes on.
    pub end: Option<Time>,
    /// What is known of it.
    pub attributes: Vec<(Key, Value)>,
    /// What happened on the way, by time.
    pub events: Vec<Event>,
    /// What it belongs with.
    pub links: Vec<Link>,
    /// Why it failed, where it did: the span's status is ERROR, else unset.
    pub error: Option<String>,
}

impl Span {
    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}
