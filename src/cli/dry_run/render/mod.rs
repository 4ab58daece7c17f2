//! A reviewed step -> what is printed of it. Done by the workers; [`sheet`] puts the pieces one after another.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;

use super::apply::apply;
use super::args::{Format, Output};
use super::manifest::Refusal;
use super::splice;
use super::step::Step;
use crate::admission::Reviewed;
use crate::cli::palette::{Palette, harmless};
use crate::cli::sarif;
use crate::offline::{Expanded, Nodes};
use crate::patch::Op;
use crate::yaml::Tree;
use stepspan_contract::names;

mod decisions;
mod diff;
mod explain;
mod finding;
mod html;
mod junit;
mod place;
mod row;
pub(super) mod sheet;

use self::junit::Case;
use self::row::Row;

/// What stands between two YAML documents.
const YAML_SEPARATOR: &[u8] = b"---\n";
/// What stands between two items of a JSON list.
const JSON_SEPARATOR: &[u8] = b",\n";

/// A part of the output.
#[derive(Debug)]
pub(super) enum Piece {
    /// A line of columns, aligned when it is written.
    Row(Row),
    /// Ready bytes; each YAML document or JSON item has its separator in front.
    Text(Vec<u8>),
    /// A JUnit test case.
    Case(Case),
    /// A result of SARIF.
    Found(sarif::Result),
    /// A pod of an HTML page, and what its Workflow's tree shows of it.
    Pod(Box<html::Leaf>, Vec<u8>),
    /// For stderr.
    Problem(String),
}

/// Writes what is asked for of a step.
pub(super) fn step(step: Step<'_>, output: Output, palette: Palette, pieces: &mut Vec<Piece>) {
    match output {
        Output::Both => {
            let row = Row::new(&step);
            pieces.push(Piece::Row(row));
            text(pieces, |out| diff::write(step, palette, false, out));
        }
        Output::Of(Format::Summary) => pieces.push(Piece::Row(Row::new(&step))),
        Output::Of(Format::Diff) => text(pieces, |out| diff::write(step, palette, true, out)),
        Output::Of(Format::Yaml) => text(pieces, |out| {
            out.extend_from_slice(YAML_SEPARATOR);
            patched(step.before, &step.reviewed.patch).append_to(out);
        }),
        Output::Of(Format::Json) => text(pieces, |out| {
            out.extend_from_slice(JSON_SEPARATOR);
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(out, &patched(step.before, &step.reviewed.patch));
        }),
        Output::Of(Format::Patch) => text(pieces, |out| decisions::write(&step, out)),
        Output::Of(Format::Junit) => junit::cases(&step, |case| pieces.push(Piece::Case(case))),
        Output::Of(format @ (Format::Sarif | Format::Github)) => finding::step(&step, format, pieces),
        Output::Of(Format::Html) => pieces.push(html::pod(step)),
        // Written by [`changed`].
        Output::Compare | Output::CompareJson => {}
        Output::Explain => text(pieces, |out| explain::write(&step, palette, out)),
        Output::ExplainJson => text(pieces, |out| decisions::explain(&step, out)),
    }
}

/// Puts the tree of a Workflow, whose pods are the pieces from `start` on, before them, where a page is asked for.
pub(super) fn workflow(
    manifest: &serde_json::Value,
    nodes: &Nodes,
    (file, line): (&str, usize),
    (output, start): (Output, usize),
    pieces: &mut Vec<Piece>,
) {
    if output != Output::Of(Format::Html) || nodes.all.is_empty() {
        return;
    }
    let leaves = pieces
        .iter()
        .skip(start)
        .filter_map(|piece| if let Piece::Pod(leaf, _) = piece { Some(&**leaf) } else { None });
    let leaves: Vec<_> = leaves.collect();
    let metadata = &manifest["metadata"];
    let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default();
    let kind = manifest["kind"].as_str().unwrap_or_default();
    let tree = html::tree(kind, name, &format!("{file}:{line}"), nodes, &leaves);
    pieces.insert(start, Piece::Text(tree.into_bytes()));
}

