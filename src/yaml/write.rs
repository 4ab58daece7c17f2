//! JSON to YAML, in the layout of kubectl.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::Value;

use super::style::{Style, style};
use super::{Leaf, Tree, number};

/// A stream is handed on in pieces of about this size.
const CHUNK: usize = 32 << 10;
/// Longer keys are written after `?`: readers look only 1,024 characters ahead for the colon.
const LONG_KEY: usize = 128;

/// Writes one document as block-style YAML in the layout of kubectl, with a line break at the end and no `---`.
///
/// Reading it back gives the same JSON, with every reader of YAML 1.1 or 1.2. Keys keep their order. Fails only as
/// `out` does.
pub fn write(value: &Value, out: &mut impl Write) -> io::Result<()> {
    write_stream([value], out)
}

/// Writes documents with a line `---` between them.
pub fn write_stream<'a>(values: impl IntoIterator<Item = &'a Value>, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK + (CHUNK >> 2));
    for (i, value) in values.into_iter().enumerate() {
        if i > 0 {
            buffer.extend_from_slice(b"---\n");
        }
        Tree::from(value).append_to(&mut buffer);
        if buffer.len() > CHUNK {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)
}

impl Tree<'_> {
    /// Writes the document to memory, as [`write()`] does.
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        let mut emitter = Emitter { buffer };
        match self {
            Self::Map(entries) if !entries.is_empty() => emitter.map(entries, 0),
            Self::Sequence(items) if !items.is_empty() => emitter.sequence(items, 0),
            _ => emitter.flat(self, 2),
        }
    }
}

struct Emitter<'a> {
    buffer: &'a mut Vec<u8>,
}

impl Emitter<'_> {
    /// The cursor stands where the first key goes; the others go on lines of their own, `indent` spaces in.
    fn map(&mut self, entries: &[(Cow<'_, str>, Tree<'_>)], indent: usize) {
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                self.indent(indent);
            }
            self.key(key, indent);
            match value {
                Tree::Map(entries) if !entries.is_empty() => {
                    self.buffer.push(b'\n');
                    self.indent(indent + 2);
                    self.map(entries, indent + 2);
                }
                Tree::Sequence(items) if !items.is_empty() => {
                    self.buffer.push(b'\n');
                    self.indent(indent);
                    self.sequence(items, indent);
                }
                _ => {
                    self.buffer.push(b' ');
                    self.flat(value, indent + 2);
                }
            }
        }
    }

    fn sequence(&mut self, items: &[Tree<'_>], indent: usize) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.indent(indent);
            }
            self.buffer.extend_from_slice(b"- ");
            match item {
                Tree::Map(entries) if !entries.is_empty() => self.map(entries, indent + 2),
                Tree::Sequence(items) if !items.is_empty() => self.sequence(items, indent + 2),
                _ => self.flat(item, indent + 2),
            }
        }
    }

    fn indent(&mut self, indent: usize) {
        const SPACES: [u8; 64] = [b' '; 64];
        match SPACES.get(..indent) {
            Some(spaces) => self.buffer.extend_from_slice(spaces),
            None => self.buffer.resize(self.buffer.len() + indent, b' '),
        }
    }

    /// A key and its colon.
    fn key(&mut self, key: &str, indent: usize) {
        let long = key.len() > LONG_KEY;
        if long {
            self.buffer.extend_from_slice(b"? ");
        }
        match style(key, true) {
            Style::Plain => self.buffer.extend_from_slice(key.as_bytes()),
            Style::Single => self.single(key),
            Style::Double | Style::Literal(_) => self.double(key),
        }
        if long {
            self.buffer.push(b'\n');
            self.indent(indent);
        }
        self.buffer.push(b':');
    }

    /// A scalar, or an empty map or sequence, with the line break after it.
    fn flat(&mut self, node: &Tree<'_>, indent: usize) {
        match node {
            Tree::Leaf(Leaf::Null) => self.buffer.extend_from_slice(b"null"),
            Tree::Leaf(Leaf::Bool(true)) => self.buffer.extend_from_slice(b"true"),
            Tree::Leaf(Leaf::Bool(false)) => self.buffer.extend_from_slice(b"false"),
            Tree::Leaf(Leaf::Number(number)) => number::append(self.buffer, number),
            Tree::Sequence(_) => self.buffer.extend_from_slice(b"[]"),
            Tree::Map(_) => self.buffer.extend_from_slice(b"{}"),
            Tree::Leaf(Leaf::Text(text)) => match style(text, false) {
                Style::Plain => self.buffer.extend_from_slice(text.as_bytes()),
                Style::Single => self.single(text),
                Style::Double => self.double(text),
                Style::Literal(header) => return self.literal(text, header, indent),
            },
        }
        self.buffer.push(b'\n');
    }

    fn single(&mut self, text: &str) {
        self.buffer.push(b'\'');
        for (i, part) in text.split('\'').enumerate() {
            if i > 0 {
                self.buffer.extend_from_slice(b"''");
            }
            self.buffer.extend_from_slice(part.as_bytes());
        }
        self.buffer.push(b'\'');
    }

    fn double(&mut self, text: &str) {
        self.buffer.push(b'"');
        let mut written = 0;
        for (at, character) in text.char_indices() {
            let short: &[u8] = match character {
                '"' => b"\\\"",
                '\\' => b"\\\\",
                '\n' => b"\\n",
                '\t' => b"\\t",
                '\r' => b"\\r",
                '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    b""
                }
                _ => continue,
            };
            self.buffer.extend_from_slice(&text.as_bytes()[written..at]);
            written = at + character.len_utf8();
            self.buffer.extend_from_slice(short);
            if short.is_empty() {
                // Writing to a `Vec` does not fail. All of these are below U+10000.
                let _ = write!(self.buffer, "\\u{:04X}", u32::from(character));
            }
        }
        self.buffer.extend_from_slice(&text.as_bytes()[written..]);
        self.buffer.push(b'"');
    }

    fn literal(&mut self, text: &str, header: &str, indent: usize) {
        self.buffer.extend_from_slice(header.as_bytes());
        self.buffer.push(b'\n');
        // At most one break is taken off: with `|+` the others are lines of their own.
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            if !line.is_empty() {
                self.indent(indent);
                self.buffer.extend_from_slice(line.as_bytes());
            }
            self.buffer.push(b'\n');
        }
    }
}
