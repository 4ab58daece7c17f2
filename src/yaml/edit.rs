//! Changes values of a document in its text, so that comments, order and style of everything else stay.

use std::ops::Range;

use serde_json::Value;

use super::spanned::{Kind, Node, Spanned, Step, steps};
use super::{Comment, Span, Tree, YamlError, comments, read};

/// Longer values are written over several lines where they can be.
const ONE_LINE: usize = 100;
/// Spaces by which a map below a key is indented.
const STEP: usize = 2;

/// A value to be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Where, such as `cases[0].expect.outcome`; the last key may be missing in its map.
    pub path: String,
    /// What is to stand there.
    pub value: Value,
}

/// Why a value cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not one document.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The place is another's.
    #[error("{path} comes from an anchor at line {line}: change it by hand")]
    Alias {
        /// The place.
        path: String,
        /// Where its text stands.
        line: usize,
    },
    /// It is written in a way that is not understood here.
    #[error("it is written in a way that cannot be changed here: change it by hand")]
    Style,
    /// There is no map to put it into.
    #[error("{0} has no place in this file")]
    NoPlace(String),
}

/// The text with the values set; all else is as it was, line breaks included.
///
/// # Errors
/// A place that is not there, or that an alias brought in.
pub fn edit(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let breaks = text.matches('\n').count();
    if breaks > 0 && text.matches("\r\n").count() == breaks {
        return Ok(edited(&text.replace("\r\n", "\n"), edits)?.replace('\n', "\r\n"));
    }
    edited(text, edits)
}

fn edited(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let document =
        Document { text, tree: Spanned::read(text, 1)?, lines: line_starts(text), comments: comments(text, 1) };
    // From the back, so that places stay; of what goes to one place, the first is put in last and stands first.
    let mut changes = edits.iter().rev().map(|edit| document.change(edit)).collect::<Result<Vec<_>, _>>()?;
    changes.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    let mut after = text.to_owned();
    for (range, new) in changes {
        after.replace_range(range, &new);
    }
    if read(&after, 1).ok() == expected(&document.tree, edits) { Ok(after) } else { Err(EditError::Style) }
}

/// What the document has to be afterwards: a text that says anything else is never given.
fn expected(before: &Spanned, edits: &[Edit]) -> Option<Value> {
    let mut document = before.to_value();
    for edit in edits {
        // As it is read: 1.0 becomes 1.
        let value = read(&block(&edit.value), 1).ok()?;
        *place(&mut document, &edit.path)? = value;
    }
    Some(document)
}

fn place<'v>(document: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let mut at = document;
    for step in steps(path) {
        at = match step {
            Step::Key(key) => at.as_object_mut()?.entry(key.into_owned()).or_insert(Value::Null),
            Step::Index(index) => at.get_mut(index)?,
        };
    }
    Some(at)
}

struct Document<'t> {
    text: &'t str,
    tree: Spanned,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
    comments: Vec<Comment>,
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

