//! Why an expression is refused when policies are loaded, and why an evaluation yields nothing.

use thiserror::Error;

use super::bounds::{DEPTH, ELEMENTS, LOOPS, MATCHED_BYTES, NODES, SOURCE_BYTES, TEXT_BYTES};

/// Why a source is not an expression of a policy. Columns count characters of the source from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// The source is empty.
    #[error("the expression is empty")]
    Empty,
    /// The source is too long to be parsed at all.
    #[error("the expression has {bytes} bytes, at most {SOURCE_BYTES} are allowed")]
    TooLong {
        /// Length of the source.
        bytes: usize,
    },
    /// Not CEL.
    #[error("column {column}: {message}")]
    Syntax {
        /// Where the parser stopped.
        column: usize,
        /// What it expected.
        message: String,
    },
    /// More nodes than an expression may have.
    #[error("column {column}: the expression has more than {NODES} parts; split it into several conditions")]
    TooManyNodes {
        /// The first part too many.
        column: usize,
    },
    /// Nested deeper than an expression may be.
    #[error("column {column}: nested deeper than {DEPTH} levels; split it into several conditions")]
    TooDeep {
        /// The first part too deep.
        column: usize,
    },
    /// More loops than an expression may have.
    #[error(
        "column {column}: more than {LOOPS} of `all`, `exists`, `exists_one`, `map` and `filter` in one expression"
    )]
    TooManyLoops {
        /// The first loop too many.
        column: usize,
    },
    /// A name that is neither a variable nor the variable of a loop around it.
    #[error("column {column}: unknown variable `{name}`, {hint}")]
    UnknownVariable {
        /// Where it is.
        column: usize,
        /// The name as written.
        name: String,
        /// The nearest known name, or all of them.
        hint: String,
    },
    /// A call of something that is not a function here.
    #[error("column {column}: unknown function `{name}`, {hint}")]
    UnknownFunction {
        /// Where it is.
        column: usize,
        /// The name as written.
        name: String,
        /// The nearest known name, or all of them.
        hint: String,
    },
    /// A known function, called in a way it can't be.
    #[error("column {column}: write {usage}")]
    WrongCall {
        /// Where it is.
        column: usize,
        /// How it is called.
        usage: &'static str,
    },
    /// CEL that expressions of policies do without.
    #[error("column {column}: {what}")]
    Unsupported {
        /// Where it is.
        column: usize,
        /// What is not supported, and what to write.
        what: &'static str,
    },
    /// The pattern of `matches` is not a regular expression, or one too large.
    #[error("column {column}: not a usable regular expression: {reason}")]
    Regex {
        /// Where the pattern is.
        column: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The parser itself failed.
    #[error("the expression could not be parsed: {0}")]
    Parser(&'static str),
}

impl ExpressionError {
    /// The column, counted in characters of the source from 1, where there is one.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Empty | Self::TooLong { .. } | Self::Parser(_) => None,
            Self::Syntax { column, .. }
            | Self::TooManyNodes { column }
            | Self::TooDeep { column }
            | Self::TooManyLoops { column }
            | Self::UnknownVariable { column, .. }
            | Self::UnknownFunction { column, .. }
            | Self::WrongCall { column, .. }
            | Self::Unsupported { column, .. }
            | Self::Regex { column, .. } => Some(*column),
        }
    }
}

/// Why an evaluation yields nothing. The policy it belongs to does not match, or its source has no value.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A key that is not there.
    #[error("no such key: {key} ({hint})")]
    NoSuchKey {
        /// The key.
        key: String,
        /// How to write the expression so that the key may be absent.
        hint: String,
    },
    /// An index past the end of a list.
    #[error("no element {index} in a list of {size}")]
    NoSuchElement {
        /// The index.
        index: i64,
        /// Elements of the list.
        size: usize,
    },
    /// The namespace's labels are needed, and not known.
    #[error("namespace labels are not known")]
    NamespaceLabelsUnknown,
    /// An operator or function got what it can't work on.
    #[error("`{operation}` does not work on {operands}")]
    Mismatch {
        /// The operator or function as written.
        operation: &'static str,
        /// The types it got.
        operands: String,
    },
    /// A whole number beyond 64 bits.
    #[error("`{0}` overflows a 64 bit integer")]
    Overflow(&'static str),
    /// A division by zero, or its remainder.
    #[error("division by zero")]
    DivisionByZero,
    /// `int(...)`, `double(...)` or `bool(...)` of a text that is none.
    #[error("`{text}` is not {wanted}")]
    Conversion {
        /// The text, its first 64 characters.
        text: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// `value()` of an optional without one.
    #[error("the optional has no value (write orValue(...))")]
    NoValue,
    /// A map literal that names a key twice, or by something that can't be a key.
    #[error("not a usable key of a map: {0}")]
    Key(String),
    /// Positions of `substring` outside of the string.
    #[error("substring({start}, {end}) of a string of {size} characters")]
    Range {
        /// First character.
        start: i64,
        /// Character after the last.
        end: i64,
        /// Characters of the string.
        size: usize,
    },
    /// A condition that is neither true nor false.
    #[error("the condition is {0}, not a bool")]
    NotBool(&'static str),
    /// The value of a source is neither a string nor a number nor a bool.
    #[error("the value is {0}, not a string")]
    NotText(&'static str),
    /// The evaluation did as much work as it may.
    #[error("the expression is too costly for this pod")]
    TooCostly,
    /// A string would have grown too long.
    #[error("a string of {bytes} bytes, at most {TEXT_BYTES} are allowed")]
    TextTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A string is too long to be searched with a regular expression.
    #[error("a string of {bytes} bytes, `matches` looks at {MATCHED_BYTES} at most")]
    TextTooLongToMatch {
        /// Its length.
        bytes: usize,
    },
    /// A list too long to loop over or to make.
    #[error("a list of {count} elements, at most {ELEMENTS} are allowed")]
    TooManyElements {
        /// Its elements.
        count: usize,
    },
}

impl EvalError {
    /// Whether a bound was hit. Such an error is never hidden by `||`, `&&`, `exists` or an optional, which would
    /// otherwise go on with the work the bound is there to stop.
    pub(super) fn is_bound(&self) -> bool {
        matches!(
            self,
            Self::TooCostly | Self::TextTooLong { .. } | Self::TextTooLongToMatch { .. } | Self::TooManyElements { .. }
        )
    }
}