/// Writes a pod as the controller creates it.
pub(super) fn expanded(expanded: &Expanded, output: Output, pieces: &mut Vec<Piece>) {
    let mut pod = expanded.pod.clone();
    if !expanded.unresolved.is_empty() {
        pod["metadata"]["annotations"][names::DYNAMIC_ANNOTATION] = expanded.unresolved.join(",").into();
    }
    text(pieces, |out| {
        if output == Output::Of(Format::Json) {
            out.extend_from_slice(JSON_SEPARATOR);
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(out, &pod);
        } else {
            out.extend_from_slice(YAML_SEPARATOR);
            for condition in &expanded.conditions {
                line(out, &format!("# if {}", harmless(condition)));
            }
            Tree::from(&pod).append_to(out);
        }
    });
}

/// A pod as YAML, patched.
pub(super) fn yaml_of(tree: Tree<'_>, patch: &[Op]) -> String {
    diff::as_yaml(&patched(tree, patch))
}

/// Writes what changes for a pod from one policy set to another: its YAML under each, and what the evaluator says.
pub(super) fn changed(
    step: &Step<'_>,
    newer: &Reviewed,
    yaml: [&str; 2],
    output: Output,
    palette: Palette,
    pieces: &mut Vec<Piece>,
) {
    text(pieces, |out| match output {
        Output::CompareJson => decisions::changed(step, newer, out),
        _ => diff::changed(step, newer, yaml, palette, out),
    });
}

fn patched<'a>(mut tree: Tree<'a>, patch: &'a [Op]) -> Tree<'a> {
    // The evaluator has proven that its patch applies.
    let _ = apply(&mut tree, patch);
    tree
}

/// Writes a JSON item from its text; `None` where it has to be read first. Text of several lines is: each item is a line.
pub(super) fn json_text(object: &str, patch: &[Op], pieces: &mut Vec<Piece>) -> Option<()> {
    if memchr::memchr(b'\n', object.as_bytes()).is_some() {
        return None;
    }
    let mut written = None;
    text(pieces, |out| {
        let start = out.len();
        out.extend_from_slice(JSON_SEPARATOR);
        written = splice::write(object, patch, out);
        if written.is_none() {
            out.truncate(start);
        }
    });
    written
}

/// Tells of a document that is no input.
pub(super) fn refusal(file: &Arc<str>, refusal: &Refusal, output: Output, pieces: &mut Vec<Piece>) {
    match output {
        Output::Of(Format::Junit) => pieces.push(Piece::Case(Case::of_refusal(file, refusal))),
        Output::Of(format @ (Format::Sarif | Format::Github)) => finding::refusal(file, refusal, format, pieces),
        _ => {}
    }
    let message = message(file, refusal);
    if output == Output::Of(Format::Html) {
        text(pieces, |out| out.extend_from_slice(html::problem(&message).as_bytes()));
    }
    pieces.push(Piece::Problem(message));
}

fn message(file: &str, refusal: &Refusal) -> String {
    let mut text = format!("error: {}", harmless(file));
    // Writing to a String cannot fail.
    let write = |text: &mut String, part: fmt::Arguments<'_>| {
        let _ = text.write_fmt(part);
    };
    for number in [Some(refusal.line).filter(|line| *line > 0), refusal.column].into_iter().flatten() {
        write(&mut text, format_args!(":{number}"));
    }
    write(&mut text, format_args!(": {}", harmless(&refusal.message)));
    if let Some(hint) = &refusal.hint {
        write(&mut text, format_args!("\n  hint: {}", harmless(hint)));
    }
    text
}

/// Writes at the end of the pieces.
fn text(pieces: &mut Vec<Piece>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut text = match pieces.pop_if(|piece| matches!(piece, Piece::Text(_))) {
        Some(Piece::Text(text)) => text,
        _ => Vec::new(),
    };
    write(&mut text);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

/// Writes a line to memory, which cannot fail.
fn line(out: &mut Vec<u8>, text: &str) {
    let _ = out.write_all(text.as_bytes());
    out.push(b'\n');
}
