//! A reviewed step -> what is printed of it. Done by the workers; [`sheet`] puts the pieces one after another.

use std::io::Write;
use std::sync::Arc;

use super::args::Output;
use super::manifest::Refusal;
use super::step::Step;
use crate::yaml;

mod decisions;
mod diff;
mod junit;
pub(super) mod palette;
mod place;
mod row;
pub(super) mod sheet;

use self::junit::Case;
use self::palette::{Palette, harmless};
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
    /// For stderr.
    Problem(String),
}

/// Writes what is asked for of a step.
pub(super) fn step(step: Step, output: Option<Output>, palette: Palette, pieces: &mut Vec<Piece>) {
    match output {
        None => {
            let row = Row::new(&step);
            pieces.push(Piece::Row(row));
            text(pieces, |out| diff::write(step, palette, false, out));
        }
        Some(Output::Summary) => pieces.push(Piece::Row(Row::new(&step))),
        Some(Output::Diff) => text(pieces, |out| diff::write(step, palette, true, out)),
        Some(Output::Yaml) => text(pieces, |out| {
            out.extend_from_slice(YAML_SEPARATOR);
            // Writing to memory cannot fail; so below.
            let _ = yaml::write(&step.into_patched(), out);
        }),
        Some(Output::Json) => text(pieces, |out| {
            out.extend_from_slice(JSON_SEPARATOR);
            let _ = serde_json::to_writer(out, &step.into_patched());
        }),
        Some(Output::Patch) => text(pieces, |out| decisions::write(&step, out)),
        Some(Output::Junit) => junit::cases(&step, |case| pieces.push(Piece::Case(case))),
    }
}

/// Tells of a document that is no input.
pub(super) fn refusal(file: &Arc<str>, refusal: &Refusal, output: Option<Output>, pieces: &mut Vec<Piece>) {
    if output == Some(Output::Junit) {
        pieces.push(Piece::Case(Case::of_refusal(file, refusal)));
    }
    let mut text = format!("error: {}", harmless(file));
    for number in [Some(refusal.line).filter(|line| *line > 0), refusal.column].into_iter().flatten() {
        text.push_str(&format!(":{number}"));
    }
    text.push_str(&format!(": {}", harmless(&refusal.message)));
    if let Some(hint) = &refusal.hint {
        text.push_str(&format!("\n  hint: {hint}"));
    }
    pieces.push(Piece::Problem(text));
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
