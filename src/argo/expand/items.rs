//! The runs of a loop: `withItems`, `withParam`, `withSequence`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::raw::{as_go_writes, escaped};
use super::replace::Values;

/// The fields that make a loop of a step or task, in the order in which Argo asks for them; it takes one of them.
pub(super) const LOOPS: [&str; 3] = ["withItems", "withParam", "withSequence"];

/// Most runs of one loop: Argo itself stops at what etcd takes.
pub const MAX_RUNS: usize = 10_000;

/// One run of a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The step's name in it, such as `print(0:a)`.
    pub name: String,
    /// `item`, and `item.<key>` where the item is a map.
    pub values: Values,
}

/// Why the runs of a loop are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Only the run of an earlier step says it.
    #[error("{0} is known only at run time")]
    Later(String),
    /// Argo would refuse it.
    #[error("{0}")]
    Wrong(String),
}

/// The items of a step or task whose parameters have been put in their places; `None` where it is no loop.
///
/// # Errors
/// They are not known before the workflow runs, or Argo would refuse them.
pub fn of(step: &Map<String, Value>) -> Result<Option<Vec<Item>>, Unknown> {
    if let Some(items) = step.get("withItems").and_then(Value::as_array).filter(|items| !items.is_empty()) {
        return bounded(items.iter().map(as_kubernetes_has_it).collect()).map(Some);
    }
    match (step.get("withParam").and_then(Value::as_str), step.get("withSequence").and_then(Value::as_object)) {
        (Some(text), _) if text.contains("{{") => Err(Unknown::Later(text.to_owned())),
        (Some(text), _) if !text.is_empty() => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => bounded(items.into_iter().map(as_written).collect()).map(Some),
            Err(error) => Err(Unknown::Wrong(format!("withParam is no JSON list: {error}"))),
        },
        (_, Some(sequence)) => sequence_of(sequence).map(Some),
        _ => Ok(None),
    }
}

/// An item as Argo keeps it: JSON as it is written, without spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item(String);

/// An item of a manifest: what is below it went through a map of Go, whose keys have an order of their own, and numbers through a float.
fn as_kubernetes_has_it(item: &Value) -> Item {
    let mut item = item.clone();
    settle(&mut item);
    if let Value::Object(map) = &mut item {
        map.values_mut().for_each(Value::sort_all_objects);
    }
    Item(item.to_string())
}

fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Ok(whole) = as_go_writes(number).parse::<i64>() {
                *value = whole.into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(settle),
        Value::Object(map) => map.values_mut().for_each(settle),
        _ => {}
    }
}

/// An item of a text: Argo keeps numbers and escapes as they are written there, `2.50` for instance.
fn as_written(item: &RawValue) -> Item {
    Item(compact(item.get()))
}

/// JSON without the spaces between its tokens.
fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let stays = |c: &char| {
        let quote = *c == '"' && !escaped;
        escaped = in_text && *c == '\\' && !escaped;
        in_text ^= quote;
        in_text || !c.is_ascii_whitespace()
    };
    json.chars().filter(stays).collect()
}

fn bounded(items: Vec<Item>) -> Result<Vec<Item>, Unknown> {
    if items.len() > MAX_RUNS {
        return Err(Unknown::Wrong(format!("a loop of {} items; at most {MAX_RUNS} are looked at", items.len())));
    }
    Ok(items)
}

