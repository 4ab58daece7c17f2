//! A source -> tokens.

use serde_json::Value;

use super::{Undecided, unclear};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A number or a text.
    Value(Value),
    /// A name, or an operator that is written as a word.
    Word(String),
    Sign(&'static str),
}

/// Longest first: the first that fits is taken.
const SIGNS: [&str; 33] = [
    "&&", "||", "==", "!=", "<=", ">=", "**", "??", "?.", "..", "<", ">", "!", "(", ")", "[", "]", "{", "}", ",", ".",
    "+", "-", "*", "/", "%", "^", "|", "?", ":", "#", ";", "=",
];

pub(super) fn tokens(source: &str) -> Result<Vec<Token>, Undecided> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' | '"' => quoted(rest, first)?,
            '`' => {
                let Some(end) = rest[1..].find('`') else { return unclear("a quote is not closed") };
                (Token::Value(rest[1..=end].into()), end + 2)
            }
            c if c.is_ascii_digit() => number(rest)?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest)?,
            c if c.is_alphabetic() || matches!(c, '_' | '$') => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$')).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), end)
            }
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                // `a ?.5 : 1` is not worth telling from `a?.b`.
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return unclear(format!("{first:?} has no meaning there")),
            },
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token, usize), Undecided> {
    let radix = match text.get(..2) {
        Some("0x" | "0X") => 16,
        Some("0o" | "0O") => 8,
        Some("0b" | "0B") => 2,
        _ => 10,
    };
    let wrong = |text: &str| Undecided::Unclear(format!("{text} is no number"));
    if radix != 10 {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let number = i64::from_str_radix(&text[2..end].replace('_', ""), radix).map_err(|_| wrong(&text[..end]))?;
        return Ok((Token::Value(number.into()), end));
    }
    let mut end = 0;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let exponent = matches!(before, 'e' | 'E') && matches!(c, '+' | '-');
        // `1..3` is a range.
        let point = c == '.' && !text[at + 1..].starts_with('.') && before != '.';
        if !(c.is_ascii_digit() || matches!(c, '_' | 'e' | 'E') || exponent || point) {
            break;
        }
        (end, before) = (at + c.len_utf8(), c);
    }
    let plain = text[..end].replace('_', "");
    let value = if let Ok(number) = plain.parse::<i64>() {
        number.into()
    } else {
        let float = plain.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
        Value::Number(float.ok_or_else(|| wrong(&plain))?)
    };
    Ok((Token::Value(value), end))
}

fn quoted(text: &str, quote: char) -> Result<(Token, usize), Undecided> {
    let mut read = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => read.push('\n'),
                Some((_, 't')) => read.push('\t'),
                Some((_, 'r')) => read.push('\r'),
                Some((_, kept @ ('\\' | '\'' | '"'))) => read.push(kept),
                _ => return unclear("an escape in a text is not understood"),
            },
            c if c == quote => return Ok((Token::Value(read.into()), at + 1)),
            c => read.push(c),
        }
    }
    unclear("a quote is not closed")
}
