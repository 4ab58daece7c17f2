//! Walks a tree over the values of `{{...}}`.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::budget::Budget;
use super::parse::Node;
use super::{Undecided, functions, sprig, unclear};
use crate::argo::expand::replace::{self, Values};

/// Most elements of a range.
const MAX_RANGE: i64 = 10_000;

/// Variables that Argo itself leaves alone until they have a value (`expressionReplace`).
const RUN_TIME: [&str; 2] = ["workflow.status", "workflow.failures"];

pub(super) fn evaluate(root: &Node, values: &Values, budget: &Budget) -> Result<Value, Undecided> {
    Evaluation { values, budget }.node(root, None)
}

pub(super) struct Evaluation<'a> {
    values: &'a Values,
    pub budget: &'a Budget,
}

type Outcome = Result<Value, Undecided>;

impl Evaluation<'_> {
    /// `element` is what `#` stands for.
    fn node(&self, node: &Node, element: Option<&Value>) -> Outcome {
        self.budget.charge(1)?;
        match node {
            Node::Value(value) => self.made(value.clone()),
            Node::Name(name) => self.variable(name),
            Node::Element => match element {
                Some(value) => self.made(value.clone()),
                None => unclear("# stands outside of a closure"),
            },
            Node::Member(of, key, optional) => self.member(of, key, *optional, element),
            Node::Slice(of, start, end) => {
                let of = self.node(of, element)?;
                let bound =
                    |bound: &Option<Box<Node>>| bound.as_ref().map(|node| self.whole(node, element)).transpose();
                slice(&of, bound(start)?, bound(end)?)
            }
            Node::Call(name, arguments) => self.call(name, arguments, element),
            Node::Not(of) => Ok((!self.truth(of, element)?).into()),
            Node::Negate(of) => negated(&self.node(of, element)?),
            Node::Binary(operator, left, right) => self.binary(operator, left, right, element),
            Node::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                self.node(if self.truth(condition, element)? { yes } else { no }, element)
            }
            Node::List(items) => items.iter().map(|item| self.node(item, element)).collect(),
            Node::Map(entries) => {
                let entry = |(key, value): &(Node, Node)| match self.node(key, element)? {
                    Value::String(key) => Ok((key, self.node(value, element)?)),
                    _ => unclear("a map's key is a text"),
                };
                entries.iter().map(entry).collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    /// Pays for a value that is copied.
    fn made(&self, value: Value) -> Outcome {
        self.budget.charge(functions::size(&value))?;
        Ok(value)
    }

    /// The variables below a name, as a tree: `Expand` of Argo's `util/expand/expand.go`.
    fn variable(&self, name: &str) -> Outcome {
        self.path(name)?.map_or_else(|| Err(Undecided::Unknown(name.to_owned())), Ok)
    }

    /// What stands at `a.b.c`; what has parts is its parts.
    fn path(&self, path: &str) -> Result<Option<Value>, Undecided> {
        let below = format!("{path}.");
        let parts = || self.values.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below));
        if parts().next().is_none() {
            let Some(text) = self.values.get(path) else { return Ok(None) };
            return match replace::unknown_in(text, self.values) {
                Some(tag) => Err(Undecided::Unknown(tag.to_owned())),
                None => self.made(text.clone().into()).map(Some),
            };
        }
        let mut tree = Map::new();
        for (key, text) in parts() {
            self.budget.charge(key.len() + text.len())?;
            put(&mut tree, &key[below.len()..], text);
        }
        Ok(Some(Value::Object(tree)))
    }

    fn is_known(&self, root: &str) -> bool {
        let below = format!("{root}.");
        self.values.contains_key(root)
            || self.values.range(below.clone()..).next().is_some_and(|(key, _)| key.starts_with(&below))
    }

    fn member(&self, of: &Node, key: &Node, optional: bool, element: Option<&Value>) -> Outcome {
        let key = self.node(key, element)?;
        // A path into the variables is looked up as one, not as a tree of all of them.
        if let (Some(path), Value::String(key)) = (constant_path(of), &key)
            && !key.contains('.')
        {
            let full = format!("{path}.{key}");
            if let Some(found) = self.path(&full)? {
                return Ok(found);
            }
            let root = path.split('.').next().unwrap_or_default();
            if matches!(root, "steps" | "tasks" | "outputs")
                || RUN_TIME.contains(&full.as_str())
                || !self.is_known(root)
            {
                return Err(Undecided::Unknown(full));
            }
        }
        match (self.node(of, element)?, key) {
            (Value::Object(map), Value::String(key)) => Ok(map.get(&key).cloned().unwrap_or_default()),
            (Value::Array(list), Value::Number(at)) => {
                let at = at.as_i64().and_then(|at| position(at, list.len()));
                at.and_then(|at| list.get(at)).cloned().map_or_else(|| unclear("there is no such element"), Ok)
            }
            (Value::Null, _) if optional => Ok(Value::Null),
            (Value::Null, key) => unclear(format!("nothing has a member {key}: what it is asked of has no value")),
            (_, key) => unclear(format!("it has no member {key}")),
        }
    }

    fn call(&self, name: &str, arguments: &[Node], element: Option<&Value>) -> Outcome {
        if let (Some(looped), [of, body]) = (functions::looped(name), arguments) {
            let Value::Array(list) = self.node(of, element)? else { return unclear(format!("{name}() takes a list")) };
            return functions::run(looped, list, |item| self.node(body, Some(item)));
        }
        let arguments = arguments.iter().map(|node| self.node(node, element)).collect::<Result<Vec<_>, _>>()?;
        let made = match name.strip_prefix("sprig.") {
            Some(name) => sprig::call(name, &arguments, self.budget),
            None => functions::call(name, &arguments, self.budget),
        };
        made.and_then(|value| self.made(value))
    }

    fn truth(&self, node: &Node, element: Option<&Value>) -> Result<bool, Undecided> {
        match self.node(node, element)? {
            Value::Bool(value) => Ok(value),
            other => unclear(format!("{other} is neither true nor false")),
        }
    }

    fn whole(&self, node: &Node, element: Option<&Value>) -> Result<i64, Undecided> {
        let value = self.node(node, element)?;
        value.as_i64().map_or_else(|| unclear(format!("{value} is no whole number")), Ok)
    }

    fn binary(&self, operator: &str, left: &Node, right: &Node, element: Option<&Value>) -> Outcome {
        match operator {
            "&&" | "and" => return Ok((self.truth(left, element)? && self.truth(right, element)?).into()),
            "||" | "or" => return Ok((self.truth(left, element)? || self.truth(right, element)?).into()),
            "??" => {
                let value = self.node(left, element)?;
                return if value.is_null() { self.node(right, element) } else { Ok(value) };
            }
            _ => {}
        }
        let (left, right) = (self.node(left, element)?, self.node(right, element)?);
        self.budget.charge(functions::size(&left) + functions::size(&right))?;
        let texts = || match (&left, &right) {
            (Value::String(left), Value::String(right)) => Ok((left.as_str(), right.as_str())),
            _ => unclear(format!("{operator} takes two texts")),
        };
        Ok(match operator {
            "==" => equal(&left, &right).into(),
            "!=" => (!equal(&left, &right)).into(),
            "<" => (order(&left, &right)? == Ordering::Less).into(),
            ">" => (order(&left, &right)? == Ordering::Greater).into(),
            "<=" => (order(&left, &right)? != Ordering::Greater).into(),
            ">=" => (order(&left, &right)? != Ordering::Less).into(),
            "contains" => texts().map(|(text, part)| text.contains(part))?.into(),
            "startsWith" => texts().map(|(text, part)| text.starts_with(part))?.into(),
            "endsWith" => texts().map(|(text, part)| text.ends_with(part))?.into(),
            "matches" => {
                let (text, pattern) = texts()?;
                functions::regex(pattern, self.budget)?.is_match(text).into()
            }
            "in" => match (&left, &right) {
                (_, Value::Array(list)) => list.iter().any(|item| equal(item, &left)).into(),
                (Value::String(key), Value::Object(map)) => map.contains_key(key).into(),
                _ => return unclear("`in` takes a list or a map"),
            },
            ".." => self.range(&left, &right)?,
            _ => arithmetic(operator, &left, &right)?,
        })
    }

    fn range(&self, start: &Value, end: &Value) -> Outcome {
        match (start.as_i64(), end.as_i64()) {
            (Some(start), Some(end)) if end.saturating_sub(start) <= MAX_RANGE => {
                self.budget.charge(usize::try_from(end.saturating_sub(start)).unwrap_or(0))?;
                Ok((start..=end).map(Value::from).collect())
            }
            _ => unclear("a range takes two whole numbers that are not too far from each other"),
        }
    }
}