/// `expandSequence` of Argo's `workflow/controller/operator.go`.
fn sequence_of(sequence: &Map<String, Value>) -> Result<Vec<Item>, Unknown> {
    let number = |field: &str| -> Result<Option<i64>, Unknown> {
        let Some(value) = sequence.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.contains("{{") {
            return Err(Unknown::Later(text));
        }
        let wrong = |_| Unknown::Wrong(format!("withSequence.{field} is no whole number: {text}"));
        text.parse().map(Some).map_err(wrong)
    };
    let start = number("start")?.unwrap_or(0);
    let end = match (number("end")?, number("count")?) {
        (Some(end), _) => end,
        (None, Some(0)) => return Ok(Vec::new()),
        (None, Some(count)) => start.saturating_add(count).saturating_sub(1),
        (None, None) => return Err(Unknown::Wrong("withSequence has neither end nor count".into())),
    };
    let length = start.abs_diff(end).saturating_add(1);
    if length > MAX_RUNS as u64 {
        return Err(Unknown::Wrong(format!("a loop of {length} items; at most {MAX_RUNS} are looked at")));
    }
    let format = sequence.get("format").and_then(Value::as_str).filter(|format| !format.is_empty()).unwrap_or("%d");
    let step = if start <= end { 1 } else { -1 };
    let numbers = (0..i64::try_from(length).unwrap_or(0)).map(|n| start.saturating_add(n * step));
    numbers.map(|number| formatted(format, number).map(|text| Item(Value::String(text).to_string()))).collect()
}

/// Go's `fmt.Sprintf` with one integer.
fn formatted(format: &str, number: i64) -> Result<String, Unknown> {
    let unknown = || Unknown::Wrong(format!("withSequence.format {format:?} is not understood"));
    let (before, rest) = format.split_once('%').ok_or_else(unknown)?;
    let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(unknown)?;
    let (flags, verb, after) = (&rest[..end], &rest[end..=end], &rest[end + 1..]);
    let digits = match verb {
        "d" | "v" => number.unsigned_abs().to_string(),
        "x" => format!("{:x}", number.unsigned_abs()),
        "X" => format!("{:X}", number.unsigned_abs()),
        "o" => format!("{:o}", number.unsigned_abs()),
        "b" => format!("{:b}", number.unsigned_abs()),
        _ => return Err(unknown()),
    };
    let sign = if number < 0 { "-" } else { "" };
    let (zeros, width) = match flags.strip_prefix('0') {
        Some(width) => (true, width),
        None => (false, flags),
    };
    let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| unknown())? };
    if after.contains('%') || width > 64 {
        return Err(unknown());
    }
    let written = if zeros {
        format!("{sign}{digits:0>width$}", width = width.saturating_sub(sign.len()))
    } else {
        format!("{:>width$}", format!("{sign}{digits}"))
    };
    Ok(format!("{before}{written}{after}"))
}

/// The runs of the loop of a step: `processItem` of Argo's `workflow/controller/operator.go`.
pub fn runs(step: &str, items: &[Item]) -> Vec<Run> {
    items.iter().enumerate().map(|(index, item)| run(step, index, item)).collect()
}

fn run(step: &str, index: usize, Item(item): &Item) -> Run {
    let mut values = Values::new();
    let described = if let Ok(map) = serde_json::from_str::<BTreeMap<String, &RawValue>>(item) {
        values.extend(map.iter().map(|(key, value)| (format!("item.{key}"), text(value.get()))));
        let mut words: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", text(value.get()))).collect();
        words.sort_unstable();
        let entries = map.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), value.get()));
        let sorted = entries.collect::<Vec<_>>().join(",");
        values.insert("item".into(), escaped(&format!("{{{sorted}}}")));
        words.join(",")
    } else if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(item) {
        values.insert("item".into(), escaped(item));
        format!("[{}]", list.iter().map(|one| text(one.get())).collect::<Vec<_>>().join(" "))
    } else {
        values.insert("item".into(), text(item));
        text(item)
    };
    let described = described.replace(['(', ')'], "");
    Run { name: format!("{step}({index}:{described})"), values }
}

