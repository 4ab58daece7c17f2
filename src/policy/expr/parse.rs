//! Source text to compiled tree, on a thread of its own.

use std::thread;

use cel::{Env, ParseError, ParseErrors};

use super::bounds::{DEPTH, PARSER_STACK, SOURCE_BYTES};
use super::error::ExpressionError;
use super::lower;
use super::tree::Node;

/// Parses and lowers `source`.
///
/// The parser recurses with the source's nesting and with each operator of a chain, and a stack overflow ends the
/// process: the length of the source is bounded first, and the stack is large enough for the worst source of that
/// length. The parser's own tree never leaves that thread, as dropping it recurses too.
pub(super) fn parse(source: &str) -> Result<Node, ExpressionError> {
    if source.len() > SOURCE_BYTES {
        return Err(ExpressionError::TooLong { bytes: source.len() });
    }
    if source.trim().is_empty() {
        return Err(ExpressionError::Empty);
    }
    thread::scope(|scope| {
        thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || parse_here(source))
            .map_err(|_| ExpressionError::Parser("no thread could be started"))?
            .join()
            .unwrap_or(Err(ExpressionError::Parser("the parser gave up")))
    })
}

fn parse_here(source: &str) -> Result<Node, ExpressionError> {
    // An environment without macros: the loops and `has` stay calls, which say more than their expansions.
    let parser = Env::default().parser().max_recursion_depth(MAX_PARENTHESES);
    let (tree, positions) = parser.parse_with_source_info(source).map_err(|errors| syntax_error(source, &errors))?;
    lower::lower(&tree, &positions)
}

/// Parentheses vanish in the tree, so the parser may go somewhat deeper than the tree.
#[expect(clippy::cast_possible_truncation, reason = "64")]
const MAX_PARENTHESES: u16 = 2 * DEPTH as u16;

/// The first error only: those that follow are mostly its consequences.
fn syntax_error(source: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else { return ExpressionError::Parser("no reason given") };
    let column = column(source, first);
    let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    ExpressionError::Syntax { column, message: meaning(message) }
}

/// The parser counts lines from 1 and columns from 1; messages about expressions count from the start of the source.
fn column(source: &str, error: &ParseError) -> usize {
    let (line, column) = (usize::try_from(error.pos.0).unwrap_or(0), usize::try_from(error.pos.1).unwrap_or(0));
    let before: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
    before + column.max(1)
}

/// The parser's message in fewer words.
fn meaning(message: &str) -> String {
    if message.contains("reserved identifier: namespace") {
        return "`namespace` is a reserved word of CEL, write `namespaceName`".to_owned();
    }
    if message.contains("Recursion limit") {
        return format!("nested deeper than {DEPTH} levels");
    }
    if let Some((found, _)) = message.split_once(" expecting ") {
        let found = found.replace("mismatched input", "unexpected").replace("extraneous input", "unexpected");
        return format!("{}, expected {}", found.replace("'<EOF>'", "end"), expected(message));
    }
    if let Some((_, rest)) = message.split_once("no viable alternative at input ") {
        return format!("unexpected {rest}, expected an operand or an operator");
    }
    message.chars().take(200).collect()
}

fn expected(message: &str) -> &str {
    match message.split_once(" expecting ") {
        Some((_, list)) if list.contains("NUM_INT") => "an operand",
        Some((_, list)) if list.contains("<EOF>") => "an operator or the end",
        Some((_, list)) if list.chars().count() <= 40 => list,
        _ => "something else",
    }
}
