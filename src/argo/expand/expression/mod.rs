//! `{{=...}}`: the part of expr-lang (<https://expr-lang.org>, as Argo calls it in `util/template/expression_template.go`) that is decided
//! before a workflow runs.
//!
//! [`lex`] makes tokens, [`parse`] a tree, [`eval`] walks it over the values of `{{...}}`; [`functions`] and [`sprig`] are what can be
//! called. What is not there (time, random numbers, `let`) is [`Undecided`], never a guess.
//!
//! Invariants: sources have at most [`MAX_SOURCE`] bytes and [`MAX_NODES`] nodes; every step, and every byte made, is paid for out of one
//! budget; nothing panics.

mod budget;
mod eval;
mod functions;
mod lex;
mod parse;
mod sprig;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::replace::Values;
use budget::Budget;

/// Longest expression, in bytes.
pub const MAX_SOURCE: usize = 8 << 10;
/// Most nodes of an expression, which bounds the depth too.
pub const MAX_NODES: usize = 400;

/// Why an expression has no value before the workflow runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A variable that no value is known of.
    #[error("{0} is not known before the workflow runs")]
    Unknown(String),
    /// Argo would leave or refuse it, or means something by it that is not read here.
    #[error("{0}")]
    Unclear(String),
}

fn unclear<T>(why: impl Into<String>) -> Result<T, Undecided> {
    Err(Undecided::Unclear(why.into()))
}

/// What an expression comes to.
///
/// # Errors
/// It cannot be said before the workflow runs, it has no value (`nil`), or it would cost too much.
pub fn evaluate(source: &str, values: &Values) -> Result<Value, Undecided> {
    if source.len() > MAX_SOURCE {
        return unclear(format!("an expression of {} bytes; at most {MAX_SOURCE} are looked at", source.len()));
    }
    let root = parse::parse(lex::tokens(source)?)?;
    match eval::evaluate(&root, values, &Budget::new())? {
        Value::Null => unclear("it has no value (nil)"),
        value => Ok(value),
    }
}

/// A value as Argo writes it in the place of the tag: a text as it is, everything else as Go's `encoding/json` has it.
pub fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => functions::to_json(other),
    }
}
