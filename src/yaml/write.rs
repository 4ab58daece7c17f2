//! JSON to YAML, in the layout of kubectl.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::number;
use super::style::{Style, style};

/// Output is handed on in pieces of about this size.
const CHUNK: usize = 32 << 10;
/// Longer keys are written after `?`: readers look only 1,024 characters ahead for the colon.
const LONG_KEY: usize = 128;

/// Writes one document as block-style YAML in the layout of kubectl, with a line break at the end and no `---`.
///
/// Reading it back gives the same JSON, with every reader of YAML 1.1 or 1.2. Keys keep their order. Fails only as
/// `out` does.
pub fn write(value: &Value, out: &mut impl Write) -> io::Result<()> {
    let mut emitter = Emitter { out, buffer: Vec::with_capacity(CHUNK + (CHUNK >> 2)) };
    emitter.document(value)?;
    emitter.flush()
}

/// Writes documents with a line `---` between them.
pub fn write_stream<'a>(values: impl IntoIterator<Item = &'a Value>, out: &mut impl Write) -> io::Result<()> {
    let mut emitter = Emitter { out, buffer: Vec::with_capacity(CHUNK + (CHUNK >> 2)) };
    for (i, value) in values.into_iter().enumerate() {
        if i > 0 {
            emitter.buffer.extend_from_slice(b"---\n");
        }
        emitter.document(value)?;
    }
    emitter.flush()
}

struct Emitter<'a, W> {
    out: &'a mut W,
    buffer: Vec<u8>,
}

impl<W: Write> Emitter<'_, W> {
    fn document(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::Object(map) if !map.is_empty() => self.map(map, 0),
            Value::Array(items) if !items.is_empty() => self.sequence(items, 0),
            _ => {
                self.scalar(value, 2);
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// The cursor stands where the first key goes; the others go on lines of their own, `indent` spaces in.
    fn map(&mut self, map: &Map<String, Value>, indent: usize) -> io::Result<()> {
        for (i, (key, value)) in map.iter().enumerate() {
            if i > 0 {
                self.indent(indent);
            }
            self.key(key, indent);
            match value {
                Value::Object(map) if !map.is_empty() => {
                    self.buffer.push(b'\n');
                    self.indent(indent + 2);
                    self.map(map, indent + 2)?;
                }
                Value::Array(items) if !items.is_empty() => {
                    self.buffer.push(b'\n');
                    self.indent(indent);
                    self.sequence(items, indent)?;
                }
                _ => {
                    self.buffer.push(b' ');
                    self.scalar(value, indent + 2);
                }
            }
            if self.buffer.len() > CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn sequence(&mut self, items: &[Value], indent: usize) -> io::Result<()> {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.indent(indent);
            }
            self.buffer.extend_from_slice(b"- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.map(map, indent + 2)?,
                Value::Array(items) if !items.is_empty() => self.sequence(items, indent + 2)?,
                _ => self.scalar(item, indent + 2),
            }
            if self.buffer.len() > CHUNK {
                self.flush()?;
            }
        }
        Ok(())
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
    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.buffer.extend_from_slice(b"null"),
            Value::Bool(true) => self.buffer.extend_from_slice(b"true"),
            Value::Bool(false) => self.buffer.extend_from_slice(b"false"),
            Value::Number(number) => number::append(&mut self.buffer, number),
            Value::Array(_) => self.buffer.extend_from_slice(b"[]"),
            Value::Object(_) => self.buffer.extend_from_slice(b"{}"),
            Value::String(text) => match style(text, false) {
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