impl Document<'_> {
    fn offset(&self, span: Span) -> usize {
        let start = self.lines.get(span.line - 1).copied().unwrap_or(self.text.len());
        let rest = &self.text[start..];
        rest.char_indices().nth(span.column - 1).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// Behind the last character: a text in block style ends with its line, before the indentation of the next.
    fn end(&self, node: &Node) -> usize {
        let end = self.offset(node.end);
        let line = self.text[..end].trim_end_matches(' ');
        if line.ends_with('\n') { line.len() } else { end }
    }

    fn in_brackets(&self, node: &Node) -> bool {
        let collection = matches!(node.kind, Kind::Map(_) | Kind::Seq(_));
        collection && !self.is_at_item(node) && self.text[self.offset(node.span)..].starts_with(['{', '['])
    }

    /// What is to be replaced by what.
    fn change(&self, edit: &Edit) -> Result<(Range<usize>, String), EditError> {
        let way = self.tree.way(&edit.path);
        if let Some(line) = self.anchored(&way) {
            return Err(EditError::Alias { path: edit.path.clone(), line });
        }
        let above = |depth: usize| {
            let parents = way.iter().take(depth).map(|(_, _, node)| *node);
            std::iter::once(&self.tree.root).chain(parents).any(|node| self.in_brackets(node))
        };
        let missing = || EditError::NoPlace(edit.path.clone());
        let steps = steps(&edit.path);
        match (steps.get(way.len()), way.last()) {
            (None, Some((at, _, node))) => Ok(self.replace(*at, node, &edit.value, above(way.len() - 1))),
            (Some(Step::Key(key)), last) if steps.len() == way.len() + 1 => {
                let into = last.map_or(&self.tree.root, |(_, _, node)| *node);
                let Kind::Map(entries) = &into.kind else { return Err(missing()) };
                let first = entries.first().map(|(key, _)| key.span);
                let key = scalar(&Value::from(key.as_ref()));
                self.insert(first, into, &key, &edit.value, above(way.len())).ok_or_else(missing)
            }
            _ => Err(missing()),
        }
    }

    /// The line of the anchor, where an alias or a merge key leads there: what stands before its key, or outside its map.
    fn anchored(&self, way: &[(Span, Option<&str>, &Node)]) -> Option<usize> {
        let mut parent = self.tree.root.span;
        for (at, _, node) in way {
            if node.span < *at || *at < parent {
                return Some(node.span.line);
            }
            parent = node.span;
        }
        None
    }

    fn replace(&self, key: Span, node: &Node, value: &Value, flow: bool) -> (Range<usize>, String) {
        let (start, end) = (self.offset(node.span), self.end(node));
        if start == end {
            return self.fill(start, value);
        }
        let start = self.header(node, start).or_else(|| self.dash(node)).unwrap_or(start);
        let block = matches!(node.kind, Kind::Map(_) | Kind::Seq(_)) && !self.in_brackets(node);
        let line = one_line(value);
        let (start, mut new) = if !flow && block {
            self.in_place_of_block(key, start, value)
        } else if flow || is_flat(value) || line.len() <= ONE_LINE {
            (start, line)
        } else {
            // On lines of its own, below the key.
            let indent = key.column - 1 + STEP;
            let below = format!("\n{}{}", " ".repeat(indent), indented(value, indent));
            (self.text[..start].trim_end_matches(' ').len(), below)
        };
        if self.text[start..end].ends_with('\n') {
            new.push('\n');
        }
        (start..end, new)
    }

    /// For a key without a value: its place is before the colon.
    fn fill(&self, at: usize, value: &Value) -> (Range<usize>, String) {
        let behind = &self.text[at..];
        if behind.starts_with(':') {
            return (at + 1..at + 1, format!(" {}", one_line(value)));
        }
        let before = self.text[..at].trim_end();
        let colon = if before.ends_with([':', '-', ',', '[']) { " " } else { ": " };
        (at..at, format!("{colon}{}", one_line(value)))
    }

    fn in_place_of_block(&self, key: Span, start: usize, value: &Value) -> (usize, String) {
        let line = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let column = start - line;
        if self.text[line..start].trim().is_empty() && line > self.offset(key) {
            // A list may stand right below its key, and nothing else may.
            let indent = column.max(key.column - 1 + STEP);
            return (line, format!("{}{}", " ".repeat(indent), indented(value, indent)));
        }
        (start, indented(value, column))
    }

    /// Where `|` or `>` stands, for a scalar in block style: its own place is that of its text.
    fn header(&self, node: &Node, start: usize) -> Option<usize> {
        let before = self.text[..start].trim_end_matches(' ');
        if !matches!(node.kind, Kind::Scalar(_)) || !before.ends_with('\n') {
            return None;
        }
        let line_start = before.trim_end().rfind('\n').map_or(0, |at| at + 1);
        let comment = self.comments.iter().map(|comment| self.offset(comment.span)).find(|at| *at > line_start);
        let line = before[line_start..comment.map_or(before.len(), |at| at.min(before.len()))].trim_end();
        let head = line.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
        head.ends_with(['|', '>']).then(|| line_start + head.len() - 1)
    }

    /// Where the first `-` stands, for a list whose own place is behind it.
    fn dash(&self, node: &Node) -> Option<usize> {
        let Kind::Seq(items) = &node.kind else { return None };
        let before = self.text[..self.beginning(items.first()?)].trim_end_matches(' ');
        (self.is_at_item(node) && before.ends_with('-')).then(|| before.len() - 1)
    }

    /// Where a node's first sign stands.
    fn beginning(&self, node: &Node) -> usize {
        let start = self.offset(node.span);
        self.header(node, start).unwrap_or(start)
    }

    /// Whether it is a list that is not indented below its key: the parser places it at its first item, or at the sign of that one's style.
    fn is_at_item(&self, node: &Node) -> bool {
        let Kind::Seq(items) = &node.kind else { return false };
        items.first().is_some_and(|item| item.span == node.span || self.beginning(item) == self.offset(node.span))
    }

    fn insert(
        &self,
        first: Option<Span>,
        into: &Node,
        key: &str,
        value: &Value,
        flow: bool,
    ) -> Option<(Range<usize>, String)> {
        let end = self.end(into);
        if flow || self.in_brackets(into) {
            let comma = if first.is_some() { ", " } else { "" };
            return Some((end - 1..end - 1, format!("{comma}{key}: {}", one_line(value))));
        }
        let indent = first?.column - 1;
        let line = one_line(value);
        let value = if is_flat(value) || line.len() <= ONE_LINE {
            format!(" {line}")
        } else {
            format!("\n{}{}", " ".repeat(indent + STEP), indented(value, indent + STEP))
        };
        let entry = format!("{}{key}:{value}", " ".repeat(indent));
        // Behind the last line of the map, comments on it included.
        if self.text[..end].ends_with('\n') {
            return Some((end..end, format!("{entry}\n")));
        }
        let at = self.text[end..].find('\n').map_or(self.text.len(), |line| end + line);
        Some((at..at, format!("\n{entry}")))
    }
}

fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// In one line, maps and lists in brackets.
fn one_line(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}: {}", scalar(&Value::from(key.as_str())), one_line(value))
            };
            format!("{{{}}}", fields.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        value => scalar(value),
    }
}

/// A scalar, plain where that is the same within brackets too, else as JSON.
fn scalar(value: &Value) -> String {
    let text = block(value);
    let plain = text.trim_end_matches('\n');
    if value.is_string() && (plain.contains(['\n', ',', '[', ']', '{', '}']) || plain.ends_with(':')) {
        return quoted(&value.to_string());
    }
    plain.to_owned()
}

/// A JSON string with what YAML has no letters for escaped as it asks (YAML 1.2, 5.7).
fn quoted(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        match u32::from(c) {
            code if c.is_ascii() && code != 0x7f || c.is_alphanumeric() => out.push(c),
            code @ ..=0xffff => out.extend(format!("\\u{code:04x}").chars()),
            code => out.extend(format!("\\U{code:08x}").chars()),
        }
        out
    })
}

/// In block style; lines behind the first are indented.
fn indented(value: &Value, indent: usize) -> String {
    let text = block(value);
    let mut lines = text.lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
    }
    out
}

fn block(value: &Value) -> String {
    let mut buffer = Vec::new();
    Tree::from(value).append_to(&mut buffer);
    // What is written is UTF-8.
    String::from_utf8(buffer).unwrap_or_default()
}
