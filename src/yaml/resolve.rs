//! What a scalar means: the rules of go-yaml v2 (`resolve.go`, `decode.go`), by which kubectl and Argo read manifests.
//!
//! They are YAML 1.1 with go-yaml's own choices: `yes`, `on` and `y` are booleans, `0777` is octal, `1_000` is a
//! number, `1:20` (base 60) is not, timestamps stay text, and numbers too large for 64 bits become floats.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A resolved scalar; `Text` means that the characters stand for themselves.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    /// Negative integers only: one number has one form.
    Negative(i64),
    Unsigned(u64),
    Float(f64),
    Text,
    /// Text that differs from what was written (`!!binary`).
    Decoded(String),
}

const OTHER: u8 = 0;
const SIGN: u8 = 1;
const DIGIT: u8 = 2;
const WORD: u8 = 3;
const DOT: u8 = 4;

/// By first byte: can this scalar be anything but text?
static HINTS: [u8; 256] = hints();

const fn hints() -> [u8; 256] {
    let mut table = [OTHER; 256];
    let mut i = 0;
    let words = b"yYnNtTfFoO~";
    while i < words.len() {
        table[words[i] as usize] = WORD;
        i += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = DIGIT;
        digit += 1;
    }
    table[b'+' as usize] = SIGN;
    table[b'-' as usize] = SIGN;
    table[b'.' as usize] = DOT;
    table
}

/// Resolves an untagged plain scalar.
#[inline]
pub(super) fn plain(text: &str) -> Scalar {
    let Some(&first) = text.as_bytes().first() else { return Scalar::Null };
    match HINTS[first as usize] {
        OTHER => Scalar::Text,
        WORD => word(text),
        DOT => special_float(text).or_else(|| go_float(text)).unwrap_or(Scalar::Text),
        _ => special_float(text).or_else(|| number(text)).unwrap_or(Scalar::Text),
    }
}

/// Resolves a scalar with the tag `suffix` of the namespace `tag:yaml.org,2002:`, whatever its quotes.
///
/// The error is the whole message.
pub(super) fn tagged(suffix: &str, text: &str) -> Result<Scalar, String> {
    let resolved = match suffix {
        "binary" => return binary(text),
        "bool" | "int" | "float" | "null" | "timestamp" => plain(text),
        // `!!str`, and as in go-yaml any tag that it does not resolve: the text itself.
        _ => return Ok(Scalar::Text),
    };
    match (suffix, resolved) {
        ("bool", scalar @ Scalar::Bool(_))
        | ("int", scalar @ (Scalar::Negative(_) | Scalar::Unsigned(_)))
        | ("float", scalar @ Scalar::Float(_))
        | ("null", scalar @ Scalar::Null) => Ok(scalar),
        // Within i64 only, as go-yaml: the lossy cast is the meaning of `!!float`.
        #[allow(clippy::cast_precision_loss, reason = "an integer tagged !!float is asked to become one")]
        ("float", Scalar::Negative(n)) => Ok(Scalar::Float(n as f64)),
        #[allow(clippy::cast_precision_loss, reason = "an integer tagged !!float is asked to become one")]
        ("float", Scalar::Unsigned(n)) if i64::try_from(n).is_ok() => Ok(Scalar::Float(n as f64)),
        ("timestamp", Scalar::Text) if looks_like_date(text) => Ok(Scalar::Text),
        _ => Err(format!("`{}` is not a {suffix}", shorten(text))),
    }
}

/// At most 40 characters of `text`, for messages.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => Scalar::Text,
    }
}

fn special_float(text: &str) -> Option<Scalar> {
    let value = match text {
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => f64::INFINITY,
        "-.inf" | "-.Inf" | "-.INF" => f64::NEG_INFINITY,
        _ => return None,
    };
    Some(Scalar::Float(value))
}

fn number(text: &str) -> Option<Scalar> {
    let stripped;
    let digits = if text.contains('_') {
        stripped = text.replace('_', "");
        stripped.as_str()
    } else {
        text
    };
    integer(digits).or_else(|| yaml_float(digits)).or_else(|| go_binary(digits))
}

/// `strconv.ParseInt(s, 0, 64)`, then `ParseUint(s, 0, 64)`, of text without underscores.
fn integer(text: &str) -> Option<Scalar> {
    let (signed, negative, rest) = match text.as_bytes() {
        [b'-', ..] => (true, true, &text[1..]),
        [b'+', ..] => (true, false, &text[1..]),
        _ => (false, false, text),
    };
    let (radix, digits) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &rest[2..]),
        [b'0', b'o' | b'O', ..] => (8, &rest[2..]),
        [b'0', b'b' | b'B', ..] => (2, &rest[2..]),
        [b'0', _, ..] => (8, &rest[1..]),
        _ => (10, rest),
    };
    // `from_str_radix` takes a sign of its own, Go does not.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        // `ParseUint` takes no sign at all.
        return (!signed || i64::try_from(magnitude).is_ok()).then_some(Scalar::Unsigned(magnitude));
    }
    match magnitude {
        0 => Some(Scalar::Unsigned(0)),
        _ => 0_i64.checked_sub_unsigned(magnitude).map(Scalar::Negative),
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, in range.
fn yaml_float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = &unsigned[whole..];
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        fraction = after.bytes().take_while(u8::is_ascii_digit).count();
        rest = &after[fraction..];
    }
    if whole + fraction == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || !exponent.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    // Go reports a number out of range as an error, upon which go-yaml keeps the text.
    text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Scalar::Float)
}

/// `strconv.ParseFloat`: underscores must stand between digits. Elsewhere go-yaml takes them all out first.
fn go_float(text: &str) -> Option<Scalar> {
    if !text.contains('_') {
        return yaml_float(text);
    }
    let digit = |at: Option<usize>| at.and_then(|i| text.as_bytes().get(i)).is_some_and(u8::is_ascii_digit);
    let separate = text.match_indices('_').all(|(i, _)| digit(i.checked_sub(1)) && digit(Some(i + 1)));
    if separate { yaml_float(&text.replace('_', "")) } else { None }
}

/// go-yaml's own `0b` rule, which comes after Go's: it lets a sign follow the prefix.
fn go_binary(text: &str) -> Option<Scalar> {
    let value = match (text.strip_prefix("0b"), text.strip_prefix("-0b")) {
        (Some(rest), _) => i64::from_str_radix(rest, 2).ok()?,
        (_, Some(rest)) if !rest.starts_with(['+', '-']) => i64::from_str_radix(rest, 2).ok()?.checked_neg()?,
        _ => return None,
    };
    Some(u64::try_from(value).map_or(Scalar::Negative(value), Scalar::Unsigned))
}

fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[5].is_ascii_digit()
}

/// Go's `base64.StdEncoding`: padding demanded, stray last bits and line breaks allowed.
fn binary(text: &str) -> Result<Scalar, String> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true);
    let packed: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    let bytes = GeneralPurpose::new(&STANDARD, CONFIG)
        .decode(packed)
        .map_err(|_| "the value tagged !!binary is not base64".to_owned())?;
    let mut decoded = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        // Go's JSON writes one replacement character for each byte that is not UTF-8.
        decoded.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Ok(Scalar::Decoded(decoded))
}
