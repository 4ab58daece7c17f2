//! How a string may be written so that every reader takes it for that string.
//!
//! "Every reader" is YAML 1.1 and 1.2 alike: kubectl (go-yaml), `PyYAML`, libyaml, Psych, `SnakeYAML` and the YAML 1.2
//! schemas. Where they differ the string is quoted.

/// The styles the writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// In single quotes: for text that only looks like syntax.
    Single,
    /// In double quotes: for text that would be read as another type, or that needs escapes.
    Double,
    /// A literal block, with the sign that says what to do with line breaks at the end.
    Literal(&'static str),
}

/// Nothing special inside a plain scalar.
const ORDINARY: u8 = 0;
/// Special next to a space: `:` before, `#` after one.
const COLON: u8 = 1;
const HASH: u8 = 2;
const SPACE: u8 = 3;
const BREAK: u8 = 4;
const TAB: u8 = 5;
/// Must be escaped.
const CONTROL: u8 = 6;
/// Starts a character of several bytes.
const WIDE: u8 = 7;

static BODY: [u8; 256] = body();

const fn body() -> [u8; 256] {
    let mut table = [ORDINARY; 256];
    let mut i = 0;
    while i < 256 {
        if i < 0x20 || i == 0x7f {
            table[i] = CONTROL;
        } else if i >= 0xc2 {
            table[i] = WIDE;
        }
        i += 1;
    }
    table[b':' as usize] = COLON;
    table[b'#' as usize] = HASH;
    table[b' ' as usize] = SPACE;
    table[b'\n' as usize] = BREAK;
    table[b'\t' as usize] = TAB;
    table
}

/// By first byte, in a plain scalar.
const FREE: u8 = 0;
const INDICATOR: u8 = 1;
const NUMERIC: u8 = 2;
const WORD: u8 = 3;
/// `-`: an indicator before a space, else maybe a number.
const DASH: u8 = 4;

static FIRST: [u8; 256] = first();

const fn first() -> [u8; 256] {
    let mut table = [FREE; 256];
    let mut i = 0;
    let indicators = b"?:,[]{}#&*!|>'\"%@`=~< \n\t";
    while i < indicators.len() {
        table[indicators[i] as usize] = INDICATOR;
        i += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = NUMERIC;
        digit += 1;
    }
    table[b'+' as usize] = NUMERIC;
    table[b'.' as usize] = NUMERIC;
    table[b'-' as usize] = DASH;
    let words = b"yYnNtTfFoO";
    i = 0;
    while i < words.len() {
        table[words[i] as usize] = WORD;
        i += 1;
    }
    table
}

// What the bytes of a string ask for.

/// Characters that only an escape can carry.
const ESCAPES: u8 = 1;
const BREAKS: u8 = 2;
const TABS: u8 = 4;
/// `: `, ` #`, or a space or colon at the end.
const SYNTAX: u8 = 8;
/// Space or tab before a line break or the end, or a tab at the start of a line: no literal block.
const RAGGED: u8 = 16;

/// The style for a string, as a value or (on one line) as a key.
pub(super) fn style(text: &str, key: bool) -> Style {
    let bytes = text.as_bytes();
    let Some(&first) = bytes.first() else { return Style::Double };
    let needs = scan(bytes);
    if needs & BREAKS != 0 {
        let literal = !key && needs & (ESCAPES | RAGGED) == 0 && !matches!(first, b' ' | b'\n' | b'\t');
        return if literal { Style::Literal(chomping(bytes)) } else { Style::Double };
    }
    if needs & (ESCAPES | TABS) != 0 {
        return Style::Double;
    }
    let class = FIRST[first as usize];
    let ambiguous = match class {
        NUMERIC | DASH => looks_numeric(bytes),
        WORD => is_word(bytes),
        _ => text == "~",
    };
    if ambiguous {
        return Style::Double;
    }
    let syntax = needs & SYNTAX != 0
        || class == INDICATOR
        || (class == DASH && matches!(bytes, [_] | [_, b' ', ..] | [_, b'-', b'-', ..]))
        || bytes.starts_with(b"...");
    if syntax { Style::Single } else { Style::Plain }
}

