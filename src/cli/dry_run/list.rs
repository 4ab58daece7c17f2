//! A file as a stream of documents; the Lists that `kubectl get -o yaml` and `-o json` print are taken apart, item by item.
//!
//! Such a List is one document of any length. Its layout is fixed (`k8s.io/cli-runtime/pkg/printers`, keys sorted):
//! `apiVersion: v1`, `items:`, the items as a sequence without indentation, then `kind: List` and `metadata`. So each item
//! is the lines from one `- ` in the first column to the next, and with `- ` read as two spaces it is a document of its
//! own, every place in it unchanged. In JSON it is the lines from one `{` to the `}` below it, two levels in (`jq` indents
//! by two spaces, kubectl by four). What stands behind the items is read as what it is, the rest of a map.
//!
//! Whatever does not look exactly so is left to [`yaml::documents`]; so are all items from the first one on that says only
//! together with others what it is: one with an anchor, which later ones may name, one without a kind, which its List may
//! give it, and one of another layout. These are one document again, of at most [`MAX_DOCUMENT`] bytes.

use std::io::{self, BufRead, Chain, Cursor, Read};

use memchr::memmem;

use crate::yaml::{self, Document, DocumentError, Documents, Format, MAX_DOCUMENT, YamlError};

/// Longer first lines are no List's.
const LONGEST_HEAD: u64 = 4 << 10;

/// What was looked at, then the rest.
type Rest<R> = Chain<Cursor<Vec<u8>>, R>;

/// The documents of a file.
#[derive(Debug)]
pub(super) enum Entries<R: BufRead> {
    /// Nothing has been read yet.
    New(Option<R>),
    /// In a List.
    List(Items<R>),
    /// Documents, and the lines before them.
    Documents(Box<Documents<Rest<R>>>, usize),
    /// The same, where the first is what stands behind the items of a List.
    Tail(Box<Documents<Rest<R>>>, usize),
}

/// The items of a List.
#[derive(Debug)]
pub(super) struct Items<R> {
    reader: R,
    layout: Layout,
    /// What comes before what the reader has: the first line of the next item, or the line behind the last.
    pending: Vec<u8>,
    /// Lines read, without the pending ones.
    lines: usize,
    index: usize,
}

/// How a List is written.
#[derive(Debug)]
enum Layout {
    Yaml,
    /// JSON, and what each item is indented by.
    Json(Vec<u8>),
}

/// What comes next in a List.
enum Next {
    Item(Result<Document, DocumentError>),
    /// Items that are to be read as one document, with all that follows.
    Rest,
    /// What stands behind the items.
    Tail,
}

impl<R: BufRead> Entries<R> {
    /// The documents that `reader` holds.
    pub fn new(reader: R) -> Self {
        Self::New(Some(reader))
    }

    /// Looks at the first lines.
    fn open(mut reader: R) -> io::Result<Self> {
        let mut seen = Vec::new();
        for lines in 0.. {
            let start = seen.len();
            reader.by_ref().take(LONGEST_HEAD).read_until(b'\n', &mut seen)?;
            match head(&seen, start, lines) {
                Head::Begun => {}
                Head::Item(layout) => {
                    let pending = seen.split_off(start);
                    return Ok(Self::List(Items { reader, layout, pending, lines, index: 0 }));
                }
                Head::Other => break,
            }
        }
        Ok(Self::Documents(Box::new(documents(seen, reader)), 0))
    }
}

/// The documents of what was seen and what is left.
fn documents<R: BufRead>(seen: Vec<u8>, reader: R) -> Documents<Rest<R>> {
    yaml::documents(Read::chain(Cursor::new(seen), reader))
}

/// What the first lines of a file are.
enum Head {
    /// Those of a List, so far.
    Begun,
    /// The last of them starts the first item.
    Item(Layout),
    Other,
}

