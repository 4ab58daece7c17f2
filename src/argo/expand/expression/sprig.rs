//! The functions of Sprig (<https://masterminds.github.io/sprig>, 3.x) that workflows are seen to use, as `sprig.name(...)`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::budget::Budget;
use super::functions::{self, decoded, from_json, regex, repeat, replace, shown, split, to_json};
use super::{Undecided, unclear};
use crate::identity;

type Outcome = Result<Value, Undecided>;

pub(super) fn call(name: &str, arguments: &[Value], budget: &Budget) -> Outcome {
    use Value::{Array, Object, String as Text};
    if let [Value::String(text)] = arguments
        && let Some(made) = of_text(name, text, budget)
    {
        return made;
    }
    if let Some(made) = numbers(name, arguments) {
        return made;
    }
    match (name, arguments) {
        // The text is the last argument, as in a pipe.
        ("replace", [Text(of), Text(by), Text(text)]) => replace(text, of, by, budget),
        ("contains", [Text(part), Text(text)]) => Ok(text.contains(part.as_str()).into()),
        ("hasPrefix", [Text(part), Text(text)]) => Ok(text.starts_with(part.as_str()).into()),
        ("hasSuffix", [Text(part), Text(text)]) => Ok(text.ends_with(part.as_str()).into()),
        ("trimPrefix", [Text(part), Text(text)]) => Ok(text.strip_prefix(part.as_str()).unwrap_or(text).into()),
        ("trimSuffix", [Text(part), Text(text)]) => Ok(text.strip_suffix(part.as_str()).unwrap_or(text).into()),
        ("trimAll", [Text(of), Text(text)]) => Ok(text.trim_matches(|c| of.contains(c)).into()),
        ("splitList", [Text(by), Text(text)]) => split(text, by, budget),
        ("trunc", [length, Text(text)]) => truncated(length, text),
        ("substr", [start, end, Text(text)]) => part(start, end, text),
        ("repeat", [times, Text(text)]) => repeat(text, times, budget),
        ("default", [other]) => Ok(other.clone()),
        ("default", [other, value]) => Ok(if is_empty(value) { other.clone() } else { value.clone() }),
        ("coalesce", values) => Ok(values.iter().find(|value| !is_empty(value)).cloned().unwrap_or_default()),
        ("empty", [value]) => Ok(is_empty(value).into()),
        ("ternary", [yes, no, Value::Bool(which)]) => Ok(if *which { yes.clone() } else { no.clone() }),
        ("regexMatch", [Text(pattern), Text(text)]) => Ok(regex(pattern, budget)?.is_match(text).into()),
        ("regexFind", [Text(pattern), Text(text)]) => {
            Ok(regex(pattern, budget)?.find(text).map_or("", |found| found.as_str()).into())
        }
        ("regexReplaceAll", [Text(pattern), Text(text), Text(by)]) => {
            // Each place between two characters may be one.
            budget.charge((text.len() + 1).saturating_mul(by.len() + 1))?;
            Ok(regex(pattern, budget)?.replace_all(text, by.as_str()).into_owned().into())
        }
        ("dict", entries) if entries.len() % 2 == 0 => dict(entries),
        ("get", [Object(map), Text(key)]) => Ok(map.get(key).cloned().unwrap_or_else(|| "".into())),
        ("hasKey", [Object(map), Text(key)]) => Ok(map.contains_key(key).into()),
        ("toString", [value]) => shown(value).map(Value::from),
        ("toJson", [value]) => Ok(to_json(value).into()),
        ("list", values) => Ok(values.into()),
        ("first", [Array(list)]) => Ok(list.first().cloned().unwrap_or_default()),
        ("last", [Array(list)]) => Ok(list.last().cloned().unwrap_or_default()),
        ("join", [Text(by), Array(list)]) => {
            let texts = list.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
            budget.charge(list.len().saturating_mul(by.len()))?;
            Ok(texts.join(by).into())
        }
        ("has", [value, Array(list)]) => Ok(list.contains(value).into()),
        _ => unclear(format!("sprig.{name}() with {} arguments of that kind is not read here", arguments.len())),
    }
}

fn of_text(name: &str, text: &str, budget: &Budget) -> Option<Outcome> {
    Some(Ok(match name {
        "trim" => text.trim().into(),
        "title" => title(text).into(),
        "squote" => format!("'{text}'").into(),
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "nospace" => text.split_whitespace().collect::<String>().into(),
        "b64enc" => STANDARD.encode(text).into(),
        "b64dec" => return Some(decoded(text)),
        "fromJson" => return Some(from_json(text, budget)),
        "sha256sum" => identity::hex(text, 64).into(),
        _ => return None,
    }))
}

/// The first letter of each word as a capital (`strings.Title`).
fn title(text: &str) -> String {
    let mut inside = false;
    let capital = |c: char| -> String {
        let word = inside;
        inside = if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { !c.is_whitespace() };
        if word { c.into() } else { c.to_uppercase().collect() }
    };
    text.chars().map(capital).collect()
}

