//! Hints for names that are not known.

use super::error::ExpressionError;
use super::tree::{Function, Variable};

const LOOPS: [&str; 5] = ["all", "exists", "exists_one", "map", "filter"];
const POD_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const METADATA_FIELDS: [&str; 3] = ["labels", "annotations", "name"];

/// A name that is neither a variable nor one of the loop variables `bound` around it.
pub(super) fn unknown_variable(name: &str, column: usize, bound: &[(&str, usize)]) -> ExpressionError {
    let known = || Variable::ALL.iter().map(|(known, _)| *known);
    let hint = if POD_FIELDS.contains(&name) {
        format!("did you mean `pod.{name}`?")
    } else if METADATA_FIELDS.contains(&name) {
        format!("did you mean `pod.metadata.{name}`?")
    } else {
        hint(name, known().chain(bound.iter().map(|(known, _)| *known)))
    };
    ExpressionError::UnknownVariable { column, name: name.to_owned(), hint }
}

/// A call of something that is not a function.
pub(super) fn unknown_function(name: &str, column: usize) -> ExpressionError {
    let known = Function::ALL.iter().map(|signature| signature.name);
    let hint = hint(name, known.chain(LOOPS).chain(["has", "matches"]));
    ExpressionError::UnknownFunction { column, name: name.to_owned(), hint }
}

fn hint<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let distance = |candidate: &str| strsim::osa_distance(&name.to_lowercase(), &candidate.to_lowercase());
    let nearest = known.clone().map(|candidate| (distance(candidate), candidate)).min();
    let longer = |candidate: &&str| name.len() >= 3 && candidate.to_lowercase().starts_with(&name.to_lowercase());
    if let Some(candidate) = known.clone().find(longer) {
        return format!("did you mean `{candidate}`?");
    }
    match nearest {
        Some((distance, candidate)) if distance <= 1 + candidate.len() / 4 => format!("did you mean `{candidate}`?"),
        _ => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}
