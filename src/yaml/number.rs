//! Numbers as kubectl's JSON has them, and the other way round.

use std::io::Write as _;

use serde_json::Number;

/// Integers of this size and below are exact as `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The number that Go's JSON makes of a float: `1.0` and `1e3` are written as integers.
///
/// `None` for infinities and NaN, which JSON does not have.
pub(super) fn from_float(float: f64) -> Option<Number> {
    // Minus zero stays a float: Go writes `-0`.
    if float.fract() == 0.0 && !(float == 0.0 && float.is_sign_negative()) {
        if float.abs() < EXACT {
            #[allow(clippy::cast_possible_truncation, reason = "integral and within 53 bits")]
            return Some(Number::from(float as i64));
        }
        if float.abs() < 1e20 {
            // Go writes the shortest digits that name the float, then zeros: not always its exact value.
            let text = format!("{float}");
            if let Ok(integer) = text.parse::<u64>() {
                return Some(Number::from(integer));
            }
            if let Ok(integer) = text.parse::<i64>() {
                return Some(Number::from(integer));
            }
        }
    }
    Number::from_f64(float)
}

/// The text that sigs.k8s.io/yaml makes of a float used as a key: `FormatFloat(f, 'g', -1, 32)`.
#[allow(clippy::cast_possible_truncation, reason = "32 bits are what sigs.k8s.io/yaml asks for")]
pub(super) fn float_key(float: f64) -> String {
    let float = float as f32;
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float < 0.0 { "-.inf" } else { ".inf" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go's shortest form turns scientific below 1e-4 and from 1e6 on.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{float}")
}

/// Appends a number so that every reader takes it for the same number, never for text.
///
/// YAML 1.1 wants a point in the mantissa and a sign in the exponent: `1.0e+300`.
pub(super) fn append(out: &mut Vec<u8>, number: &Number) {
    let start = out.len();
    // Writing to a `Vec` does not fail.
    if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
        let _ = write!(out, "{float:?}");
        if let Some(at) = out[start..].iter().position(|&b| b == b'e') {
            repair_exponent(out, start, start + at);
        }
    } else {
        let _ = write!(out, "{number}");
    }
}

fn repair_exponent(out: &mut Vec<u8>, start: usize, e: usize) {
    if out.get(e + 1) != Some(&b'-') {
        out.insert(e + 1, b'+');
    }
    if !out[start..e].contains(&b'.') {
        out.splice(e..e, *b".0");
    }
}
