//! A file as a stream of documents.

use std::io::{self, BufRead};

use granit_parser::Parser;
use serde::Deserialize;
use serde_json::Value;

use super::json_scan::{Found, Scanner};
use super::window::Window;
use super::{Span, Tree, YamlError, read};

/// The largest document that [`documents`] takes, in bytes.
pub const MAX_DOCUMENT: usize = 16 << 20;

/// One document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text, without separators.
    pub text: String,
    /// The line of the file on which the text starts, from 1.
    pub line: usize,
    /// Its place among the documents that have content, from 0. Broken documents count.
    pub index: usize,
    /// How it is written.
    pub format: Format,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// One JSON object or array, by its brackets; what is between them has not been looked at.
    Json,
}

impl Document {
    /// The document as JSON. What looked like JSON and is not is read as YAML, as kubectl does; if both fail, the error
    /// is that of the reader that came further.
    pub fn read(&self) -> Result<Value, YamlError> {
        self.read_as(read)
    }

    /// The same, with the texts left where they are.
    pub fn tree(&self) -> Result<Tree<'_>, YamlError> {
        self.read_as(Tree::read)
    }

    /// Whether it holds an anchor; of text that is broken, whether one stands before that.
    pub fn has_anchor(&self) -> bool {
        Parser::new_from_str(&self.text).map_while(Result::ok).any(|(event, _)| event.anchor_id().is_some())
    }

    fn read_as<'a, T: Deserialize<'a>>(
        &'a self,
        yaml: impl Fn(&'a str, usize) -> Result<T, YamlError>,
    ) -> Result<T, YamlError> {
        if self.format == Format::Yaml {
            return yaml(&self.text, self.line);
        }
        let error = match serde_json::from_str(&self.text) {
            Ok(value) => return Ok(value),
            Err(error) => json_error(&error, self.line),
        };
        yaml(&self.text, self.line).map_err(|yaml| if yaml.span() > error.span() { yaml } else { error })
    }
}

fn json_error(error: &serde_json::Error, first_line: usize) -> YamlError {
    let message = error.to_string();
    // serde_json appends the place, which is that of the document.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let span = Span { line: first_line + error.line().saturating_sub(1), column: error.column().max(1) };
    YamlError::at(span, message)
}

/// Why a document of a file is missing.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The input cannot be read any further; nothing follows.
    #[error("cannot read the input")]
    Io(#[from] io::Error),
    /// This document is unusable; the next ones follow.
    #[error(transparent)]
    Broken(#[from] YamlError),
}

/// Splits a file of YAML or JSON documents, holding one document in memory at a time.
///
/// YAML is split as kubectl splits it (the document reader of `k8s.io/apimachinery/pkg/util/yaml`): at each line that
/// starts with `---`. JSON objects and arrays follow one another with any white space, or none, between them; where one
/// starts a document the brackets say where it ends. Documents of comments only are left out.
pub fn documents<R: BufRead>(reader: R) -> Documents<R> {
    documents_up_to(reader, MAX_DOCUMENT)
}

/// As [`documents`], with another size limit, in bytes.
pub fn documents_up_to<R: BufRead>(reader: R, max_document: usize) -> Documents<R> {
    Documents { window: Window::new(reader), max: max_document, index: 0, start: true, done: false }
}

/// The documents of a file; see [`documents`].
#[derive(Debug)]
pub struct Documents<R> {
    window: Window<R>,
    max: usize,
    index: usize,
    /// Nothing has been read yet.
    start: bool,
    done: bool,
}

/// A document before anyone looked at its bytes.
struct Raw {
    bytes: Vec<u8>,
    line: usize,
    format: Format,
    /// Where it went wrong, and how.
    fault: Option<YamlError>,
}

impl Raw {
    fn too_large(line: usize, max: usize, format: Format) -> Self {
        let message = format!("the document that starts here is larger than {max} bytes");
        let fault = YamlError::at(Span { line, column: 1 }, message).with_hint(match format {
            Format::Yaml => "split it into several documents",
            Format::Json => "split it into several documents; of a List, `jq -c '.items[]'` makes one of each item",
        });
        Self { bytes: Vec::new(), line, format, fault: Some(fault) }
    }
}

/// What ends a document that is read line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Separator,
    /// The rest of broken JSON: a line that starts with `{` is the next document.
    SeparatorOrJson,
}

