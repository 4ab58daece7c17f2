//! A file as a stream of documents; the Lists that `kubectl get -o yaml` and `-o json` print are taken apart, item by item.
//!
//! Such a List is one document of any length. Its layout is fixed (`k8s.io/cli-runtime/pkg/printers`, keys sorted):
//! `apiVersion: v1`, `items:`, the items as a sequence without indentation, then `kind: List` and `metadata`. So each item
//! is the lines from one `- ` in the first column to the next, and with `- ` read as two spaces it is a document of its
//! own, every place in it unchanged. In JSON it is the lines from one `{` to the `}` below it, two levels in (`jq` indents
//! by two spaces, kubectl by four). Whatever does not look exactly so is left to [`yaml::documents`].

use std::io::{self, BufRead, Chain, Cursor, Read};

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
}

/// The items of a List.
#[derive(Debug)]
pub(super) struct Items<R> {
    reader: Option<R>,
    layout: Layout,
    /// The first line of the next item, with its line break.
    pending: Vec<u8>,
    /// Lines read, without the pending one.
    lines: usize,
    index: usize,
    /// The input ends before the List does.
    cut_short: bool,
}

/// How a List is written.
#[derive(Debug)]
enum Layout {
    Yaml,
    /// JSON, and what each item is indented by.
    Json(Vec<u8>),
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
                    let (pending, reader) = (seen.split_off(start), Some(reader));
                    return Ok(Self::List(Items { reader, layout, pending, lines, index: 0, cut_short: false }));
                }
                Head::Other => break,
            }
        }
        Ok(Self::documents(seen, reader, 0))
    }

    fn documents(seen: Vec<u8>, reader: R, lines: usize) -> Self {
        Self::Documents(Box::new(yaml::documents(Read::chain(Cursor::new(seen), reader))), lines)
    }
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
    let indent: Vec<u8> = line.iter().copied().take_while(|byte| *byte == b' ').collect();
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
    /// The next item; `None` after the List, when the reader stands behind it.
    fn next(&mut self) -> io::Result<Option<Result<Document, DocumentError>>> {
        let line = self.lines + 1;
        let at = |message: String| YamlError { line, column: 1, message, hint: None };
        if self.pending.is_empty() {
            let cut_short = std::mem::take(&mut self.cut_short);
            return Ok(cut_short.then(|| Err(at("the input ends before the List does".to_owned()).into())));
        }
        let mut text = std::mem::take(&mut self.pending);
        let (format, fits) = match self.layout {
            Layout::Yaml => (Format::Yaml, self.rest_of_yaml(&mut text)?),
            Layout::Json(_) => (Format::Json, self.rest_of_json(&mut text)?),
        };
        let index = self.index;
        self.index += 1;
        if !fits {
            return Ok(Some(Err(at(format!("the item that starts here is larger than {MAX_DOCUMENT} bytes")).into())));
        }
        Ok(Some(match String::from_utf8(text) {
            Ok(text) => Ok(Document { text, line, index, format }),
            Err(_) => Err(at("the text of this item is not UTF-8".to_owned()).into()),
        }))
    }

    /// Reads the lines of an item of which the first is there. False if it is too large to be kept.
    fn rest_of_yaml(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(true) };
        if let Some(dash) = text.first_mut() {
            *dash = b' ';
        }
        self.lines += 1;
        let mut fits = true;
        loop {
            let start = text.len();
            reader.read_until(b'\n', text)?;
            match text.get(start..) {
                Some([b'-', b' ', ..]) => {
                    self.pending = text.split_off(start);
                    return Ok(fits);
                }
                Some([b' ' | b'\n' | b'\r' | b'#', ..]) => self.lines += 1,
                _ => {
                    let tail = text.split_off(start);
                    self.lines += skip_document(reader, tail)?;
                    return Ok(fits);
                }
            }
            if text.len() > MAX_DOCUMENT {
                fits = false;
                text.truncate(start);
            }
        }
    }

    /// The same of JSON, where a line says that it is the last of its item.
    fn rest_of_json(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        let (Some(reader), Layout::Json(indent)) = (&mut self.reader, &self.layout) else { return Ok(true) };
        let (mut fits, mut start) = (true, 0);
        loop {
            let line = text.get(start..).unwrap_or_default().trim_ascii_end();
            self.cut_short = line.is_empty();
            if self.cut_short {
                return Ok(fits);
            }
            self.lines += 1;
            match line.strip_prefix(indent.as_slice()) {
                Some(b"}," | b"{},") => {
                    text.truncate(start + line.len() - 1);
                    self.cut_short = reader.read_until(b'\n', &mut self.pending)? == 0;
                    return Ok(fits);
                }
                Some(b"}" | b"{}") => {
                    let (lines, ended) = skip_object(reader)?;
                    self.lines += lines;
                    self.cut_short = !ended;
                    return Ok(fits);
                }
                _ => {}
            }
            if text.len() > MAX_DOCUMENT {
                fits = false;
                text.truncate(start);
            }
            start = text.len();
            reader.read_until(b'\n', text)?;
        }
    }
}

