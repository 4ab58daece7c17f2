//! From events to a tree: one walker for every kind of tree.
//!
//! Everything that a hostile document can make large is counted here: depth, nodes, and the text that aliases copy.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput, Tag};

use super::resolve::{self, Scalar, shorten};
use super::{Span, YamlError, number};

/// Deepest nesting of maps and sequences, after aliases are expanded.
pub(super) const MAX_DEPTH: usize = 100;
/// Most nodes (scalars, keys, maps and sequences) in one document, after aliases are expanded.
pub(super) const MAX_NODES: usize = 1_000_000;
/// Most bytes of scalar text that anchors and aliases may copy in one document.
pub(super) const MAX_COPIED: usize = 64 << 20;

const NAMESPACE: &str = "tag:yaml.org,2002:";
const QUOTE_KEY: &str = "write the key in quotes";

/// What the walker builds of a text that lives for `'a`.
pub(super) trait Build<'a> {
    type Node: Clone;
    type Map: Default;

    /// A scalar from `span` up to `end`; `text` is what it says, for [`Scalar::Text`] its value. `Err` for what JSON cannot hold.
    fn scalar(resolved: Scalar, text: Cow<'a, str>, span: Span, end: Span) -> Result<Self::Node, String>;
    /// `closed` is where a sequence or map in brackets ends; one in block style ends with its last node.
    fn sequence(items: Vec<Self::Node>, span: Span, closed: Option<Span>) -> Self::Node;
    fn map(map: Self::Map, span: Span, closed: Option<Span>) -> Self::Node;
    /// Sets a key, in the place it has or at the end. `Err` is the key, if it was there already.
    fn insert(map: &mut Self::Map, key: Cow<'a, str>, span: Span, value: Self::Node) -> Result<(), Cow<'a, str>>;
    /// The place of a key among the keys.
    fn position(map: &Self::Map, key: &str) -> Option<usize>;
    fn as_sequence(node: &Self::Node) -> Option<&[Self::Node]>;
    fn is_map(node: &Self::Node) -> bool;
    /// The entries of a map; nothing for other nodes.
    fn entries(node: Self::Node) -> impl Iterator<Item = (Cow<'a, str>, Span, Self::Node)>;
}

/// Reads the one document in `text`, whose first line is line `first_line` of the file.
///
/// A text without a node is null, as for kubectl.
pub(super) fn walk<'a, T: Build<'a>>(text: &'a str, first_line: usize) -> Result<T::Node, YamlError> {
    Walker::<'a, T>::new(text, first_line).document()
}

struct Anchored<N> {
    node: N,
    size: Size,
    height: usize,
    is_map: bool,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

/// Keys that a merge brought into a map, with the line of the explicit key that took their place since.
type Merged<'a> = HashMap<Cow<'a, str>, Option<usize>>;

struct Walker<'input, T: Build<'input>> {
    parser: Parser<'input, StrInput<'input>>,
    /// Added to the parser's lines, which start at 1.
    line_offset: usize,
    /// Where the last event ended.
    end: Span,
    /// The same, where that was a closing bracket.
    closed: Option<Span>,
    /// Anchors whose node is complete.
    anchors: HashMap<usize, Anchored<T::Node>>,
    /// All nodes and text so far, copies included.
    size: Size,
    copied: usize,
    /// Deepest level below the innermost anchored node.
    deepest: usize,
    /// The lines of the keys of all open maps, innermost last.
    key_lines: Vec<usize>,
}

impl<'input, T: Build<'input>> Walker<'input, T> {
    fn new(text: &'input str, first_line: usize) -> Self {
        let mut options = Options::default();
        // Another crate of the build may have compiled comment events in.
        options.set_emit_comments(false);
        // Our own limit is lower and has the better message; the scanner runs up to a simple key's length ahead of it.
        options.flow_nesting_limit = 2048;
        options.block_nesting_limit = 2048;
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            line_offset: first_line.saturating_sub(1),
            end: Span { line: first_line, column: 1 },
            closed: None,
            anchors: HashMap::new(),
            size: Size::default(),
            copied: 0,
            deepest: 0,
            key_lines: Vec::new(),
        }
    }

    #[inline]
    fn next(&mut self) -> Result<(Event<'input>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.end = self.span(&span.end);
                Ok((event, self.span(&span.start)))
            }
            Some(Err(error)) => Err(YamlError::at(self.span(error.marker()), error.info())),
            None => Err(YamlError::at(Span { line: self.line_offset + 1, column: 1 }, "the document ends early")),
        }
    }

    fn span(&self, marker: &granit_parser::Marker) -> Span {
        Span { line: marker.line() + self.line_offset, column: marker.col() + 1 }
    }

    fn document(&mut self) -> Result<T::Node, YamlError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(YamlError::at(span, "a second document starts here")
                        .with_hint("separate documents by a line `---`"));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 0)?);
                }
                _ => return Err(YamlError::at(span, "unexpected content")),
            }
        }
        if let Some(node) = root {
            return Ok(node);
        }
        let start = Span { line: self.line_offset + 1, column: 1 };
        T::scalar(Scalar::Null, Cow::Borrowed(""), start, start).map_err(|message| YamlError::at(start, message))
    }

    // Events are large: the way of an ordinary one is kept free of calls that would move it.
    #[inline]
    fn node(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<T::Node, YamlError> {
        match event {
            Event::Alias(id) => self.alias(id, span, depth),
            Event::Scalar(_, _, id, _) | Event::SequenceStart(_, id, _) | Event::MappingStart(_, id, _) if id != 0 => {
                self.anchored(event, id, span, depth)
            }
            _ => self.content(event, span, depth),
        }
    }

    #[cold]
    fn anchored(&mut self, event: Event<'input>, id: usize, span: Span, depth: usize) -> Result<T::Node, YamlError> {
        let before = self.size;
        let outer = std::mem::replace(&mut self.deepest, depth);
        let is_map = matches!(event, Event::MappingStart(..));
        let node = self.content(event, span, depth)?;
        let size = Size { nodes: self.size.nodes - before.nodes, text: self.size.text - before.text };
        let height = self.deepest - depth;
        self.deepest = self.deepest.max(outer);
        self.charge_copy(size, span)?;
        self.anchors.insert(id, Anchored { node: node.clone(), size, height, is_map });
        Ok(node)
    }

    #[cold]
    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Result<T::Node, YamlError> {
        let Some(Anchored { size, height, .. }) = self.anchors.get(&id) else {
            return Err(YamlError::at(span, "the alias stands inside the node that it names"));
        };
        let (size, reached) = (*size, depth + *height);
        if reached > MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.deepest = self.deepest.max(reached);
        self.charge_copy(size, span)?;
        // Found above; nothing is removed.
        match self.anchors.get(&id) {
            Some(anchored) => Ok(anchored.node.clone()),
            None => Err(YamlError::at(span, "the alias stands inside the node that it names")),
        }
    }

    fn charge_copy(&mut self, size: Size, span: Span) -> Result<(), YamlError> {
        self.copied += size.text;
        if self.copied > MAX_COPIED {
            return Err(YamlError::at(span, format!("aliases expand to more than {MAX_COPIED} bytes")));
        }
        self.charge(size, span)
    }

    #[inline]
    fn charge(&mut self, size: Size, span: Span) -> Result<(), YamlError> {
        self.size.nodes += size.nodes;
        self.size.text += size.text;
        if self.size.nodes > MAX_NODES {
            return Err(YamlError::at(span, format!("the document has more than {MAX_NODES} nodes"))
                .with_hint("split it into several documents"));
        }
        Ok(())
    }

    #[inline]
    fn content(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<T::Node, YamlError> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.charge(Size { nodes: 1, text: text.len() }, span)?;
                let resolved = resolve_scalar(&text, style, tag.as_deref(), span)?;
                T::scalar(resolved, text, span, self.end).map_err(|message| YamlError::at(span, message))
            }
            Event::SequenceStart(..) => {
                self.open(span, depth)?;
                let items = self.sequence(depth + 1)?;
                Ok(T::sequence(items, span, self.closed))
            }
            Event::MappingStart(..) => {
                self.open(span, depth)?;
                let map = self.map(depth + 1)?;
                Ok(T::map(map, span, self.closed))
            }
            _ => Err(YamlError::at(span, "a value is expected here")),
        }
    }

    fn open(&mut self, span: Span, depth: usize) -> Result<(), YamlError> {
        if depth >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.deepest = self.deepest.max(depth + 1);
        self.charge(Size { nodes: 1, text: 0 }, span)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<T::Node>, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                self.closed = Some(self.end).filter(|end| *end != at);
                return Ok(items);
            }
            items.push(self.node(event, at, depth)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<T::Map, YamlError> {
        let mut map = T::Map::default();
        let mut merged: Option<Merged<'input>> = None;
        let base = self.key_lines.len();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                self.closed = Some(self.end).filter(|end| *end != at);
                self.key_lines.truncate(base);
                return Ok(map);
            }
            if is_merge(&event) {
                self.charge(Size { nodes: 1, text: 2 }, at)?;
                self.merge(&mut map, merged.get_or_insert_default(), depth)?;
                continue;
            }
            let key = self.key(event, at, depth)?;
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth)?;
            let Err(key) = T::insert(&mut map, key, at, value) else {
                self.key_lines.push(at.line);
                continue;
            };
            match merged.as_mut().and_then(|merged| merged.get_mut(&key)) {
                Some(explicit @ None) => *explicit = Some(at.line),
                Some(Some(first)) => return Err(duplicate_key(&key, *first, at)),
                None => {
                    let first = T::position(&map, &key).and_then(|i| self.key_lines.get(base + i));
                    return Err(duplicate_key(&key, first.copied().unwrap_or(at.line), at));
                }
            }
        }
    }

    /// Merges what follows `<<`. As in go-yaml the later of a merge and an explicit key wins, whichever that is.
    fn merge(&mut self, map: &mut T::Map, merged: &mut Merged<'input>, depth: usize) -> Result<(), YamlError> {
        let (event, at) = self.next()?;
        let alias_to_other = matches!(event, Event::Alias(id) if self.anchors.get(&id).is_some_and(|a| !a.is_map));
        let node = self.node(event, at, depth)?;
        let parts = match T::as_sequence(&node) {
            Some(items) if !alias_to_other => items.to_vec(),
            _ => vec![node],
        };
        if !parts.iter().all(T::is_map) {
            return Err(YamlError::at(at, "`<<` takes a map, or a sequence of maps"));
        }
        // Backwards: of several maps the first has the last word.
        for part in parts.into_iter().rev() {
            for (key, span, value) in T::entries(part) {
                merged.insert(key.clone(), None);
                if T::insert(map, key, span, value).is_ok() {
                    self.key_lines.push(at.line);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn key(&mut self, event: Event<'input>, at: Span, depth: usize) -> Result<Cow<'input, str>, YamlError> {
        let Event::Scalar(text, style, 0, tag) = event else { return self.unusual_key(event, at, depth) };
        self.charge(Size { nodes: 1, text: text.len() }, at)?;
        match resolve_scalar(&text, style, tag.as_deref(), at)? {
            Scalar::Text => Ok(text),
            Scalar::Decoded(text) => Ok(text.into()),
            Scalar::Bool(true) => Ok("true".into()),
            Scalar::Bool(false) => Ok("false".into()),
            Scalar::Negative(n) => Ok(n.to_string().into()),
            Scalar::Unsigned(n) if i64::try_from(n).is_ok() => Ok(n.to_string().into()),
            Scalar::Unsigned(_) => Err(YamlError::at(at, "a number this large cannot be a key").with_hint(QUOTE_KEY)),
            Scalar::Float(f) => Ok(number::float_key(f).into()),
            Scalar::Null => Err(YamlError::at(at, "null cannot be a key").with_hint(QUOTE_KEY)),
        }
    }

    /// Keys with an anchor, aliases as keys, and maps and sequences, which are refused.
    #[cold]
    fn unusual_key(&mut self, event: Event<'input>, at: Span, depth: usize) -> Result<Cow<'input, str>, YamlError> {
        match event {
            Event::Scalar(text, style, id, tag) => {
                // As a node, for the anchor; then as a key.
                self.node(Event::Scalar(text.clone(), style, id, tag.clone()), at, depth)?;
                self.key(Event::Scalar(text, style, 0, tag), at, depth)
            }
            Event::Alias(_) => Err(YamlError::at(at, "an alias cannot be a key").with_hint("write the key itself")),
            _ => Err(YamlError::at(at, "a map or a sequence cannot be a key")
                .with_hint("quote text that starts with `{` or `[`, such as '{{...}}'")),
        }
    }
}

fn duplicate_key(key: &str, first: usize, at: Span) -> YamlError {
    YamlError::at(at, format!("key \"{}\" is already on line {first}", shorten(key))).with_hint("remove one of the two")
}

fn too_deep(span: Span) -> YamlError {
    YamlError::at(span, format!("nested deeper than {MAX_DEPTH} levels"))
}

fn is_merge(event: &Event<'_>) -> bool {
    match event {
        Event::Scalar(text, style, _, tag) if text == "<<" => match tag {
            None => *style == ScalarStyle::Plain,
            Some(tag) => core_suffix(tag).as_deref() == Some("merge"),
        },
        _ => false,
    }
}

#[inline]
fn resolve_scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Scalar, YamlError> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(resolve::plain(text)),
        None => Ok(Scalar::Text),
        Some(tag) => match core_suffix(tag) {
            Some(suffix) => resolve::tagged(&suffix, text).map_err(|message| YamlError::at(span, message)),
            // An application's own tag, or `!` alone: go-yaml keeps the text.
            None => Ok(Scalar::Text),
        },
    }
}

fn core_suffix(tag: &Tag) -> Option<Cow<'_, str>> {
    tag.suffix_in_namespace(NAMESPACE)
}
