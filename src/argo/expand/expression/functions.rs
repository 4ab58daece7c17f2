//! What expr-lang itself can call (`builtin/builtin.go`), and what Argo adds (`util/expr/env/env.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::budget::Budget;
use super::eval::{equal, float, order};
use super::{Undecided, unclear};

type Outcome = Result<Value, Undecided>;

/// What a value costs to copy.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 8,
        Value::Array(list) => list.iter().map(size).sum::<usize>() + 1,
        Value::Object(map) => map.iter().map(|(key, value)| 2 + key.len() / 8 + size(value)).sum::<usize>() + 1,
        _ => 1,
    }
}

/// Largest compiled form of one regular expression, in bytes.
const MAX_REGEX: usize = 256 << 10;

/// As Go's `encoding/json` writes it: keys sorted, whole floats without a point, `<`, `>` and `&` escaped.
pub(super) fn to_json(value: &Value) -> String {
    plain_json(value).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn plain_json(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(plain_json).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entry =
                |(key, value): &(&String, &Value)| format!("{}:{}", Value::from(key.as_str()), plain_json(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && (float == 0.0 || (1e-6..1e21).contains(&float.abs())) => {
                float.to_string()
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// A value as Go's `fmt.Sprint` has it.
pub(super) fn shown(value: &Value) -> Result<String, Undecided> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Ok("<nil>".to_owned()),
        Value::Array(_) | Value::Object(_) => unclear("a list or a map as a text is not read here"),
        Value::Number(number) if number.is_f64() => Ok(number.as_f64().map_or_else(String::new, general)),
        other => Ok(to_json(other)),
    }
}

/// A regular expression; it is compiled each time.
pub(super) fn regex(pattern: &str, budget: &Budget) -> Result<Regex, Undecided> {
    budget.charge(1000 + pattern.len() * 50)?;
    let regex = RegexBuilder::new(pattern).size_limit(MAX_REGEX).build();
    regex.map_err(|error| Undecided::Unclear(format!("{pattern}: {error}")))
}

/// A float by `%v` (`strconv.FormatFloat` with `g` and the fewest digits): with an exponent from a million on.
fn general(float: f64) -> String {
    let written = format!("{float:e}");
    let Some((digits, exponent)) = written.split_once('e') else { return written };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
        }
        _ => float.to_string(),
    }
}

/// A function that calls a closure for each element.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loop {
    All,
    Any,
    None,
    One,
    Map,
    Filter,
    Count,
    Find,
    FindIndex,
}

pub(super) fn looped(name: &str) -> Option<Loop> {
    Some(match name {
        "all" => Loop::All,
        "any" => Loop::Any,
        "none" => Loop::None,
        "one" => Loop::One,
        "map" => Loop::Map,
        "filter" => Loop::Filter,
        "count" => Loop::Count,
        "find" => Loop::Find,
        "findIndex" => Loop::FindIndex,
        _ => return None,
    })
}