/// Skips what follows the items in JSON, to its closing brace: how many lines that were, and whether it was there.
fn skip_object(reader: &mut impl BufRead) -> io::Result<(usize, bool)> {
    let (mut lines, mut line) = (0, Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        if line.starts_with(b"}") {
            return Ok((lines, true));
        }
        line.clear();
    }
    Ok((lines, false))
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

    const KUBECTL: &str = r#"{
    "apiVersion": "v1",
    "items": [
        {
            "kind": "Pod",
            "spec": {
                "a": [
                    {}
                ]
            }
        },
        {},
        {
            "kind": "Pod",
            "b": 2
        }
    ],
    "kind": "List",
    "metadata": {
        "resourceVersion": ""
    }
}
---
c: 3
"#;

    #[test]
    fn a_list_in_json_is_taken_apart_too() {
        for text in [KUBECTL, &KUBECTL.replace("    ", "  "), &KUBECTL.replace('\n', "\r\n")] {
            let found: Vec<_> = entries(text).into_iter().map(Result::unwrap).collect();
            assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 12, 13, 24]);
            let list: serde_json::Value = yaml::documents(text.as_bytes()).next().unwrap().unwrap().read().unwrap();
            let items: Vec<_> = found.into_iter().map(|(_, item)| item).collect();
            assert_eq!((&items[..3], &items[3]["c"]), (&list["items"].as_array().unwrap()[..], &3.into()));
        }
    }

    #[test]
    fn a_list_in_json_that_ends_early_says_so_wherever_it_does() {
        let end = KUBECTL.find("\n}\n").unwrap() + 2;
        for at in 0..end - 1 {
            let found = entries(&KUBECTL[..at]);
            assert!(found.is_empty() && at == 0 || found.iter().any(Result::is_err), "{:?}: {found:?}", &KUBECTL[..at]);
        }
        let found = entries(&KUBECTL.replace("\"b\": 2", "\"b\": [2"));
        assert!(found[2].as_ref().unwrap_err().starts_with("line 16, column 9"), "{found:?}");
        assert_eq!(found.iter().filter(|found| found.is_err()).count(), 1);
    }

    #[test]
    fn lists_of_any_length_are_read() {
        let pod = format!("{{\n            \"a\": \"{}\"\n        }}", "x".repeat(1 << 20));
        let items = vec![pod.as_str(); 20].join(",\n        ");
        let text = format!("{{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {items}\n    ]\n}}\n");
        assert!(text.len() > MAX_DOCUMENT && yaml::documents(text.as_bytes()).any(|document| document.is_err()));
        let found = entries(&text);
        assert_eq!((found.len(), found.iter().filter(|found| found.is_err()).count()), (20, 0));
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