/// `a.b.c` written out.
fn constant_path(node: &Node) -> Option<String> {
    match node {
        Node::Name(name) => Some(name.clone()),
        Node::Member(of, key, _) => match &**key {
            Node::Value(Value::String(key)) if !key.contains('.') => Some(format!("{}.{key}", constant_path(of)?)),
            _ => None,
        },
        _ => None,
    }
}

/// Puts a text at `a.b.c`; what has parts already is kept.
fn put(tree: &mut Map<String, Value>, path: &str, text: &str) {
    match path.split_once('.') {
        None => {
            tree.entry(path).or_insert_with(|| text.into());
        }
        Some((head, rest)) => {
            let entry = tree.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            if let Value::Object(below) = entry {
                put(below, rest, text);
            }
        }
    }
}

/// The index that a number means; negative ones count from the end.
fn position(at: i64, length: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add_unsigned(length as u64)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn slice(of: &Value, start: Option<i64>, end: Option<i64>) -> Outcome {
    let length = match of {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        _ => return unclear("only texts and lists have parts"),
    };
    let bound = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add_unsigned(length as u64) } else { bound };
        usize::try_from(bound).unwrap_or(0).min(length)
    };
    let (start, end) = (bound(start.unwrap_or(0)), end.map_or(length, bound));
    let (start, end) = (start.min(end), end);
    match of {
        // Bytes: half a character becomes the sign for one.
        Value::String(text) => Ok(String::from_utf8_lossy(&text.as_bytes()[start..end]).into()),
        Value::Array(list) => Ok(list[start..end].into()),
        _ => Ok(Value::Null),
    }
}

pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left == right,
            _ => left.as_f64() == right.as_f64(),
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        _ => left == right,
    }
}

pub(super) fn order(left: &Value, right: &Value) -> Result<Ordering, Undecided> {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64().partial_cmp(&right.as_f64()),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    order.map_or_else(|| unclear(format!("{left} and {right} cannot be compared")), Ok)
}

pub(super) fn float(number: f64) -> Outcome {
    Number::from_f64(number).map_or_else(|| unclear("it comes to no number"), |number| Ok(Value::Number(number)))
}

fn negated(value: &Value) -> Outcome {
    match value.as_i64() {
        Some(number) => {
            number.checked_neg().map_or_else(|| unclear("a number is too large"), |number| Ok(number.into()))
        }
        None => value.as_f64().map_or_else(|| unclear(format!("{value} is no number")), |number| float(-number)),
    }
}

fn arithmetic(operator: &str, left: &Value, right: &Value) -> Outcome {
    if let (Value::String(left), Value::String(right), "+") = (left, right, operator) {
        return Ok(format!("{left}{right}").into());
    }
    let wrong = || unclear(format!("{left} {operator} {right} is not defined"));
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        let whole = match operator {
            "+" => left.checked_add(right),
            "-" => left.checked_sub(right),
            "*" => left.checked_mul(right),
            "%" => left.checked_rem(right),
            _ => None,
        };
        if matches!(operator, "+" | "-" | "*" | "%") {
            return whole.map_or_else(wrong, |number| Ok(number.into()));
        }
    }
    let (Some(left_number), Some(right_number)) = (left.as_f64(), right.as_f64()) else { return wrong() };
    match operator {
        "+" => float(left_number + right_number),
        "-" => float(left_number - right_number),
        "*" => float(left_number * right_number),
        "/" => float(left_number / right_number),
        "**" => float(left_number.powf(right_number)),
        _ => wrong(),
    }
}
