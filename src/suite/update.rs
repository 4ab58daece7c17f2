//! Expectations as they would have to be: what `stepspan test --update` writes.
//!
//! Only expectations that do not hold change, and only as far as a person asked: a case that looks at two variables still looks at two. A case that expects
//! nothing yet is given what a reader of a review would look at first.

use serde_json::{Map, Value, json};

use super::check::{below, says_nothing};
use super::part;
use super::run::{Given, Looked};
use super::spec::{Bound, Range};
use crate::yaml::{self, Edit, EditError};

/// A suite's text with the expectations of some cases as they would have to be.
#[derive(Debug)]
pub struct Rewritten {
    /// The text.
    pub text: String,
    /// How many expectations were changed.
    pub changed: usize,
    /// Cases that have to be changed by hand: their numbers, and why.
    pub refused: Vec<(usize, EditError)>,
}

/// Rewrites the expectations of some cases, given by their numbers.
///
/// # Errors
/// The text is no YAML.
pub fn rewrite(text: &str, cases: &[(usize, Looked)]) -> Result<Rewritten, EditError> {
    let written = yaml::read(text, 1)?;
    let edits_of = |grain, (number, looked): &(usize, Looked)| {
        edits(grain, *number, written["cases"][*number].get("expect"), looked)
    };
    let all: Vec<Edit> = cases.iter().flat_map(|case| edits_of(Grain::Leaf, case)).collect();
    if let Ok(text) = yaml::edit(text, &all) {
        return Ok(Rewritten { text, changed: all.len(), refused: Vec::new() });
    }
    // One by one, then: those that cannot be changed must not keep the others from it.
    let mut done = Rewritten { text: text.to_owned(), changed: 0, refused: Vec::new() };
    for case in cases {
        let tried = |grain| {
            let edits = edits_of(grain, case);
            yaml::edit(&done.text, &edits).map(|text| (text, edits.len()))
        };
        let coarser = |why| match why {
            EditError::Style => tried(Grain::Field).or_else(|_| tried(Grain::Whole)),
            why => Err(why),
        };
        match tried(Grain::Leaf).or_else(coarser) {
            Ok((text, count)) => {
                done.text = text;
                done.changed += count;
            }
            Err(why) => done.refused.push((case.0, why)),
        }
    }
    Ok(done)
}

/// How much is replaced at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    /// The smallest values that differ: what stands beside them stays.
    Leaf,
    /// Each field of `expect` that differs.
    Field,
    /// All of `expect`.
    Whole,
}

/// The edits of case `number`, whose `expect` is `written`, that make its expectations hold.
fn edits(grain: Grain, number: usize, written: Option<&Value>, looked: &Looked) -> Vec<Edit> {
    let path = format!("cases[{number}].expect");
    let fields = written.and_then(Value::as_object).cloned().unwrap_or_default();
    let updated = |(field, expected): (&String, &Value)| {
        let found = update(field, expected, looked).unwrap_or_else(|| expected.clone());
        // Of what was looked at nothing is there any more.
        (found == *expected || !says_nothing(field, &found)).then(|| (field.clone(), found))
    };
    let fresh: Map<String, Value> = fields.iter().filter_map(updated).collect();
    if fresh.iter().all(|(field, found)| says_nothing(field, found)) {
        return vec![Edit { path, value: first(looked) }];
    }
    if fresh == fields {
        return Vec::new();
    }
    let whole = Edit { path: path.clone(), value: fresh.clone().into() };
    if grain == Grain::Whole || fresh.len() < fields.len() {
        return vec![whole];
    }
    let mut all = Vec::new();
    for (field, value) in fresh {
        let path = below(&path, &field);
        match fields.get(&field) {
            Some(before) if *before == value => {}
            Some(before) if grain == Grain::Leaf => differences(path, before, value, &mut all),
            _ => all.push(Edit { path, value }),
        }
    }
    all
}