/// Looks at the line from `start` on, before which there are `lines`.
fn head(seen: &[u8], start: usize, lines: usize) -> Head {
    let Some(line) = seen.get(start..).and_then(|line| line.strip_suffix(b"\n")) else { return Head::Other };
    let line = line.trim_ascii_end();
    if seen.first() != Some(&b'{') {
        return match (lines, line) {
            (0, b"apiVersion: v1") | (1, b"items:") => Head::Begun,
            (2, [b'-', b' ', ..]) => Head::Item(Layout::Yaml),
            _ => Head::Other,
        };
    }
    let indent: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_whitespace).collect();
    match (lines, line.trim_ascii_start()) {
        (0, b"{") | (1, b"\"apiVersion\": \"v1\",") | (2, b"\"items\": [") => Head::Begun,
        (3, b"{") => Head::Item(Layout::Json(indent)),
        _ => Head::Other,
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = Result<Document, DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self {
                Self::New(reader) => match Self::open(reader.take()?) {
                    Ok(opened) => *self = opened,
                    Err(error) => return Some(Err(error.into())),
                },
                Self::Documents(documents, lines) => return Some(moved(documents.next()?, *lines)),
                Self::Tail(documents, lines) => {
                    let found = documents.next().map(|found| moved(found, *lines));
                    if let Self::Tail(documents, lines) = std::mem::replace(self, Self::New(None)) {
                        *self = Self::Documents(documents, lines);
                    }
                    // There is no item in it.
                    if let Err(error) = found?.and_then(|tail| tail.tree().map(drop).map_err(DocumentError::from)) {
                        return Some(Err(error));
                    }
                }
                Self::List(items) => match items.next() {
                    Ok(Next::Item(item)) => return Some(item),
                    Ok(next) => {
                        if let Self::List(items) = std::mem::replace(self, Self::New(None)) {
                            *self = items.into_documents(matches!(next, Next::Tail));
                        }
                    }
                    Err(error) => {
                        *self = Self::New(None);
                        return Some(Err(error.into()));
                    }
                },
            }
        }
    }
}

/// The same, so many lines further down.
fn moved(found: Result<Document, DocumentError>, lines: usize) -> Result<Document, DocumentError> {
    match found {
        Ok(document) => Ok(Document { line: document.line + lines, ..document }),
        Err(DocumentError::Broken(error)) => Err(YamlError { line: error.line + lines, ..error }.into()),
        Err(error) => Err(error),
    }
}

impl Layout {
    /// Whether an item starts with this line.
    fn starts_item(&self, line: &[u8]) -> bool {
        match self {
            Self::Yaml => matches!(line, [b'-', b' ' | b'\r' | b'\n', ..]),
            Self::Json(indent) => {
                line.trim_ascii_end().strip_prefix(indent.as_slice()).is_some_and(|line| line == b"{")
            }
        }
    }
}

impl<R: BufRead> Items<R> {
    fn next(&mut self) -> io::Result<Next> {
        if !self.layout.starts_item(&self.pending) {
            return Ok(Next::Tail);
        }
        let before = self.lines;
        let mut text = std::mem::take(&mut self.pending);
        let (fits, regular) = match self.layout {
            Layout::Yaml => (self.rest_of_yaml(&mut text)?, true),
            Layout::Json(_) => self.rest_of_json(&mut text)?,
        };
        let (index, line) = (self.index, before + 1);
        self.index += 1;
        let refused = |message: String| Ok(Next::Item(Err(YamlError { line, column: 1, message, hint: None }.into())));
        if !fits {
            return refused(format!("the item that starts here is larger than {MAX_DOCUMENT} bytes"));
        }
        if !(regular && has_kind(&text)) {
            return Ok(self.give_back(text, before));
        }
        let Ok(text) = String::from_utf8(text) else {
            return refused("the text of this item is not UTF-8".to_owned());
        };
        let mut item = Document { text, line, index, format: Format::Json };
        if matches!(self.layout, Layout::Json(_)) {
            item.text.truncate(item.text.trim_end().trim_end_matches(',').len());
            return Ok(Next::Item(Ok(item)));
        }
        item.format = Format::Yaml;
        if seems_anchored(item.text.as_bytes()) && item.has_anchor() {
            return Ok(self.give_back(item.text.into_bytes(), before));
        }
        item.text.replace_range(..1, " ");
        Ok(Next::Item(Ok(item)))
    }

    /// Leaves an item, before which there are `lines`, and what follows it to be read as one document.
    fn give_back(&mut self, mut item: Vec<u8>, lines: usize) -> Next {
        item.append(&mut self.pending);
        (self.pending, self.lines) = (item, lines);
        Next::Rest
    }