fn dict(entries: &[Value]) -> Outcome {
    let (pairs, _) = entries.as_chunks::<2>();
    let entry = |[key, value]: &[Value; 2]| Ok((shown(key)?, value.clone()));
    Ok(Value::Object(pairs.iter().map(entry).collect::<Result<_, _>>()?))
}

/// Numbers; texts count as the numbers they write as Go's own source does, and as 0 where they write none (`cast.ToInt64`).
fn numbers(name: &str, arguments: &[Value]) -> Option<Outcome> {
    let decimal = |value: &Value| match functions::call("int", std::slice::from_ref(value), &Budget::new()) {
        Ok(number) => number.as_i64().unwrap_or(0),
        Err(_) => 0,
    };
    let whole = |value: &Value| match value {
        Value::String(text) if name != "atoi" => literal(text).unwrap_or(0),
        Value::Bool(yes) => i64::from(*yes),
        other => decimal(other),
    };
    let all: Vec<i64> = arguments.iter().map(whole).collect();
    let made = match (name, all.as_slice()) {
        ("int" | "int64" | "atoi", [number]) => Some(*number),
        ("add", numbers) => numbers.iter().try_fold(0_i64, |sum, number| sum.checked_add(*number)),
        ("add1", [number]) => number.checked_add(1),
        ("sub", [left, right]) => left.checked_sub(*right),
        ("mul", [first, rest @ ..]) => rest.iter().try_fold(*first, |product, number| product.checked_mul(*number)),
        ("div", [left, right]) => left.checked_div(*right),
        ("mod", [left, right]) => left.checked_rem(*right),
        ("max", [first, rest @ ..]) => Some(rest.iter().copied().fold(*first, i64::max)),
        ("min", [first, rest @ ..]) => Some(rest.iter().copied().fold(*first, i64::min)),
        _ => return None,
    };
    Some(made.map_or_else(|| unclear(format!("sprig.{name}() comes to no number")), |number| Ok(number.into())))
}

/// A whole number with its base (`strconv.ParseInt` of base 0): `0x1f`, `0b1`, `0o7` and `07`, with underscores between digits. What
/// stands behind a point is dropped.
fn literal(text: &str) -> Option<i64> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let digits = match digits.split_once('.') {
        Some(("", behind)) if all_digits(behind) => "0",
        Some((before, behind)) if all_digits(before) && all_digits(behind) => before,
        _ => digits,
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let known = prefixes.into_iter().find_map(|(prefix, base)| Some((lower.strip_prefix(prefix)?, base)));
    let (rest, base) = match (known, lower.strip_prefix('0')) {
        (Some(known), _) => known,
        (None, Some(rest)) if !rest.is_empty() => (rest, 8),
        _ => (lower.as_str(), 10),
    };
    let misplaced = rest.ends_with('_') || rest.contains("__") || (base == 10 && rest.starts_with('_'));
    let plain = rest.replace('_', "");
    let number = i64::from_str_radix(&plain, base).ok().filter(|_| !misplaced && !plain.starts_with(['+', '-']))?;
    Some(if minus { -number } else { number })
}

fn truncated(length: &Value, text: &str) -> Outcome {
    let Some(length) = length.as_i64() else { return unclear("a length is a whole number") };
    let magnitude = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    if magnitude >= text.len() {
        return Ok(text.into());
    }
    let cut = if length < 0 { text.get(text.len() - magnitude..) } else { text.get(..magnitude) };
    cut.map_or_else(|| unclear("a character would be cut in half"), |cut| Ok(cut.into()))
}

fn part(start: &Value, end: &Value, text: &str) -> Outcome {
    let (Some(start), Some(end)) = (start.as_i64(), end.as_i64()) else { return unclear("a place is a whole number") };
    let place = |at: i64| usize::try_from(at).ok();
    let part = match (place(start), place(end).filter(|end| *end <= text.len())) {
        (None, None) => Some(text),
        (None, Some(end)) => text.get(..end),
        (Some(start), None) => text.get(start..),
        (Some(start), Some(end)) => text.get(start..end),
    };
    part.map_or_else(|| unclear("a part that a text does not have"), |part| Ok(part.into()))
}

/// What Sprig calls empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::literal;

    /// As `cast.ToInt64` of the version that Argo 3.7.3 is built with reads them.
    #[test]
    fn texts_are_numbers_as_in_go_s_source() {
        let told = [
            ("8", Some(8)),
            ("08", None),
            ("010", Some(8)),
            ("0x1F", Some(31)),
            ("1.5", Some(1)),
            ("010.0", Some(8)),
            ("1_000", Some(1000)),
            ("-7", Some(-7)),
            ("+7", Some(7)),
            (".5", Some(0)),
            ("-.5", Some(0)),
            ("1.", Some(1)),
            ("0", Some(0)),
            ("", None),
            ("x", None),
            ("1__0", None),
            ("0b101", Some(5)),
            ("0o17", Some(15)),
            ("0x1.5", None),
        ];
        for (text, number) in told {
            assert_eq!(literal(text), number, "{text}");
        }
    }
}
