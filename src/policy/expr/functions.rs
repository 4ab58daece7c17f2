//! Operators and functions on values. Whatever makes a string or a list asks the meter before it does.

use super::bounds::{ELEMENTS, Meter};
use super::error::EvalError;
use super::eval::{mismatch, shown};
use super::tree::{Function, Operator};
use super::value::{INT_END, Item, Text};

/// Longest text that is looked at as a number, in bytes.
const NUMBER_BYTES: usize = 64;

type Outcome<'a> = Result<Item<'a>, EvalError>;

/// Calls a function.
pub(super) fn call<'a>(function: Function, arguments: &[Item<'a>], meter: &mut Meter) -> Outcome<'a> {
    use Function as F;
    use Item as I;

    match (function, arguments) {
        (F::Size, [of]) => size(of, meter),
        (F::String, [of]) => string(of, meter),
        (F::Int, [of]) => int(of),
        (F::Double, [of]) => double(of),
        (F::Bool, [of]) => bool(of),
        (F::StartsWith, [I::Text(text), I::Text(part)]) => {
            meter.charge_text(part.len().min(text.len()))?;
            Ok(I::Bool(text.starts_with(&**part)))
        }
        (F::EndsWith, [I::Text(text), I::Text(part)]) => {
            meter.charge_text(part.len().min(text.len()))?;
            Ok(I::Bool(text.ends_with(&**part)))
        }
        (F::Contains, [I::Text(text), I::Text(part)]) => {
            meter.charge_text(text.len() + part.len())?;
            Ok(I::Bool(text.contains(&**part)))
        }
        (F::IndexOf, [I::Text(text), I::Text(part)]) => {
            meter.charge_text(2 * text.len() + part.len())?;
            Ok(I::Int(text.find(&**part).map_or(-1, |at| count(text.get(..at).unwrap_or_default().chars().count()))))
        }
        (F::LowerAscii, [I::Text(text)]) => {
            meter.charge_new_text(text.len())?;
            Ok(text.to_ascii_lowercase().into())
        }
        (F::UpperAscii, [I::Text(text)]) => {
            meter.charge_new_text(text.len())?;
            Ok(text.to_ascii_uppercase().into())
        }
        (F::Trim, [I::Text(text)]) => {
            meter.charge_parts_of(text)?;
            let start = text.len() - text.trim_start().len();
            Ok(I::Text(text.part(start, start + text.trim().len())))
        }
        (F::Replace, [I::Text(text), I::Text(from), I::Text(to)]) => replace(text, from, to, usize::MAX, meter),
        (F::Replace, [I::Text(text), I::Text(from), I::Text(to), I::Int(times)]) => {
            replace(text, from, to, usize::try_from(*times).unwrap_or(usize::MAX), meter)
        }
        (F::Split, [I::Text(text), I::Text(separator)]) => split(text, separator, usize::MAX, meter),
        (F::Split, [I::Text(text), I::Text(separator), I::Int(parts)]) => {
            split(text, separator, usize::try_from(*parts).unwrap_or(usize::MAX), meter)
        }
        (F::Join, [list]) => join(list, "", meter),
        (F::Join, [list, I::Text(separator)]) => join(list, separator, meter),
        (F::Substring, [I::Text(text), I::Int(start)]) => substring(text, *start, None, meter),
        (F::Substring, [I::Text(text), I::Int(start), I::Int(end)]) => substring(text, *start, Some(*end), meter),
        (F::OrValue, [I::Optional(inner), other]) => Ok(inner.as_deref().unwrap_or(other).clone()),
        (F::Or, [I::Optional(inner), I::Optional(other)]) => Ok(I::Optional(inner.clone().or_else(|| other.clone()))),
        (F::HasValue, [I::Optional(inner)]) => Ok(I::Bool(inner.is_some())),
        (F::Value, [I::Optional(inner)]) => inner.as_deref().cloned().ok_or(EvalError::NoValue),
        _ => Err(mismatch(function.name(), &arguments.iter().collect::<Vec<_>>())),
    }
}

