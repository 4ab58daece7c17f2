//! What an expression may cost: the limits, and the meter that enforces the ones only known while it runs.
//!
//! One tick is about the work of visiting one node of the tree (some 20 ns). Everything an evaluation does is charged
//! before it is done, so [`TICKS`] is a bound on the time of one evaluation whatever pod it looks at.

use super::error::EvalError;
use super::value::Text;

/// Longest source, in bytes.
pub(super) const SOURCE_BYTES: usize = 1024;
/// Most nodes of a compiled expression.
pub(super) const NODES: usize = 200;
/// Deepest nesting of nodes. Evaluation recurses once a level.
pub(super) const DEPTH: usize = 32;
/// Most loops (`all`, `exists`, `exists_one`, `map`, `filter`), nested or not.
pub(super) const LOOPS: usize = 2;
/// Most elements a loop walks over, or a list made by an expression holds.
pub(super) const ELEMENTS: usize = 1_000;
/// Longest string an expression may make, in bytes. Strings that are in the pod may be longer.
pub(super) const TEXT_BYTES: usize = 64 * 1024;
/// Longest string `matches` looks at, in bytes: its worst case per byte is far above that of the other functions.
pub(super) const MATCHED_BYTES: usize = 4 * 1024;
/// Largest compiled form of one regular expression, in bytes.
pub(super) const REGEX_BYTES: usize = 256 * 1024;
/// Ticks one evaluation may use.
pub(super) const TICKS: usize = 100_000;
/// Stack of the thread that parses. The parser recurses up to nine frames for a level of nesting, and its frames are
/// large in a build without optimisation.
pub(super) const PARSER_STACK: usize = 32 * 1024 * 1024;

/// The ticks left to one evaluation.
#[derive(Debug)]
pub(super) struct Meter {
    left: usize,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { left: TICKS }
    }

    /// Pays for work about to be done. Once it fails, it fails for the rest of the evaluation.
    pub(super) fn charge(&mut self, ticks: usize) -> Result<(), EvalError> {
        let left = self.left.checked_sub(ticks);
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(EvalError::TooCostly)
    }

    /// Pays for going over `bytes` of text once.
    pub(super) fn charge_text(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.charge(1 + bytes / 32)
    }

    /// Pays for searching `bytes` of text with a pattern that costs `price` ticks a byte.
    pub(super) fn charge_match(&mut self, bytes: usize, price: usize) -> Result<(), EvalError> {
        if bytes > MATCHED_BYTES {
            return Err(EvalError::TextTooLongToMatch { bytes });
        }
        self.charge(4 + bytes * price)
    }

    /// Pays for a string of `bytes` about to be made, or refuses it.
    pub(super) fn charge_new_text(&mut self, bytes: usize) -> Result<(), EvalError> {
        if bytes > TEXT_BYTES {
            return Err(EvalError::TextTooLong { bytes });
        }
        self.charge(2 + bytes / 16)
    }

    /// Pays for cutting `text` into parts: only a text that was made on the way is copied.
    pub(super) fn charge_parts_of(&mut self, text: &Text<'_>) -> Result<(), EvalError> {
        match text {
            Text::Borrowed(text) => self.charge_text(text.len()),
            Text::Made(text) => self.charge_new_text(text.len()),
        }
    }

    /// Pays for a list of `count` elements about to be made, or refuses it.
    pub(super) fn charge_elements(&mut self, count: usize) -> Result<(), EvalError> {
        if count > ELEMENTS {
            return Err(EvalError::TooManyElements { count });
        }
        self.charge(1 + count)
    }
}
