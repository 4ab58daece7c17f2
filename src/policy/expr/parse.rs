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

/// The first error of the grammar: those that follow, and those about parts left incomplete, are its consequences.
fn syntax_error(source: &str, errors: &ParseErrors) -> ExpressionError {
    let first = errors.errors.iter().find(|error| error.msg.starts_with(PREFIX)).or(errors.errors.first());
    let Some(first) = first else { return ExpressionError::Parser("no reason given") };
    let message = first.msg.strip_prefix(PREFIX).unwrap_or(&first.msg);
    ExpressionError::Syntax { column: column(source, first), message: meaning(message) }
}

const PREFIX: &str = "Syntax error: ";

/// The parser counts lines from 1 and columns from 1; messages about expressions count from the start of the source.
fn column(source: &str, error: &ParseError) -> usize {
    let (line, column) = (usize::try_from(error.pos.0).unwrap_or(0), usize::try_from(error.pos.1).unwrap_or(0));
    let before: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
    before + column.max(1)
}

/// The parser's message in fewer words, and with a hint where the mistake is a common one.
fn meaning(message: &str) -> String {
    if message == "reserved identifier: namespace" {
        return "`namespace` is a reserved word of CEL, write `namespaceName`".to_owned();
    }
    if message.contains("Recursion limit") {
        return format!("parentheses or brackets nested deeper than {MAX_PARENTHESES} levels");
    }
    if let Some(found) = message.strip_prefix("token recognition error at: ") {
        return unreadable(found);
    }
    if let Some(found) = message.strip_prefix("no viable alternative at input ") {
        return format!("incomplete at {found}");
    }
    if let Some((missing, found)) = message.strip_prefix("missing ").and_then(|rest| rest.split_once(" at ")) {
        return format!("unexpected {}, expected {missing}", found.replace("'<EOF>'", "end"));
    }
    if let Some((found, expected)) = message.split_once(" expecting ") {
        let found = found.trim_start_matches("mismatched input ").trim_start_matches("extraneous input ");
        return format!("unexpected {}, expected {}", found.replace("'<EOF>'", "end"), wanted(found, expected));
    }
    message.chars().take(200).collect()
}

/// A text that is no word of the language.
fn unreadable(found: &str) -> String {
    let text = found.trim_start_matches('\'').trim_end_matches('\'').trim();
    match found.chars().nth(1) {
        Some('=') => "`=` is not an operator, write `==`".to_owned(),
        Some('&') => "`&` is not an operator, write `&&`".to_owned(),
        Some('|') => "`|` is not an operator, write `||`".to_owned(),
        Some('\'' | '"') => "a string without its end, or with an escape that is not known".to_owned(),
        _ => format!("unexpected `{}`", text.chars().take(20).collect::<String>()),
    }
}

fn wanted<'m>(found: &str, expected: &'m str) -> &'m str {
    match found {
        "'and'" => "`&&`",
        "'or'" => "`||`",
        "'not'" => "`!`",
        _ if expected.contains("NUM_INT") => "an operand",
        _ if expected.contains("<EOF>") => "an operator or the end",
        _ if expected.contains("':'") => "an operator or `:`",
        _ if expected.chars().count() <= 40 => expected,
        _ => "something else",
    }
}