pub(super) fn run(kind: Loop, list: Vec<Value>, mut body: impl FnMut(&Value) -> Outcome) -> Outcome {
    if matches!(kind, Loop::Map) {
        return list.iter().map(body).collect();
    }
    let mut holds = Vec::new();
    for item in &list {
        match body(item)? {
            Value::Bool(value) => holds.push(value),
            other => return unclear(format!("{other} is neither true nor false")),
        }
    }
    let count = holds.iter().filter(|value| **value).count();
    let first = holds.iter().position(|value| *value);
    Ok(match kind {
        Loop::All => (count == list.len()).into(),
        Loop::Any => (count > 0).into(),
        Loop::None => (count == 0).into(),
        Loop::One => (count == 1).into(),
        Loop::Count => count.into(),
        Loop::Find => first.and_then(|at| list.into_iter().nth(at)).unwrap_or_default(),
        Loop::FindIndex => first.map_or(Value::Null, Value::from),
        Loop::Filter | Loop::Map => {
            list.into_iter().zip(holds).filter(|(_, holds)| *holds).map(|(item, _)| item).collect()
        }
    })
}

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Value], budget: &Budget) -> Outcome {
    use Value::{Array, Object, String as Text};
    match (name, arguments) {
        ("asInt" | "int", [value]) => whole(value),
        ("asFloat" | "float", [value]) => number(value).and_then(float),
        ("string", [value]) => shown(value).map(Value::from),
        ("len", [value]) => match value {
            Text(text) => Ok(text.chars().count().into()),
            Array(list) => Ok(list.len().into()),
            Object(map) => Ok(map.len().into()),
            _ => unclear("only texts, lists and maps have a length"),
        },
        ("toJson", [value]) => Ok(to_json(value).into()),
        ("fromJSON", [Text(text)]) => from_json(text, budget),
        ("jsonpath", [Text(text), Text(path)]) => at_path(&from_json(text, budget)?, path),
        ("trim", [Text(text)]) => Ok(text.trim().into()),
        ("trim", [Text(text), Text(of)]) => Ok(text.trim_matches(|c| of.contains(c)).into()),
        ("trimPrefix", [Text(text), Text(of)]) => Ok(text.strip_prefix(of.as_str()).unwrap_or(text).into()),
        ("trimSuffix", [Text(text), Text(of)]) => Ok(text.strip_suffix(of.as_str()).unwrap_or(text).into()),
        ("upper", [Text(text)]) => Ok(text.to_uppercase().into()),
        ("lower", [Text(text)]) => Ok(text.to_lowercase().into()),
        ("hasPrefix", [Text(text), Text(of)]) => Ok(text.starts_with(of.as_str()).into()),
        ("hasSuffix", [Text(text), Text(of)]) => Ok(text.ends_with(of.as_str()).into()),
        ("indexOf", [Text(text), Text(of)]) => Ok(found(text.find(of.as_str()))),
        ("lastIndexOf", [Text(text), Text(of)]) => Ok(found(text.rfind(of.as_str()))),
        ("split", [Text(text), Text(by)]) => split(text, by, budget),
        ("replace", [Text(text), Text(of), Text(by)]) => replace(text, of, by, budget),
        ("repeat", [Text(text), times]) => repeat(text, times, budget),
        ("join", [Array(list)]) => join(list, ""),
        ("join", [Array(list), Text(by)]) => {
            budget.charge(list.len().saturating_mul(by.len()))?;
            join(list, by)
        }
        ("toBase64", [Text(text)]) => Ok(STANDARD.encode(text).into()),
        ("fromBase64", [Text(text)]) => decoded(text),
        ("first", [Array(list)]) => Ok(list.first().cloned().unwrap_or_default()),
        ("last", [Array(list)]) => Ok(list.last().cloned().unwrap_or_default()),
        ("keys", [Object(map)]) if map.len() < 2 => Ok(map.keys().map(|key| Value::from(key.as_str())).collect()),
        ("values", [Object(map)]) if map.len() < 2 => Ok(map.values().cloned().collect()),
        ("reverse", [Array(list)]) => Ok(list.iter().rev().cloned().collect()),
        ("uniq", [Array(list)]) => {
            budget.charge(list.len().saturating_mul(list.len()))?;
            Ok(distinct(list))
        }
        ("sort", [Array(list)]) => sorted(list),
        ("concat", lists) => concatenated(lists),
        ("abs", [value]) => match value.as_i64() {
            Some(number) => Ok(number.saturating_abs().into()),
            None => number(value).and_then(|number| float(number.abs())),
        },
        ("ceil", [value]) => number(value).and_then(|number| float(number.ceil())),
        ("floor", [value]) => number(value).and_then(|number| float(number.floor())),
        ("round", [value]) => number(value).and_then(|number| float(number.round())),
        ("max" | "min", [first, rest @ ..]) => extreme(name == "max", first, rest),
        _ => unclear(format!("{name}() with {} arguments of that kind is not read here", arguments.len())),
    }
}

/// `strconv.Atoi` for texts; floats lose what is behind the point.
fn whole(value: &Value) -> Outcome {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        #[expect(clippy::cast_possible_truncation, reason = "Go cuts too, and what is too large is not read")]
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().filter(|f| f.abs() < 9e15).map(|f| f as i64))
        }
        _ => None,
    };
    number.map_or_else(|| unclear(format!("{value} is no whole number")), |number: i64| Ok(number.into()))
}

fn number(value: &Value) -> Result<f64, Undecided> {
    let number = value.as_str().map_or_else(|| value.as_f64(), |text| text.parse().ok());
    number.map_or_else(|| unclear(format!("{value} is no number")), Ok)
}