/// An item as Argo's `Item.String` writes it: JSON, a string without its quotes and with its escapes, but for those of HTML.
fn text(json: &str) -> String {
    let text = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(json);
    text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items(step: &Value) -> Result<Option<Vec<Value>>, Unknown> {
        let read = |items: Vec<Item>| items.iter().map(|Item(json)| serde_json::from_str(json).unwrap()).collect();
        of(step.as_object().unwrap()).map(|items| items.map(read))
    }

    fn runs_of(step: &Value) -> Vec<Run> {
        runs("r", &of(step.as_object().unwrap()).unwrap().unwrap())
    }

    #[test]
    fn every_kind_of_loop_has_its_items() {
        assert_eq!(items(&json!({"name": "a", "withItems": []})), Ok(None));
        assert_eq!(items(&json!({"withItems": [1, "b"]})), Ok(Some(vec![json!(1), json!("b")])));
        assert_eq!(items(&json!({"withParam": "[{\"a\": 1}]"})), Ok(Some(vec![json!({"a": 1})])));
        assert!(matches!(items(&json!({"withParam": "{{steps.a.outputs.result}}"})), Err(Unknown::Later(_))));
        assert!(matches!(items(&json!({"withParam": "{}"})), Err(Unknown::Wrong(_))));
        let sequence = |sequence: Value| items(&json!({"withSequence": sequence}));
        assert_eq!(sequence(json!({"count": "2"})), Ok(Some(vec![json!("0"), json!("1")])));
        assert_eq!(sequence(json!({"count": 0})), Ok(Some(Vec::new())));
        assert_eq!(sequence(json!({"start": "3", "end": 1})), Ok(Some(vec![json!("3"), json!("2"), json!("1")])));
        assert_eq!(
            sequence(json!({"start": 9, "count": 2, "format": "u%02Xx"})),
            Ok(Some(vec![json!("u09x"), json!("u0Ax")]))
        );
        assert!(matches!(sequence(json!({"count": "{{inputs.parameters.n}}"})), Err(Unknown::Later(_))));
        for wrong in [json!({}), json!({"count": "x"}), json!({"count": 20_000}), json!({"count": 1, "format": "%s"})] {
            assert!(matches!(sequence(wrong.clone()), Err(Unknown::Wrong(_))), "{wrong}");
        }
    }

    #[test]
    fn go_s_format_of_a_number() {
        for (format, number, expected) in
            [("%d", -3, "-3"), ("%3d", 7, "  7"), ("%03d", -7, "-07"), ("a-%b", 5, "a-101"), ("%o.", 8, "10.")]
        {
            assert_eq!(formatted(format, number).unwrap(), expected, "{format}");
        }
    }

    /// As the controller names them.
    #[test]
    fn runs_are_named_after_their_items() {
        let all = [json!("a(b)"), json!(1.5), json!({"os": "linux", "n": 2}), json!(["x", 1]), json!("l\nm")];
        let all = runs("print", &all.map(|item| Item(item.to_string())));
        let names: Vec<_> = all.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["print(0:ab)", "print(1:1.5)", "print(2:n:2,os:linux)", "print(3:[x 1])", "print(4:l\\nm)"]);
        assert_eq!(all[2].values["item"], r#"{"n":2,"os":"linux"}"#);
        assert_eq!((all[2].values["item.os"].as_str(), all[3].values["item"].as_str()), ("linux", r#"["x",1]"#));
        assert_eq!(all[0].values["item"], "a(b)");
        let [run] = &runs_of(&json!({"withItems": [{"m": {"z": 1, "c": "<"}}]}))[..] else { panic!() };
        assert_eq!(
            (run.name.as_str(), run.values["item"].as_str()),
            (r#"r(0:m:{"c":"<","z":1})"#, r#"{"m":{"c":"\u003c","z":1}}"#)
        );
    }
    /// As Argo's own `Item` gives them.
    #[test]
    fn numbers_and_escapes_of_a_text_stay_as_they_are_written() {
        let all =
            runs_of(&json!({"withParam": r#"[ {"go": 1.20, "n": 1e3}, [1.20, "x y"], 2.50, "caf\u00e9 \u003c"]"#}));
        let names: Vec<_> = all.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["r(0:go:1.20,n:1e3)", "r(1:[1.20 x y])", "r(2:2.50)", "r(3:caf\\u00e9 <)"]);
        assert_eq!(
            (all[0].values["item.go"].as_str(), all[0].values["item"].as_str()),
            ("1.20", r#"{"go":1.20,"n":1e3}"#)
        );
        assert_eq!(all[1].values["item"], r#"[1.20,"x y"]"#);
        let manifest = runs_of(&json!({"withItems": [1.0, {"a": [2.5, 1000.0]}]}));
        let names: Vec<_> = manifest.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["r(0:1)", "r(1:a:[2.5,1000])"]);
    }
}
