//! Files, folders and stdin -> batches of documents, held in memory a batch at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use super::list::Entries;
use crate::cli::stdin_once;
use crate::source::files::{self, MUST_HOLD, is_stdin};
use crate::yaml::{Document, DocumentError, YamlError};

/// Documents are handed on in batches of about so many bytes: large enough that the queues cost nothing, small enough that
/// a few of them are no memory.
const BATCH: usize = 96 << 10;
/// The same for the first batch, so that a small input is shared by all cores too.
const FIRST_BATCH: usize = 16 << 10;
const READ: usize = 64 << 10;

/// One document of the input, or what stands in its place.
#[derive(Debug)]
pub(super) struct Entry {
    /// The file's name in messages.
    pub source: Arc<str>,
    /// The document.
    pub item: Item,
}

/// A document, or why there is none.
#[derive(Debug)]
pub(super) enum Item {
    /// A document, not yet looked at.
    Document(Document),
    /// One that cannot be used.
    Broken(YamlError),
    /// The file cannot be read, or not any further: what is wrong and what to do.
    Unreadable(String, &'static str),
}

/// Documents that are worked on together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In the order of the input.
    pub entries: Vec<Entry>,
    /// Their length, in bytes.
    pub bytes: usize,
}

/// A text that is input as a file would be.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// Its name in messages.
    pub name: String,
    /// Documents.
    pub text: String,
}

/// Bytes, from wherever.
pub(super) type Reader = Box<dyn Read + Send>;

/// Where documents come from.
enum Origin {
    Path(PathBuf),
    /// What can be read once, and was looked at already; with its name in messages.
    Begun(Arc<str>, Reader),
    Given(Given),
}

/// All inputs, in order.
pub(super) struct Inputs {
    origins: std::vec::IntoIter<Origin>,
    current: Option<(Arc<str>, Open)>,
    size: usize,
}

type Open = Entries<Box<dyn BufRead + Send>>;

/// The inputs that the arguments name, then those that are given: `-` is stdin; a folder is its manifests. What can be read once comes from `begun`, by
/// its place among the paths.
///
/// # Errors
/// stdin is named twice, or a folder has no manifest.
pub(super) fn inputs(
    paths: &[PathBuf],
    given: Vec<Given>,
    mut begun: BTreeMap<usize, Reader>,
) -> anyhow::Result<(Inputs, Option<u64>)> {
    stdin_once(paths)?;
    let (mut origins, mut named) = (Vec::new(), Vec::new());
    for (at, path) in paths.iter().enumerate() {
        if let Some(reader) = begun.remove(&at) {
            let name = if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() };
            origins.push(Origin::Begun(name.into(), reader));
            named.push(path.clone());
        } else {
            let found = expand(path)?;
            named.extend_from_slice(&found);
            origins.extend(found.into_iter().map(Origin::Path));
        }
    }
    let total = files::length(&named);
    origins.extend(given.into_iter().map(Origin::Given));
    Ok((Inputs { origins: origins.into_iter(), current: None, size: FIRST_BATCH }, total))
}

/// A file itself, or the manifests of a folder. A path that does not exist is left to whoever opens it.
///
/// # Errors
/// A folder that cannot be listed, or holds no manifest.
pub(super) fn expand(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match files::expand(path) {
        Ok(found) if found.is_empty() => bail!("{}: no manifest in this folder: {MUST_HOLD}", path.display()),
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![path.to_owned()]),
        Err(error) => bail!("{}: {error}", path.display()),
    }
}

impl Iterator for Inputs {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while batch.bytes < self.size {
            let Some(entry) = self.entry() else { break };
            batch.bytes += match &entry.item {
                Item::Document(document) => document.text.len(),
                Item::Broken(_) | Item::Unreadable(..) => 1,
            };
            batch.entries.push(entry);
        }
        self.size = BATCH;
        (!batch.entries.is_empty()).then_some(batch)
    }
}

impl Inputs {
    fn entry(&mut self) -> Option<Entry> {
        loop {
            if let Some((source, documents)) = &mut self.current {
                if let Some(next) = documents.next() {
                    let item = match next {
                        Ok(document) => Item::Document(document),
                        Err(DocumentError::Broken(error)) => Item::Broken(error),
                        Err(DocumentError::Io(error)) => unreadable(&error),
                    };
                    return Some(Entry { source: source.clone(), item });
                }
                self.current = None;
            }
            let (source, reader): (Arc<str>, Reader) = match self.origins.next()? {
                Origin::Given(Given { name, text }) => (name.into(), Box::new(Cursor::new(text))),
                Origin::Begun(name, reader) => (name, reader),
                Origin::Path(path) => {
                    let source = path.display().to_string().into();
                    match File::open(&path) {
                        Ok(file) => (source, Box::new(file)),
                        Err(error) => return Some(Entry { source, item: unreadable(&error) }),
                    }
                }
            };
            self.current = Some((source, Entries::new(Box::new(BufReader::with_capacity(READ, reader)))));
        }
    }
}

fn unreadable(error: &io::Error) -> Item {
    let (message, hint) = files::explain(error);
    Item::Unreadable(format!("cannot read: {message}"), hint)
}
