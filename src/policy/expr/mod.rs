//! Expressions of policies: the conditions of `match.when`, and `{cel: ...}` sources of correlation keys.
//!
//! The language is CEL, parsed by the `cel` crate. Its interpreter is not used: it has no bound on steps, memory or
//! depth, and copies what it loops over. The parser's tree is lowered into one of our own, and walked here.
//!
//! What is there: `has()`, `in`, `.?x`, `[?x]`, `orValue`, `or`, `hasValue`, `value`; `all`, `exists`, `exists_one`,
//! `filter`, `map`; `size`, `string`, `int`, `double`, `bool`; `matches`, `startsWith`, `endsWith`, `contains`,
//! `indexOf`, `substring`, `lowerAscii`, `upperAscii`, `trim`, `replace`, `split`, `join`; list and map literals; the
//! operators. Variables: `pod`, `namespaceName`, `namespaceLabels`, `template`, `container`, `workflow` (name, uid,
//! parameters, labels, annotations) and `inputs`. Not there: time, bytes, unsigned numbers, messages, `type()`.
//!
//! ```text
//! source -> parse (a thread with a large stack) -> lower (bounds, names, regexes) -> tree -> eval (metered) -> value
//! ```
//!
//! Invariants, each held by a test:
//! - **Nothing unbounded is compiled.** At most 1 KiB of source, 200 nodes, 32 levels, 2 loops; names, arities and
//!   regular expressions are checked once, when policies are loaded, with the column and a hint.
//! - **Nothing unbounded runs.** Work is paid for in ticks before it is done; strings made have at most 64 KiB, lists
//!   walked or made at most 1,000 elements. A bound that is hit ends the evaluation: no `||` hides it.
//! - **No panic, no side effect.** An evaluation is a function of the expression and the scope; it yields a value or
//!   an [`EvalError`] with its reason.
//! - **Nothing is converted.** The pod stays the JSON it came as; cloning a value never copies what it holds.
//! - **A missing key is an error**, not false: CEL's own rule. The message says how to write the condition instead.
//! - **The same as elsewhere.** Where both give a value, ours is the one of the `cel` crate's interpreter.

mod bounds;
mod error;
mod eval;
mod functions;
mod known;
mod lower;
mod names;
mod parse;
mod pattern;
mod references;
mod scope;
mod tree;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use error::{EvalError, ExpressionError};
pub use references::References;
pub use scope::{Scope, Workflow};
use tree::Node;
use value::Item;

/// A compiled expression. Cloning shares it.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    root: Node,
}

impl Expression {
    /// Compiles `source`, refusing whatever is not known, not supported or not bounded.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        let root = parse::parse(source)?;
        Ok(Self(Arc::new(Compiled { source: source.into(), root })))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it reads of a Workflow and of a step's inputs, for whoever has to make pods carry it.
    pub fn references(&self) -> References {
        References::of(&self.0.root)
    }

    /// Why the condition can be true on no pod of Argo, as it is admitted; `None` where it may be.
    pub fn never_true(&self) -> Option<String> {
        known::never_true(&self.0.root)
    }

    /// Look-ups that fail on a pod without the key, each with how to write it so that the key may be absent.
    pub fn unguarded(&self) -> Vec<(String, String)> {
        known::unguarded(&self.0.root)
    }

    /// Evaluates a condition.
    pub fn test(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        match eval::evaluate(&self.0.root, scope)? {
            Item::Bool(value) => Ok(value),
            other => Err(EvalError::NotBool(other.type_name())),
        }
    }

    /// Evaluates a source of a correlation key: a string, number or bool as text; `None` for null, an empty string or
    /// an optional without a value.
    pub fn text(&self, scope: &Scope<'_>) -> Result<Option<String>, EvalError> {
        let item = match eval::evaluate(&self.0.root, scope)? {
            Item::Optional(None) => return Ok(None),
            Item::Optional(Some(inner)) => (*inner).clone(),
            item => item,
        };
        match functions::plain_text(&item) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None if matches!(item, Item::Null) => Ok(None),
            None => Err(EvalError::NotText(item.type_name())),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source()).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}
