//! A first look over the input: the templates and ConfigMaps that Workflows in it may refer to, wherever they stand.
//!
//! What is wrong with a document is told when it is its turn. Stdin and FIFOs can be read once: where one starts with manifests, as `helm template`
//! and `kustomize build` print them, [`AHEAD`] bytes are read before anything is done; pods stream through.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::PathBuf;

use memchr::memmem;

use super::input::{self, Reader};
use super::list::Entries;
use crate::argo::expand::Library;
use crate::offline::each;
use crate::source::files;

/// Words without which no document can be one that is referred to.
const KINDS: [&str; 3] = ["WorkflowTemplate", "ConfigMap", "ServiceAccount"];

/// As much of what can be read once is read before anything is written.
const AHEAD: u64 = 16 << 20;

/// Takes them from `paths`; what can be read once is given back from its beginning, by its place among the paths.
pub(super) fn collect(paths: &[PathBuf], namespace: &str, library: &mut Library) -> BTreeMap<usize, Reader> {
    let mut begun: BTreeMap<usize, Reader> = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        if files::is_read_once(path) {
            // What cannot be opened, or read, is told when it is its turn.
            let Ok(mut source) = files::open(path) else { continue };
            let mut head = Vec::new();
            let _ = read_ahead(&mut source, &mut head);
            look(head.as_slice(), namespace, library);
            begun.insert(at, Box::new(Cursor::new(head).chain(source)));
            continue;
        }
        for file in input::expand(path).unwrap_or_default() {
            if let Ok(opened) = File::open(&file) {
                look(opened, namespace, library);
            }
        }
    }
    begun
}

/// Reads until it is clear what is coming: one read for pods and their lists, [`AHEAD`] bytes for anything else.
fn read_ahead(mut source: impl Read, head: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 << 10];
    loop {
        let read = source.read(&mut chunk)?;
        head.extend_from_slice(&chunk[..read]);
        let streams = starts_with_pods(head);
        if read == 0 || streams == Some(true) {
            return Ok(());
        }
        if streams == Some(false) {
            return source.take(AHEAD).read_to_end(head).map(drop);
        }
    }
}

/// Whether what comes are pods, lists of them or reviews; `None` where that is not clear yet.
fn starts_with_pods(head: &[u8]) -> Option<bool> {
    let text = head.trim_ascii_start();
    if memmem::find(text, b"WorkflowTemplate").is_some() || memmem::find(text, b"emplateRef").is_some() {
        return Some(false);
    }
    if matches!(text.first()?, b'{' | b'[') || text.starts_with(b"apiVersion: v1\nitems:") {
        return Some(true);
    }
    let kind =
        text.split_inclusive(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"kind:")?.strip_suffix(b"\n"));
    let is_pod = |kind: &[u8]| matches!(kind.trim_ascii(), b"Pod" | b"PodList" | b"List" | b"AdmissionReview");
    kind.map(is_pod).or_else(|| (head.len() as u64 > AHEAD).then_some(true))
}

fn look(file: impl Read, namespace: &str, library: &mut Library) {
    for document in Entries::new(BufReader::new(file)).filter_map(Result::ok) {
        let text = document.text.as_bytes();
        if KINDS.iter().any(|kind| memmem::find(text, kind.as_bytes()).is_some())
            && let Ok(value) = document.read()
        {
            each(value, &mut |value| {
                library.take(&value, namespace);
            });
        }
    }
}