/// `left + right`.
pub(super) fn add<'a>(left: &Item<'a>, right: &Item<'a>, meter: &mut Meter) -> Outcome<'a> {
    match (left, right) {
        (Item::Int(a), Item::Int(b)) => a.checked_add(*b).map(Item::Int).ok_or(EvalError::Overflow("+")),
        (Item::Double(a), Item::Double(b)) => Ok(Item::Double(a + b)),
        (Item::Text(a), Item::Text(b)) => {
            meter.charge_new_text(a.len() + b.len())?;
            Ok(format!("{}{}", &**a, &**b).into())
        }
        _ if left.type_name() == "list" && right.type_name() == "list" => {
            meter.charge_elements(left.len().unwrap_or(0) + right.len().unwrap_or(0))?;
            let elements = left.iterate().into_iter().flatten().chain(right.iterate().into_iter().flatten());
            Ok(Item::List(elements.collect()))
        }
        _ => Err(mismatch("+", &[left, right])),
    }
}

/// `-`, `*`, `/` and `%`, of two ints or of two doubles.
pub(super) fn calculate<'a>(operator: Operator, left: &Item<'a>, right: &Item<'a>) -> Outcome<'a> {
    match (operator, left, right) {
        (Operator::Divide | Operator::Remainder, Item::Int(_), Item::Int(0)) => Err(EvalError::DivisionByZero),
        (_, Item::Int(a), Item::Int(b)) => {
            let result = match operator {
                Operator::Subtract => a.checked_sub(*b),
                Operator::Multiply => a.checked_mul(*b),
                Operator::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Item::Int).ok_or(EvalError::Overflow(operator.symbol()))
        }
        (Operator::Subtract, Item::Double(a), Item::Double(b)) => Ok(Item::Double(a - b)),
        (Operator::Multiply, Item::Double(a), Item::Double(b)) => Ok(Item::Double(a * b)),
        (Operator::Divide, Item::Double(a), Item::Double(b)) => Ok(Item::Double(a / b)),
        _ => Err(mismatch(operator.symbol(), &[left, right])),
    }
}

/// `value in list` and `key in map`.
pub(super) fn contained<'a>(value: &Item<'a>, within: &Item<'a>, meter: &mut Meter) -> Outcome<'a> {
    match within.type_name() {
        "list" => {
            for element in within.iterate().into_iter().flatten() {
                if element.equals(value, meter)? {
                    return Ok(Item::Bool(true));
                }
            }
            Ok(Item::Bool(false))
        }
        "map" if matches!(value, Item::Text(_) | Item::Int(_) | Item::Double(_) | Item::Bool(_)) => {
            if let Item::Text(key) = value {
                meter.charge_text(key.len())?;
            }
            Ok(Item::Bool(within.entry(value, meter)?.is_some()))
        }
        _ => Err(mismatch("in", &[value, within])),
    }
}

fn size<'a>(of: &Item<'a>, meter: &mut Meter) -> Outcome<'a> {
    match of {
        Item::Text(text) => {
            meter.charge_text(text.len())?;
            Ok(Item::Int(count(text.chars().count())))
        }
        _ => of.len().map(|size| Item::Int(count(size))).ok_or_else(|| mismatch("size", &[of])),
    }
}

fn string<'a>(of: &Item<'a>, meter: &mut Meter) -> Outcome<'a> {
    match of {
        Item::Text(_) => Ok(of.clone()),
        Item::Int(_) | Item::Bool(_) | Item::Double(_) => {
            // The longest double has some 330 characters.
            meter.charge(20)?;
            Ok(plain_text(of).unwrap_or_default().into())
        }
        _ => Err(mismatch("string", &[of])),
    }
}

/// A string, number or bool as text; `None` for anything else.
pub(super) fn plain_text(of: &Item<'_>) -> Option<String> {
    match of {
        Item::Text(text) => Some(text.to_string()),
        Item::Int(value) => Some(value.to_string()),
        Item::Double(value) => Some(value.to_string()),
        Item::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn int<'a>(of: &Item<'a>) -> Outcome<'a> {
    match of {
        Item::Int(_) => Ok(of.clone()),
        Item::Double(value) if *value > -INT_END && *value < INT_END =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "in range, and CEL cuts the fraction off")]
            Ok(Item::Int(*value as i64))
        }
        Item::Double(_) => Err(EvalError::Overflow("int")),
        Item::Text(text) if text.len() <= NUMBER_BYTES => {
            text.parse().map(Item::Int).map_err(|_| conversion(of, "a whole number"))
        }
        Item::Text(_) => Err(conversion(of, "a whole number")),
        _ => Err(mismatch("int", &[of])),
    }
}

