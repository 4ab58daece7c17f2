//! Steps that could not be injected and documents that are no input, as findings for CI: SARIF, annotations of GitHub's checks.

use std::sync::Arc;

use super::super::args::Format;
use super::super::manifest::Refusal;
use super::super::step::Step;
use super::Piece;
use crate::cli::{github, sarif};
use crate::yaml::Span;

/// What may be found, in the order of [`Kind`].
pub(super) const RULES: &[sarif::Rule] = &[
    sarif::Rule {
        id: "not-injected",
        finds: "A policy selects the step, and it could not be injected.",
        level: "error",
    },
    sarif::Rule { id: "bad-input", finds: "A document cannot be read, or Argo would refuse it.", level: "error" },
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    NotInjected,
    BadInput,
}

/// Adds the finding of a step, where it is one.
pub(super) fn step(step: &Step<'_>, format: Format, pieces: &mut Vec<Piece>) {
    let Some(reason) = step.failure() else { return };
    let said = step.reviewed.warnings.first().map(|warning| format!(" ({warning})")).unwrap_or_default();
    let place = format!("{} {}", step.name(), step.step_name());
    let message = format!("{}: {reason}{said}", place.trim_end());
    add(Kind::NotInjected, &step.file, (step.line, None), place.trim_end(), message, format, pieces);
}

/// Adds the finding of a document that is no input.
pub(super) fn refusal(file: &Arc<str>, refusal: &Refusal, format: Format, pieces: &mut Vec<Piece>) {
    let hint = refusal.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let message = format!("{}{hint}", refusal.message);
    add(Kind::BadInput, file, (refusal.line, refusal.column), "", message, format, pieces);
}

fn add(
    kind: Kind,
    file: &str,
    (line, column): (usize, Option<usize>),
    place: &str,
    message: String,
    format: Format,
    pieces: &mut Vec<Piece>,
) {
    let rule = kind as usize;
    let (id, level) = RULES.get(rule).map_or(("", "error"), |rule| (rule.id, rule.level));
    if format == Format::Github {
        let annotation = github::annotation(level, file, (line, column), &format!("stepspan {id}"), &message);
        return super::text(pieces, |out| super::line(out, &annotation));
    }
    let column = column.unwrap_or(1);
    let region = (line > 0).then_some((Span { line, column }, Span { line, column: column + 1 }));
    let (file, place) = (file.to_owned(), place.to_owned());
    pieces.push(Piece::Found(sarif::Result { rule, level, message, file, region, place }));
}
