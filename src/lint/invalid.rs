//! What keeps policies from loading, as findings: each marks the value that is wrong, or the key where that is what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Severity, lists, rule};
use crate::policy::load::{PolicyError, PolicyFile};
use crate::yaml::{self, Kind, Node, Span, Spanned};

/// Documents, by their file and where they start.
type Places<'f> = BTreeMap<(&'f str, Span), Spanned>;

/// A finding for each mistake.
pub(super) fn findings(errors: Vec<PolicyError>, files: &[PolicyFile]) -> Vec<Finding> {
    let wrong: BTreeSet<String> = errors.iter().map(|error| error.file.clone()).collect();
    let places: Places<'_> = files.iter().filter(|file| wrong.contains(&file.name)).flat_map(documents).collect();
    errors.into_iter().map(|error| finding(error, &places)).collect()
}

/// The documents of a file that can be read; each item of a list is one.
fn documents(file: &PolicyFile) -> impl Iterator<Item = ((&str, Span), Spanned)> {
    let read = yaml::documents(file.text.as_bytes()).flatten();
    let places = read.filter_map(|document| Spanned::read(&document.text, document.line).ok());
    places.flat_map(lists::items).map(|place| ((file.name.as_str(), place.root.span), place))
}

fn finding(error: PolicyError, places: &Places<'_>) -> Finding {
    let at = Span { line: error.line, column: error.column };
    let nearest = places.range(..=(error.file.as_str(), at)).next_back();
    let place = nearest.filter(|((file, _), place)| *file == error.file && place.span(&error.path) == at);
    let (start, end) = place.map_or((at, at), |(_, place)| region(place, &error.path, &error.message));
    let PolicyError { file, path, message, hint, .. } = error;
    // What can't be read at all is a point: the character there.
    let end = if end > start || start.line == 0 { end } else { Span { column: start.column + 1, ..start } };
    let lines = vec![at.line];
    Finding { rule: &rule::INVALID, severity: Severity::Error, file, start, end, path, message, hint, lines }
}

/// The key where the message names it, else the value; what is missing, or goes on for lines, is marked at its key.
fn region(place: &Spanned, path: &str, message: &str) -> (Span, Span) {
    let Some(node) = place.node(path) else { return place.region(path) };
    if let Some(key) = last_key(path).filter(|key| message.contains(&format!("`{key}`"))) {
        let start = place.span(path);
        return (start, Span { column: start.column + key.chars().count(), ..start });
    }
    let Node { span, end, ref kind } = *node;
    let whole = matches!(kind, Kind::Scalar(_)) || span.line == end.line;
    if whole && end > span { (span, end) } else { place.region(path) }
}

/// The key at which a path ends, where it does not end at the item of a list.
fn last_key(path: &str) -> Option<String> {
    let Some(inside) = path.strip_suffix("\"]") else {
        return path.rsplit('.').next().filter(|key| !key.ends_with(']')).map(str::to_owned);
    };
    let quoted = &inside[inside.rfind("[\"")? + 1..];
    serde_json::from_str(&format!("{quoted}\"")).ok()
}