pub(super) fn from_json(text: &str, budget: &Budget) -> Outcome {
    // A value takes several times the bytes it is read from.
    budget.charge(text.len().saturating_mul(2))?;
    let read = serde_json::from_str(text).map_err(|error| Undecided::Unclear(format!("no JSON: {error}")))?;
    Ok(as_floats(read))
}

/// All numbers of JSON are floats in Go.
fn as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(all) => all.into_iter().map(as_floats).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, as_floats(value))).collect(),
        other => other,
    }
}

/// `$.a.b[0]['c']`; everything else of `JSONPath` is not read.
fn at_path(of: &Value, path: &str) -> Outcome {
    let not_read = || Undecided::Unclear(format!("the path {path} is not read here"));
    let mut rest = path.strip_prefix('$').ok_or_else(not_read)?;
    let mut at = of;
    while !rest.is_empty() {
        let (key, after) = if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            (&name[..end], &name[end..])
        } else {
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(not_read)?
        };
        let plain = key.trim_matches(['\'', '"']);
        let special = plain.is_empty() || plain.contains(['*', '?', ':', ',', '@', '(']);
        at = match at {
            _ if special => None,
            Value::Array(list) => plain.parse::<usize>().ok().and_then(|at| list.get(at)),
            other => other.get(plain),
        }
        .ok_or_else(not_read)?;
        rest = after;
    }
    Ok(at.clone())
}

fn found(at: Option<usize>) -> Value {
    at.map_or_else(|| (-1).into(), Value::from)
}

pub(super) fn split(text: &str, by: &str, budget: &Budget) -> Outcome {
    budget.charge(text.len())?;
    if by.is_empty() {
        return Ok(text.chars().map(|c| Value::from(c.to_string())).collect());
    }
    Ok(text.split(by).map(Value::from).collect())
}

pub(super) fn replace(text: &str, of: &str, by: &str, budget: &Budget) -> Outcome {
    let times = if of.is_empty() { text.len() + 1 } else { text.len() / of.len() };
    budget.charge(text.len() + times.saturating_mul(by.len()))?;
    Ok(text.replace(of, by).into())
}

pub(super) fn repeat(text: &str, times: &Value, budget: &Budget) -> Outcome {
    let times = times.as_u64().and_then(|times| usize::try_from(times).ok());
    let Some(times) = times else { return unclear("a text is repeated a whole number of times") };
    budget.charge(text.len().saturating_mul(times))?;
    Ok(text.repeat(times).into())
}

pub(super) fn join(list: &[Value], by: &str) -> Outcome {
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    texts.map_or_else(|| unclear("only texts are joined"), |texts| Ok(texts.join(by).into()))
}

pub(super) fn decoded(text: &str) -> Outcome {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.map_or_else(|| unclear("no text in base64"), |text| Ok(text.into()))
}

fn distinct(list: &[Value]) -> Value {
    let mut kept: Vec<Value> = Vec::new();
    for item in list {
        if !kept.iter().any(|known| equal(known, item)) {
            kept.push(item.clone());
        }
    }
    kept.into()
}

fn sorted(list: &[Value]) -> Outcome {
    let mut sorted = list.to_vec();
    if list.iter().all(Value::is_string) {
        sorted.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
    } else if list.iter().all(Value::is_number) {
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        sorted.sort_by(|left, right| number(left).total_cmp(&number(right)));
    } else {
        return unclear("only texts, or only numbers, are sorted");
    }
    Ok(sorted.into())
}

fn concatenated(lists: &[Value]) -> Outcome {
    let mut all = Vec::new();
    for list in lists {
        let Value::Array(list) = list else { return unclear("only lists are joined to one") };
        all.extend(list.iter().cloned());
    }
    Ok(all.into())
}

fn extreme(largest: bool, first: &Value, rest: &[Value]) -> Outcome {
    let (mut best, rest) = match (first, rest) {
        (Value::Array(list), []) => match list.split_first() {
            Some((first, rest)) => (first, rest),
            None => return unclear("of nothing there is no largest and no smallest"),
        },
        _ => (first, rest),
    };
    for value in rest {
        if order(value, best)?.is_gt() == largest && !equal(value, best) {
            best = value;
        }
    }
    Ok(best.clone())
}