/// The smallest edits that make one value of another: as deep as both have the same shape.
fn differences(path: String, before: &Value, after: Value, all: &mut Vec<Edit>) {
    match (before, after) {
        (before, after) if *before == after => {}
        // What is not there any more cannot be taken out alone.
        (Value::Object(old), Value::Object(new)) if !old.is_empty() && old.keys().all(|key| new.contains_key(key)) => {
            for (key, value) in new {
                let path = below(&path, &key);
                match old.get(&key) {
                    Some(old) => differences(path, old, value, all),
                    None => all.push(Edit { path, value }),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (at, (old, value)) in old.iter().zip(new).enumerate() {
                differences(format!("{path}[{at}]"), old, value, all);
            }
        }
        (_, value) => all.push(Edit { path, value }),
    }
}

/// What a case is given that expects nothing.
fn first(looked: &Looked) -> Value {
    let mut expect = Map::new();
    let decision = &looked.reviewed.decision;
    expect.insert("outcome".into(), looked.reviewed.outcome.label().into());
    if let Some(reason) = &looked.reviewed.reason {
        expect.insert("reason".into(), reason.to_string().into());
    }
    if !decision.policies.is_empty() {
        expect.insert("policies".into(), decision.policies.clone().into());
    }
    let values = decision.values.iter().map(|value| (value.key.clone(), correlated(looked, &value.key)));
    let values: Map<String, Value> = values.collect();
    if !values.is_empty() {
        expect.insert("values".into(), values.into());
    }
    if !looked.reviewed.warnings.is_empty() {
        expect.insert("warnings".into(), looked.reviewed.warnings.clone().into());
    }
    expect.into()
}

/// A value with its source; null where there is none.
fn correlated(looked: &Looked, key: &str) -> Value {
    let found = looked.reviewed.decision.values.iter().find(|value| value.key == key);
    match found.and_then(|found| Some((found.value.as_ref()?, found.source.as_ref()?))) {
        Some((value, source)) => json!({"value": value, "source": source}),
        None => Value::Null,
    }
}

/// What a field of `expect` would have to be.
fn update(field: &str, expected: &Value, looked: &Looked) -> Option<Value> {
    let reviewed = &looked.reviewed;
    Some(match field {
        "outcome" => reviewed.outcome.label().into(),
        "reason" => reviewed.reason.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string).into(),
        "policies" => reviewed.decision.policies.clone().into(),
        "containers" => each(expected, |name, _| {
            let found = reviewed.decision.containers.iter().find(|container| container.name == name)?;
            Some(found.skipped.as_ref().map_or_else(|| "injected".to_owned(), ToString::to_string).into())
        }),
        "values" => each(expected, |key, expected| value(key, expected, looked)),
        "env" => each(expected, |container, variables| {
            let found = each(variables, |name, expected| variable(container, name, expected, looked));
            Some(found).filter(|found| found != &json!({}))
        }),
        "pod" => looked.after.clone(),
        "contains" => part::of("", expected, &looked.after).unwrap_or_default(),
        "absent" => {
            let absent = |pointer: &&Value| pointer.as_str().is_some_and(|at| looked.after.pointer(at).is_none());
            expected.as_array()?.iter().filter(absent).cloned().collect()
        }
        "operations" => bound(expected, reviewed.patch.len()),
        "growth" => bound(expected, looked.growth()),
        "warnings" => {
            let written = expected.as_array()?;
            let fits = |(found, part): (&String, &Value)| part.as_str().is_some_and(|part| found.contains(part));
            if written.len() == reviewed.warnings.len() && reviewed.warnings.iter().zip(written).all(fits) {
                return None;
            }
            reviewed.warnings.clone().into()
        }
        _ => return None,
    })
}

/// A map, each value anew; a key whose value is `None` is left out.
fn each(expected: &Value, of: impl Fn(&str, &Value) -> Option<Value>) -> Value {
    let fields = expected.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), of(key, value)?))).collect::<Map<_, _>>().into()
}

/// In the form it was written: the value alone, or what it was asked of value and source.
fn value(key: &str, expected: &Value, looked: &Looked) -> Option<Value> {
    let found = looked.reviewed.decision.values.iter().find(|value| value.key == key)?;
    let Some(asked) = expected.as_object() else { return Some(found.value.clone().into()) };
    if asked.is_empty() {
        return Some(correlated(looked, key));
    }
    let mut fresh = Map::new();
    if asked.contains_key("value") {
        fresh.insert("value".to_owned(), found.value.clone().into());
    }
    if asked.contains_key("source") {
        fresh.insert("source".to_owned(), found.source.clone().into());
    }
    Some(fresh.into())
}

fn variable(container: &str, name: &str, expected: &Value, looked: &Looked) -> Option<Value> {
    if !looked.has(container) {
        return None;
    }
    let Some(asked) = expected.as_object() else {
        return Some(match looked.variable(container, name) {
            None => Value::Null,
            Some(Given::Text(text)) => text.into(),
            // There is no text to write: it goes on failing.
            Some(Given::Elsewhere(_)) => expected.clone(),
        });
    };
    let of = looked.explanation.containers.iter().find(|of| of.container == container)?;
    let found = of.variables.iter().find(|variable| variable.name == name)?;
    let mut fresh = Map::from_iter([("decision".to_owned(), Value::from(found.decision))]);
    if asked.contains_key("value") {
        fresh.insert("value".to_owned(), found.value.clone().into());
    }
    Some(fresh.into())
}

/// A number, or the range stretched to it.
fn bound(expected: &Value, number: usize) -> Value {
    match serde_json::from_value::<Bound>(expected.clone()) {
        Ok(bound) if bound.refuses(number).is_none() => expected.clone(),
        Ok(Bound::Range(Range { min, max })) => {
            let mut range = Map::new();
            let ends = [("min", min.map(|min| min.min(number))), ("max", max.map(|max| max.max(number)))];
            range.extend(ends.into_iter().filter_map(|(end, at)| Some((end.to_owned(), at?.into()))));
            let range = Value::from(range);
            if says_nothing("operations", &range) { number.into() } else { range }
        }
        _ => number.into(),
    }
}
