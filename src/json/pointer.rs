//! The parts of a pointer (RFC 6901).

use std::borrow::Cow;

/// Escapes a field name for a pointer (RFC 6901, section 3).
pub fn escape(field: &str) -> Cow<'_, str> {
    if !field.contains(['~', '/']) {
        return field.into();
    }
    let mut out = String::with_capacity(field.len() + 4);
    for c in field.chars() {
        match c {
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            other => out.push(other),
        }
    }
    out.into()
}

/// An array index: digits without a leading zero (RFC 6901, section 4).
pub fn index(text: &str) -> Option<usize> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    plain.then(|| text.parse().ok())?
}

/// The field name of an escaped one.
pub fn unescape(field: &str) -> Cow<'_, str> {
    let Some((first, mut rest)) = field.split_once('~') else { return field.into() };
    let mut out = String::with_capacity(field.len());
    out.push_str(first);
    loop {
        let (meant, after) = match rest.as_bytes().first() {
            Some(b'0') => ("~", &rest[1..]),
            Some(b'1') => ("/", &rest[1..]),
            // No escape of the RFC: left as it is.
            _ => ("~", rest),
        };
        out.push_str(meant);
        let Some((part, next)) = after.split_once('~') else {
            out.push_str(after);
            return out.into();
        };
        out.push_str(part);
        rest = next;
    }
}