impl Boundary {
    /// Does a document of JSON start with this line?
    fn is_json(self, line: &[u8]) -> bool {
        self == Self::SeparatorOrJson && line.first() == Some(&b'{')
    }
}

impl<R: BufRead> Iterator for Documents<R> {
    type Item = Result<Document, DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.raw() {
                Ok(raw) => {
                    if let Some(result) = self.finish(raw) {
                        return Some(result.map_err(DocumentError::from));
                    }
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error.into()));
                }
            }
        }
        None
    }
}

impl<R: BufRead> Documents<R> {
    /// Checks a document; `None` if there is nothing in it.
    fn finish(&mut self, raw: Raw) -> Option<Result<Document, YamlError>> {
        let Raw { bytes, line, format, fault } = raw;
        if fault.is_none() && !has_content(&bytes) {
            return None;
        }
        let index = self.index;
        self.index += 1;
        if let Some(fault) = fault {
            return Some(Err(fault));
        }
        Some(match String::from_utf8(bytes) {
            Ok(text) => Ok(Document { text, line, index, format }),
            Err(error) => Err(not_utf8(error.as_bytes(), error.utf8_error().valid_up_to(), line)),
        })
    }

    /// The bytes up to the next boundary.
    fn raw(&mut self) -> io::Result<Raw> {
        if std::mem::take(&mut self.start) {
            self.window.at_least(3)?;
            // A byte order mark is no content.
            if self.window.bytes().starts_with(b"\xef\xbb\xbf") {
                self.window.skip(3);
            }
        }
        let first = self.first_byte()?;
        if matches!(self.window.bytes().get(first), Some(b'{' | b'[')) {
            self.window.skip(first);
            return self.json();
        }
        self.yaml(0, Boundary::Separator)
    }

    /// Skips empty lines; the offset of the first byte that is not white space. JSON is known by it; YAML keeps the white
    /// space in front of it, which is its indentation.
    fn first_byte(&mut self) -> io::Result<usize> {
        let mut from = 0;
        loop {
            let found = self.window.bytes()[from..].iter().position(|b| !b.is_ascii_whitespace()).map(|i| from + i);
            let blank = found.unwrap_or(self.window.len());
            let line_start = memchr::memrchr(b'\n', &self.window.bytes()[..blank]).map_or(0, |i| i + 1);
            self.window.skip(line_start);
            from = blank - line_start;
            if found.is_some() {
                return Ok(from);
            }
            if from > self.max || !self.window.fill()? {
                return Ok(from);
            }
        }
    }

    /// Reads to the next boundary, looking at whole lines from offset `from` on.
    fn yaml(&mut self, from: usize, boundary: Boundary) -> io::Result<Raw> {
        let line = self.window.line();
        let mut start = from;
        loop {
            self.window.at_least(start + 3)?;
            let rest = &self.window.bytes()[start..];
            if rest.starts_with(b"---") {
                let bytes = self.window.take(start);
                let fault = self.separator()?;
                return Ok(Raw { bytes, line, format: Format::Yaml, fault });
            }
            self.done = rest.is_empty();
            if self.done || (start > from && boundary.is_json(rest)) {
                return Ok(Raw { bytes: self.window.take(start), line, format: Format::Yaml, fault: None });
            }
            if let Some(end) = self.window.line_end(start, self.max)? {
                start = end;
            } else {
                self.window.skip(start);
                self.skip_to(boundary)?;
                return Ok(Raw::too_large(line, self.max, Format::Yaml));
            }
        }
    }

    /// Skips the line of a separator, with which the window starts. As kubectl, allows only a comment behind it.
    fn separator(&mut self) -> io::Result<Option<YamlError>> {
        let span = Span { line: self.window.line(), column: 4 };
        let mut clean = true;
        if let Some(end) = self.window.line_end(0, self.max)? {
            clean = matches!(self.window.bytes()[3..end].trim_ascii(), [] | [b'#', ..]);
        }
        self.done = !self.window.skip_line()?;
        Ok((!clean).then(|| {
            YamlError::at(span, "only a comment may follow `---` on its line")
                .with_hint("kubectl refuses this; put the content on the next line")
        }))
    }