    /// What is left: a List of its own, with all the items that are left, or with none where these are behind.
    fn into_documents(self, behind: bool) -> Entries<R> {
        let Self { reader, layout, mut pending, lines, .. } = self;
        let head = match (layout, behind) {
            (Layout::Yaml, false) => "apiVersion: v1\nitems:\n",
            (Layout::Yaml, true) => "apiVersion: v1\nitems: []\n",
            (Layout::Json(_), _) => "{\"apiVersion\": \"v1\", \"items\": [\n",
        };
        // The List's own head has as many lines, or more.
        let lines = lines.saturating_sub(head.lines().count());
        pending.splice(..0, head.bytes());
        let documents = Box::new(documents(pending, reader));
        if behind { Entries::Tail(documents, lines) } else { Entries::Documents(documents, lines) }
    }

    /// Reads the lines of an item of which the first is there. False if it is too large to be kept.
    fn rest_of_yaml(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        self.lines += 1;
        let mut fits = true;
        loop {
            let start = text.len();
            self.reader.read_until(b'\n', text)?;
            if !matches!(text.get(start..), Some([b' ' | b'\t' | b'\r' | b'\n' | b'#', ..])) {
                self.pending = text.split_off(start);
                return Ok(fits);
            }
            self.lines += 1;
            if text.len() > MAX_DOCUMENT {
                fits = false;
                text.truncate(start);
            }
        }
    }

    /// The same of JSON, where a line says that it is the last of its item; and whether what follows is what has to.
    fn rest_of_json(&mut self, text: &mut Vec<u8>) -> io::Result<(bool, bool)> {
        let Layout::Json(indent) = &self.layout else { return Ok((true, false)) };
        self.lines += 1;
        let mut fits = true;
        loop {
            let start = text.len();
            if self.reader.read_until(b'\n', text)? == 0 {
                return Ok((fits, false));
            }
            self.lines += 1;
            let line = text.get(start..).unwrap_or_default().trim_ascii_end();
            let last = match line.strip_prefix(indent.as_slice()) {
                Some(b"},") => Some(false),
                Some(b"}") => Some(true),
                _ => None,
            };
            let Some(last) = last else {
                if text.len() > MAX_DOCUMENT {
                    fits = false;
                    text.truncate(start);
                }
                continue;
            };
            self.reader.read_until(b'\n', &mut self.pending)?;
            let follows = if last {
                self.pending.trim_ascii_start().starts_with(b"]")
            } else {
                self.layout.starts_item(&self.pending)
            };
            return Ok((fits, follows));
        }
    }
}

/// Whether an item, from its dash or bracket on, has a kind of its own.
fn has_kind(item: &[u8]) -> bool {
    let opened = item.iter().position(|byte| matches!(byte, b'-' | b'{')).map_or(0, |at| at + 1);
    let blanks = item.iter().skip(opened).take_while(|byte| byte.is_ascii_whitespace()).count();
    let first = opened + blanks;
    if item.get(first) == Some(&b'{') {
        // In brackets nothing says how deep it is. Where it is another's, the item is refused for having none.
        return memmem::find(item, b"kind").is_some();
    }
    let start_of = |at: usize| memchr::memrchr(b'\n', item.get(..at).unwrap_or_default()).map_or(0, |at| at + 1);
    let column = first - start_of(first);
    memmem::find_iter(item, b"kind").any(|at| {
        let mut before = item.get(start_of(at)..at).unwrap_or_default();
        let mut after = item.get(at + b"kind".len()..).unwrap_or_default();
        if let Some((quote, rest)) = before.split_last()
            && matches!(quote, b'"' | b'\'')
        {
            (before, after) = (rest, after.strip_prefix(&[*quote]).unwrap_or_default());
        }
        let is_indent = |byte: &u8| matches!(byte, b' ' | b'\t' | b'-');
        before.len() == column && before.iter().all(is_indent) && after.trim_ascii_start().starts_with(b":")
    })
}

/// Whether something in an item looks like an anchor.
fn seems_anchored(item: &[u8]) -> bool {
    memchr::memchr_iter(b'&', item).any(|at| {
        let before = at.checked_sub(1).and_then(|at| item.get(at));
        let after = item.get(at + 1);
        before.is_none_or(|byte| b" \t\r\n[{,:".contains(byte)) && after.is_some_and(|byte| !b"& \t\r\n".contains(byte))
    })
}

#[cfg(test)]
mod tests;
