//! A tree that knows where each node stands, for files whose mistakes we point at.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::entries::Entries;
use super::resolve::Scalar;
use super::value::to_value;
use super::walk::{self, Build};
use super::{Span, YamlError};

/// A node and its place.
///
/// A node that an alias brought in keeps the place of its anchor: that is where the text to change stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the node starts; for an empty value, where it would.
    pub span: Span,
    /// Where it ends: behind its last character; for a map or sequence without brackets, where its last node does.
    pub end: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Null, a boolean, a number or a string; never an array or an object.
    Scalar(Value),
    /// A map, in the order of the file. No key occurs twice.
    Map(Vec<(Key, Node)>),
    /// A sequence.
    Seq(Vec<Node>),
}

/// The key of a map, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key as JSON has it.
    pub text: String,
    /// Where the key starts.
    pub span: Span,
}

/// A whole document with its places.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned {
    /// The outermost node.
    pub root: Node,
}

impl Spanned {
    /// Reads one document by the same rules as [`read`](super::read), keeping places.
    pub fn read(text: &str, first_line: usize) -> Result<Self, YamlError> {
        walk::walk::<SpannedTree>(text, first_line).map(|root| Self { root })
    }

    /// The document as JSON: what [`read`](super::read) gives.
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }

    /// The node at a path such as `spec.match.when[0]` or `metadata.labels["a.b"]`; the empty path is the root.
    pub fn node(&self, path: &str) -> Option<&Node> {
        let mut node = &self.root;
        for step in steps(path) {
            node = node.child(&step)?.2;
        }
        Some(node)
    }

    /// The best place to point at for a path: the key (or, in a sequence, the item) if it exists, else the nearest
    /// ancestor that does.
    pub fn span(&self, path: &str) -> Span {
        self.way(path).last().map_or(self.root.span, |(at, _, _)| *at)
    }

    /// What to mark for a path: from the place of [`Spanned::span`] to the end of the value, or of the key where that is on another line.
    pub fn region(&self, path: &str) -> (Span, Span) {
        let Some((start, key, node)) = self.way(path).pop() else { return (self.root.span, self.root.span) };
        if node.end.line == start.line {
            return (start, node.end);
        }
        (start, Span { line: start.line, column: start.column + key.map_or(1, |key| key.chars().count()) })
    }

    /// The lines on which a path's keys stand, from the root's on.
    pub fn lines(&self, path: &str) -> impl Iterator<Item = usize> {
        let deeper = self.way(path).into_iter().map(|(at, _, _)| at.line);
        std::iter::once(self.root.span.line).chain(deeper)
    }

    /// What a path leads through as far as it goes: place, key (none in a sequence), node.
    pub(super) fn way(&self, path: &str) -> Vec<(Span, Option<&str>, &Node)> {
        let (mut node, mut way) = (&self.root, Vec::new());
        for step in steps(path) {
            let Some((at, key, child)) = node.child(&step) else { break };
            way.push((at, key, child));
            node = child;
        }
        way
    }
}

impl Node {
    /// The node as JSON.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Seq(items) => items.iter().map(Self::to_value).collect(),
            Kind::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                map.extend(entries.iter().map(|(key, node)| (key.text.clone(), node.to_value())));
                Value::Object(map)
            }
        }
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, _, node)| node)
    }

    fn entry(&self, key: &str) -> Option<(Span, Option<&str>, &Self)> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(k, _)| k.text == key).map(|(k, node)| (k.span, Some(k.text.as_str()), node))
    }

    fn child(&self, step: &Step<'_>) -> Option<(Span, Option<&str>, &Self)> {
        match step {
            Step::Key(key) => self.entry(key),
            Step::Index(index) => {
                let Kind::Seq(items) = &self.kind else { return None };
                items.get(*index).map(|item| (item.span, None, item))
            }
        }
    }
}

pub(super) enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// Splits `a.b[0]["c.d"]` into its steps. What is not well-formed becomes a key that is not there.
pub(super) fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
            bracket(inside)
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            (Step::Key(Cow::Borrowed(&rest[..end])), &rest[end..])
        };
        steps.push(step);
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

/// What stands in brackets: an index, or a key in JSON quotes.
fn bracket(inside: &str) -> (Step<'_>, &str) {
    if inside.starts_with('"') {
        let mut stream = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        if let Some(Ok(key)) = stream.next() {
            let after = &inside[stream.byte_offset()..];
            return (Step::Key(Cow::Owned(key)), after.strip_prefix(']').unwrap_or(after));
        }
    }
    let end = inside.find(']').unwrap_or(inside.len());
    let after = inside.get(end + 1..).unwrap_or("");
    let text = &inside[..end];
    (text.parse().map_or(Step::Key(Cow::Borrowed(text)), Step::Index), after)
}

struct SpannedTree;

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<'a> Build<'a> for SpannedTree {
    type Node = Node;
    type Map = Entries<Key, Node>;

    fn scalar(resolved: Scalar, text: Cow<'a, str>, span: Span, end: Span) -> Result<Node, String> {
        to_value(resolved, text).map(|value| Node { span, end, kind: Kind::Scalar(value) })
    }

    fn sequence(items: Vec<Node>, span: Span, closed: Option<Span>) -> Node {
        let end = closed.or(items.last().map(|item| item.end)).unwrap_or(span);
        Node { span, end, kind: Kind::Seq(items) }
    }

    fn map(map: Self::Map, span: Span, closed: Option<Span>) -> Node {
        let entries = map.into_list();
        let end = closed.or(entries.last().map(|(_, value)| value.end)).unwrap_or(span);
        Node { span, end, kind: Kind::Map(entries) }
    }

    fn insert(map: &mut Self::Map, text: Cow<'a, str>, span: Span, value: Node) -> Result<(), Cow<'a, str>> {
        let key = Key { text: text.into_owned(), span };
        map.set(key, value).map_or(Ok(()), |known| Err(known.text.into()))
    }

    fn position(map: &Self::Map, key: &str) -> Option<usize> {
        map.position(key)
    }

    fn as_sequence(node: &Node) -> Option<&[Node]> {
        if let Kind::Seq(items) = &node.kind { Some(items) } else { None }
    }

    fn is_map(node: &Node) -> bool {
        matches!(node.kind, Kind::Map(_))
    }

    fn entries(node: Node) -> impl Iterator<Item = (Cow<'a, str>, Span, Node)> {
        let entries = if let Kind::Map(entries) = node.kind { entries } else { Vec::new() };
        entries.into_iter().map(|(key, node)| (key.text.into(), key.span, node))
    }
}