fn scan(bytes: &[u8]) -> u8 {
    // Most strings hold nothing special: that is seen without a branch for each byte.
    if bytes.iter().fold(ORDINARY, |all, byte| all | BODY[usize::from(*byte)]) == ORDINARY {
        return 0;
    }
    let flag = |condition: bool, flag: u8| if condition { flag } else { 0 };
    let mut needs = 0;
    // A line break before the text, and one after it.
    let mut previous = BREAK;
    for (i, &byte) in bytes.iter().enumerate() {
        let class = BODY[byte as usize];
        if class != ORDINARY {
            needs |= match class {
                COLON => 0,
                SPACE => flag(previous == COLON, SYNTAX),
                HASH => flag(previous == SPACE, SYNTAX),
                BREAK => BREAKS | flag(previous == SPACE || previous == TAB, RAGGED),
                TAB => TABS | flag(previous == BREAK, RAGGED),
                WIDE => flag(wide_needs_escape(&bytes[i..]), ESCAPES),
                _ => ESCAPES,
            };
        }
        previous = class;
    }
    needs | flag(previous == COLON || previous == SPACE, SYNTAX) | flag(previous == SPACE || previous == TAB, RAGGED)
}

/// C1 controls (NEL among them), the line and paragraph separators, the byte order mark and the two non-characters that
/// YAML excludes. `bytes` starts a character.
fn wide_needs_escape(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xc2, 0x80..=0x9f, ..]
            | [0xe2, 0x80, 0xa8 | 0xa9, ..]
            | [0xef, 0xbb, 0xbf, ..]
            | [0xef, 0xbf, 0xbe | 0xbf, ..]
    )
}

fn chomping(bytes: &[u8]) -> &'static str {
    match bytes {
        [.., b'\n', b'\n'] => "|+",
        [.., b'\n'] => "|",
        _ => "|-",
    }
}

/// The words of YAML 1.1 that are not text, in any case.
fn is_word(bytes: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] = [b"y", b"n", b"yes", b"no", b"on", b"off", b"true", b"false", b"null"];
    bytes.len() <= 5 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(bytes))
}

/// `bytes` without the underscores it starts with.
fn after_underscores(bytes: &[u8]) -> &[u8] {
    bytes.get(bytes.iter().take_while(|byte| **byte == b'_').count()..).unwrap_or_default()
}

/// Could any reader take this for a number or a time? `bytes` starts with a digit, a sign or a dot.
fn looks_numeric(bytes: &[u8]) -> bool {
    let unsigned = bytes.strip_prefix(b"-").or_else(|| bytes.strip_prefix(b"+")).unwrap_or(bytes);
    let (mut dots, mut others, mut digits_only) = (0_usize, false, true);
    for &byte in bytes {
        match byte {
            b'0'..=b'9' => {}
            b'.' => dots += 1,
            b'_' | b',' | b':' | b'+' | b'-' | b'e' | b'E' => digits_only = false,
            _ => {
                others = true;
                break;
            }
        }
    }
    if !others {
        // Addresses and versions with two dots or more are text everywhere.
        return !(digits_only && dots > 1) && unsigned.iter().any(u8::is_ascii_digit);
    }
    // kubectl reads numbers as if no underscore stood in them: `0_xE` is 14.
    if let [b'0', rest @ ..] = after_underscores(unsigned)
        && let [b'x' | b'X' | b'o' | b'O' | b'b' | b'B', rest @ ..] = after_underscores(rest)
    {
        return rest.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'_' | b'+' | b'-'));
    }
    match unsigned {
        [b'.', rest @ ..] if rest.len() == 3 => rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"nan"),
        // A date, with a time or without.
        [year @ .., _] if year.len() >= 5 => {
            year[..4].iter().all(u8::is_ascii_digit) && year[4] == b'-' && unsigned[5].is_ascii_digit()
        }
        _ => false,
    }
}
