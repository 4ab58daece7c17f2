//! The comments of a document: what only people and tools beside YAML read.

use granit_parser::{Event, Options, Parser};

use super::Span;

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Where its `#` stands.
    pub span: Span,
    /// What stands behind the `#`.
    pub text: String,
    /// Whether nothing but blanks stands before it on its line.
    pub alone: bool,
}

/// The comments of one document, whose first line is line `first_line` of the file; those before a mistake in it, where there is one.
pub fn comments(text: &str, first_line: usize) -> Vec<Comment> {
    let mut options = Options::default();
    options.set_emit_comments(true);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    while let Some(Ok((event, span))) = parser.next_event() {
        let Event::Comment(text, _) = event else { continue };
        let (line, column) = (span.start.line(), span.start.col());
        let before = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let alone = before.chars().take(column).all(char::is_whitespace);
        let span = Span { line: line + first_line.saturating_sub(1), column: column + 1 };
        found.push(Comment { span, text: text.into_owned(), alone });
    }
    found
}
