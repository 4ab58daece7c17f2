//! The form of a traceparent (W3C Trace Context, section 3.2).

/// The parts of a traceparent, as they stand in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Trace id, 32 lower-case hex digits, not all zero.
    pub trace: &'a str,
    /// Span id, 16 lower-case hex digits, not all zero.
    pub span: &'a str,
    /// The flag `sampled`.
    pub sampled: bool,
}

/// Reads a traceparent; `None` where it is not of version 00's form (later versions may have more after it).
pub fn parts(text: &str) -> Option<Parts<'_>> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed =
        is_hex(version, 2) && version != "ff" && is_hex(flags, 2) && (version != "00" || parts.next().is_none());
    let id = |digits: &str, length| is_hex(digits, length) && digits.bytes().any(|b| b != b'0');
    if !well_formed || !id(trace, 32) || !id(span, 16) {
        return None;
    }
    Some(Parts { trace, span, sampled: u8::from_str_radix(flags, 16).is_ok_and(|f| f & 1 == 1) })
}

/// Whether a text is so many lower-case hex digits.
pub fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