fn double<'a>(of: &Item<'a>) -> Outcome<'a> {
    match of {
        Item::Double(_) => Ok(of.clone()),
        #[expect(clippy::cast_precision_loss, reason = "what a conversion to double means")]
        Item::Int(value) => Ok(Item::Double(*value as f64)),
        Item::Text(text) if text.len() <= NUMBER_BYTES => {
            text.parse().map(Item::Double).map_err(|_| conversion(of, "a number"))
        }
        Item::Text(_) => Err(conversion(of, "a number")),
        _ => Err(mismatch("double", &[of])),
    }
}

fn bool<'a>(of: &Item<'a>) -> Outcome<'a> {
    match of {
        Item::Bool(_) => Ok(of.clone()),
        Item::Text(text) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Item::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Item::Bool(false)),
            _ => Err(conversion(of, "true or false")),
        },
        _ => Err(mismatch("bool", &[of])),
    }
}

fn conversion(of: &Item<'_>, wanted: &'static str) -> EvalError {
    EvalError::Conversion { text: shown(of), wanted }
}

fn replace<'a>(text: &Text<'a>, from: &str, to: &str, times: usize, meter: &mut Meter) -> Outcome<'a> {
    meter.charge_text(2 * text.len() + from.len())?;
    let found = text.matches(from).take(times).count();
    meter.charge(found)?;
    let length = (text.len() - found * from.len()).saturating_add(found.saturating_mul(to.len()));
    meter.charge_new_text(length)?;
    Ok(text.replacen(from, to, times).into())
}

/// At most `parts` parts, the last with the rest; an empty separator splits between characters.
fn split<'a>(text: &Text<'a>, separator: &str, parts: usize, meter: &mut Meter) -> Outcome<'a> {
    meter.charge_parts_of(text)?;
    let ends: Vec<(usize, usize)> = if parts == 0 || (separator.is_empty() && text.is_empty()) {
        Vec::new()
    } else {
        let cuts: Box<dyn Iterator<Item = (usize, usize)>> = if separator.is_empty() {
            Box::new(text.char_indices().skip(1).map(|(at, _)| (at, at)))
        } else {
            Box::new(text.match_indices(separator).map(|(at, _)| (at, at + separator.len())))
        };
        // One more than allowed is enough to refuse.
        let mut start = 0;
        let mut ends = Vec::new();
        for (end, next) in cuts.take((parts - 1).min(ELEMENTS)) {
            ends.push((start, end));
            start = next;
        }
        ends.push((start, text.len()));
        ends
    };
    meter.charge_elements(ends.len())?;
    Ok(Item::List(ends.into_iter().map(|(start, end)| Item::Text(text.part(start, end))).collect()))
}

fn join<'a>(list: &Item<'a>, separator: &str, meter: &mut Meter) -> Outcome<'a> {
    let (Some(elements), "list") = (list.len(), list.type_name()) else { return Err(mismatch("join", &[list])) };
    meter.charge_elements(elements)?;
    let texts = || list.iterate().into_iter().flatten();
    let mut length = separator.len().saturating_mul(elements.saturating_sub(1));
    for element in texts() {
        let Item::Text(text) = &element else { return Err(mismatch("join", &[list, &element])) };
        length = length.saturating_add(text.len());
    }
    meter.charge_new_text(length)?;
    let mut joined = String::with_capacity(length);
    for (index, element) in texts().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        if let Item::Text(text) = &element {
            joined.push_str(text);
        }
    }
    Ok(joined.into())
}

/// Positions count characters.
fn substring<'a>(text: &Text<'a>, start: i64, end: Option<i64>, meter: &mut Meter) -> Outcome<'a> {
    meter.charge_text(2 * text.len())?;
    let size = text.chars().count();
    let range = |end: i64| EvalError::Range { start, end, size };
    let end = end.unwrap_or_else(|| count(size));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else { return Err(range(end)) };
    if from > to || to > size {
        return Err(range(end));
    }
    let offset = |position: usize| text.char_indices().nth(position).map_or(text.len(), |(at, _)| at);
    let (from, to) = (offset(from), offset(to));
    if let Text::Made(_) = text {
        meter.charge_new_text(to - from)?;
    }
    Ok(Item::Text(text.part(from, to)))
}

/// A count as an int; no list or string has 2^63 elements.
fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
