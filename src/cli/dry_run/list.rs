//! A file as a stream of documents; the Lists that `kubectl get -o yaml` prints are taken apart, item by item.
//!
//! Such a List is one document of any length. Its layout is fixed (`k8s.io/cli-runtime/pkg/printers`, keys sorted):
//! `apiVersion: v1`, `items:`, the items as a sequence without indentation, then `kind: List` and `metadata`. So each item
//! is the lines from one `- ` in the first column to the next, and with `- ` read as two spaces it is a document of its
//! own, every place in it unchanged. Whatever does not look exactly so is left to [`yaml::documents`].

use std::io::{self, BufRead, Chain, Cursor, Read};

use crate::yaml::{self, Document, DocumentError, Documents, Format, MAX_DOCUMENT, YamlError};

const HEAD: [&str; 2] = ["apiVersion: v1", "items:"];

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
}

/// The items of a List.
#[derive(Debug)]
pub(super) struct Items<R> {
    reader: Option<R>,
    /// The first line of the next item, with its line break.
    pending: Vec<u8>,
    /// Lines read, without the pending one.
    lines: usize,
    index: usize,
}

impl<R: BufRead> Entries<R> {
    /// The documents that `reader` holds.
    pub fn new(reader: R) -> Self {
        Self::New(Some(reader))
    }

    /// Looks at the first lines.
    fn open(mut reader: R) -> io::Result<Self> {
        let mut seen = Vec::new();
        for expected in HEAD {
            let start = seen.len();
            reader.read_until(b'\n', &mut seen)?;
            if seen.get(start..).unwrap_or_default().trim_ascii_end() != expected.as_bytes() {
                return Ok(Self::documents(seen, reader, 0));
            }
        }
        let start = seen.len();
        reader.read_until(b'\n', &mut seen)?;
        if seen.get(start..).is_some_and(|line| line.starts_with(b"- ")) {
            let pending = seen.split_off(start);
            return Ok(Self::List(Items { reader: Some(reader), pending, lines: HEAD.len(), index: 0 }));
        }
        Ok(Self::documents(seen, reader, 0))
    }

    fn documents(seen: Vec<u8>, reader: R, lines: usize) -> Self {
        Self::Documents(Box::new(yaml::documents(Read::chain(Cursor::new(seen), reader))), lines)
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
                Self::List(items) => match items.next() {
                    Ok(Some(item)) => return Some(item),
                    Ok(None) => {
                        let reader = items.reader.take()?;
                        *self = Self::documents(Vec::new(), reader, items.lines);
                    }
                    Err(error) => {
                        items.reader = None;
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

impl<R: BufRead> Items<R> {
    /// The next item; `None` after the List, when the reader stands behind its separator.
    fn next(&mut self) -> io::Result<Option<Result<Document, DocumentError>>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        if self.pending.is_empty() {
            return Ok(None);
        }
        let line = self.lines + 1;
        let mut text = std::mem::take(&mut self.pending);
        if let Some(dash) = text.first_mut() {
            *dash = b' ';
        }
        self.lines += 1;
        let mut too_large = false;
        loop {
            let start = text.len();
            reader.read_until(b'\n', &mut text)?;
            match text.get(start..) {
                Some([b'-', b' ', ..]) => {
                    self.pending = text.split_off(start);
                    break;
                }
                Some([b' ' | b'\n' | b'\r' | b'#', ..]) => self.lines += 1,
                _ => {
                    let tail = text.split_off(start);
                    self.lines += skip_document(reader, tail)?;
                    break;
                }
            }
            if text.len() > MAX_DOCUMENT {
                too_large = true;
                text.truncate(start);
            }
        }
        let index = self.index;
        self.index += 1;
        let at = |column, message: String| YamlError { line, column, message, hint: None };
        if too_large {
            let message = format!("the item that starts here is larger than {MAX_DOCUMENT} bytes");
            return Ok(Some(Err(at(1, message).into())));
        }
        Ok(Some(match String::from_utf8(text) {
            Ok(text) => Ok(Document { text, line, index, format: Format::Yaml }),
            Err(_) => Err(at(1, "the text of this item is not UTF-8".to_owned()).into()),
        }))
    }
}

/// Skips what follows the items (`kind: List`, `metadata`) and the separator after it; how many lines that were.
fn skip_document(reader: &mut impl BufRead, mut line: Vec<u8>) -> io::Result<usize> {
    let mut lines = 0;
    while !line.is_empty() {
        lines += 1;
        if line.starts_with(b"---") {
            break;
        }
        line.clear();
        reader.read_until(b'\n', &mut line)?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Result<(usize, serde_json::Value), String>> {
        let read = |d: Document| Ok((d.line, d.read().map_err(|e| e.to_string())?));
        Entries::new(text.as_bytes()).map(|d| d.map_err(|e| e.to_string()).and_then(read)).collect()
    }

    #[test]
    fn a_list_of_kubectl_is_taken_apart_with_places_kept() {
        let text = "apiVersion: v1\nitems:\n- kind: Pod\n  spec:\n    a:\n    - |\n      - x\n\n      y\n- kind: Pod\n  b: 2\n\
                    kind: List\nmetadata:\n  resourceVersion: \"\"\n---\nkind: Pod\nc: 3\n";
        let found: Vec<_> = entries(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 10, 16]);
        assert_eq!(found[0].1["spec"]["a"][0], "- x\n\ny\n");
        assert_eq!((&found[1].1["b"], &found[2].1["c"]), (&2.into(), &3.into()));
    }

    #[test]
    fn a_broken_item_is_one_error_with_its_line() {
        let text = "apiVersion: v1\nitems:\n- a: [1\n- b: 2\nkind: List\n";
        let found = entries(text);
        assert!(found[0].as_ref().unwrap_err().contains("line 3") || found[0].as_ref().unwrap_err().contains("line 4"));
        assert_eq!(found[1].as_ref().unwrap().1["b"], 2);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn anything_else_is_read_as_documents() {
        for text in
            ["", "a: 1\n", "apiVersion: v1\n", "apiVersion: v1\nitems:\n", "apiVersion: v1\nitems: []\nkind: List\n"]
        {
            let whole: Vec<_> = yaml::documents(text.as_bytes()).map(|d| d.unwrap().read().unwrap()).collect();
            let ours: Vec<_> = entries(text).into_iter().map(|e| e.unwrap().1).collect();
            assert_eq!(ours, whole, "{text:?}");
        }
    }
}