    /// Skips the line in which the window starts, and all lines to the next boundary.
    fn skip_to(&mut self, boundary: Boundary) -> io::Result<()> {
        while self.window.skip_line()? {
            self.window.at_least(3)?;
            if self.window.bytes().starts_with(b"---") {
                self.done = !self.window.skip_line()?;
                return Ok(());
            }
            if boundary.is_json(self.window.bytes()) {
                return Ok(());
            }
        }
        self.done = true;
        Ok(())
    }

    /// Reads one JSON document; the window starts with its bracket.
    fn json(&mut self) -> io::Result<Raw> {
        let line = self.window.line();
        let mut scanner = Scanner::new();
        let mut seen = 0;
        loop {
            // Line by line: each may be the separator that cuts the document short.
            let line_end = self.window.line_so_far(seen);
            let found = scanner.feed(&self.window.bytes()[seen..line_end]);
            let end = match found {
                Found::Broken(at) if seen + at <= self.max => return self.broken_json(seen + at),
                Found::End(at) | Found::Broken(at) => seen + at,
                Found::More => line_end,
            };
            if end > self.max {
                self.skip_json(found, end, scanner)?;
                return Ok(Raw::too_large(line, self.max, Format::Json));
            }
            seen = end;
            let ended = matches!(found, Found::End(_));
            self.done = !ended && seen == self.window.len() && !self.window.fill()?;
            if ended || self.done || self.cut_short(seen)? {
                return Ok(Raw { bytes: self.window.take(seen), line, format: Format::Json, fault: None });
            }
        }
    }

    /// Is there a separator at this offset, where something was read? JSON has none, so the document before it was cut short.
    fn cut_short(&mut self, at: usize) -> io::Result<bool> {
        if !self.window.bytes()[..at].ends_with(b"\n") || self.window.bytes().get(at) != Some(&b'-') {
            return Ok(false);
        }
        self.window.at_least(at + 3)?;
        Ok(self.window.bytes()[at..].starts_with(b"---"))
    }

    /// What looked like JSON is YAML, or broken at offset `at`. A bracket at the start of a line starts the next
    /// document, be it where no bracket may stand, be it after what is broken.
    fn broken_json(&mut self, at: usize) -> io::Result<Raw> {
        let line = self.window.line();
        let line_start = memchr::memrchr(b'\n', &self.window.bytes()[..at]).map_or(0, |i| i + 1);
        if line_start == at && at > 0 && self.window.bytes()[at] == b'{' {
            return Ok(Raw { bytes: self.window.take(at), line, format: Format::Json, fault: None });
        }
        self.yaml(line_start, Boundary::SeparatorOrJson)
    }

    /// Skips the rest of a JSON document that is too large. The scanner found `found` at offset `end`.
    fn skip_json(&mut self, mut found: Found, mut end: usize, mut scanner: Scanner) -> io::Result<()> {
        loop {
            match found {
                Found::End(_) => {
                    self.window.skip(end);
                    return Ok(());
                }
                Found::Broken(_) => {
                    let next = self.window.bytes()[..end].ends_with(b"\n") && self.window.bytes()[end] == b'{';
                    self.window.skip(end);
                    return if next { Ok(()) } else { self.skip_to(Boundary::SeparatorOrJson) };
                }
                // One byte stays, to know the start of a line by.
                Found::More => self.window.skip(end - 1),
            }
            if self.window.len() == 1 && !self.window.fill()? {
                self.done = true;
                return Ok(());
            }
            if self.cut_short(1)? {
                self.window.skip(1);
                self.separator()?;
                return Ok(());
            }
            let line_end = self.window.line_so_far(1);
            found = scanner.feed(&self.window.bytes()[1..line_end]);
            end = match found {
                Found::End(at) | Found::Broken(at) => at + 1,
                Found::More => line_end,
            };
        }
    }
}

/// Is there a line that is neither empty, a comment, a directive nor an end marker?
fn has_content(bytes: &[u8]) -> bool {
    bytes.split(|&b| b == b'\n').any(|line| {
        let trimmed = line.trim_ascii();
        !(trimmed.is_empty() || trimmed[0] == b'#' || line[0] == b'%' || trimmed == b"..." && line[0] == b'.')
    })
}

fn not_utf8(bytes: &[u8], valid: usize, line: usize) -> YamlError {
    let before = &bytes[..valid];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    let span = Span { line: line + memchr::memchr_iter(b'\n', before).count(), column };
    let error = YamlError::at(span, "the text is not UTF-8");
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return error.with_hint("the file is UTF-16: save it as UTF-8");
    }
    error
}
