//! Walks a compiled tree over a scope. Each node visited, and each unit of work below it, is charged first.

use std::cmp::Ordering;
use std::rc::Rc;

use super::bounds::{LOOPS, Meter};
use super::error::EvalError;
use super::functions;
use super::scope::Scope;
use super::tree::{Function, Loop, LoopKind, Node, Operator, Pair};
use super::value::Item;

/// Evaluates a whole expression.
pub(super) fn evaluate<'a>(root: &'a Node, scope: &'a Scope<'a>) -> Result<Item<'a>, EvalError> {
    Evaluation { scope, slots: [Item::Null, Item::Null], meter: Meter::new() }.node(root)
}

struct Evaluation<'a> {
    scope: &'a Scope<'a>,
    /// The variables of the loops, by the number of the loop.
    slots: [Item<'a>; LOOPS],
    meter: Meter,
}

impl<'a> Evaluation<'a> {
    fn node(&mut self, node: &'a Node) -> Result<Item<'a>, EvalError> {
        self.meter.charge(1)?;
        match node {
            Node::Null => Ok(Item::Null),
            Node::Bool(value) => Ok(Item::Bool(*value)),
            Node::Int(value) => Ok(Item::Int(*value)),
            Node::Double(value) => Ok(Item::Double(*value)),
            Node::Text(text) => Ok(Item::from(&**text)),
            // The one variable that may be unknown.
            Node::Variable(variable) => self.scope.item(*variable).ok_or(EvalError::NamespaceLabelsUnknown),
            Node::Slot(slot, _) => Ok(self.slots.get(*slot).cloned().unwrap_or(Item::Null)),
            Node::Index(pair) => self.index(pair),
            Node::OptionalIndex(pair) => self.optional_index(pair),
            Node::Has(of, field) => self.has(of, field),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Not(of) => match self.node(of)? {
                Item::Bool(value) => Ok(Item::Bool(!value)),
                other => Err(mismatch("!", &[&other])),
            },
            Node::Negate(of) => match self.node(of)? {
                Item::Int(value) => value.checked_neg().map(Item::Int).ok_or(EvalError::Overflow("-")),
                Item::Double(value) => Ok(Item::Double(-value)),
                other => Err(mismatch("-", &[&other])),
            },
            Node::And(pair) => self.connect("&&", pair, false),
            Node::Or(pair) => self.connect("||", pair, true),
            Node::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                let branch = if self.condition("?", condition)? { yes } else { no };
                self.node(branch)
            }
            Node::Binary(operator, pair) => {
                let left = self.node(&pair.left)?;
                let right = self.node(&pair.right)?;
                self.binary(*operator, &left, &right)
            }
            Node::Call(function, arguments) => {
                let arguments = arguments.iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>()?;
                functions::call(*function, &arguments, &mut self.meter)
            }
            Node::Matches(text, pattern) => match self.node(text)? {
                Item::Text(text) => pattern.is_match(&text, &mut self.meter).map(Item::Bool),
                other => Err(mismatch("matches", &[&other])),
            },
            Node::Loop(of) => self.comprehension(of),
        }
    }

    fn condition(&mut self, operation: &'static str, node: &'a Node) -> Result<bool, EvalError> {
        match self.node(node)? {
            Item::Bool(value) => Ok(value),
            other => Err(mismatch(operation, &[&other])),
        }
    }

    /// `&&` and `||`: one side that equals `decisive` decides, even beside an error on the other.
    fn connect(&mut self, operation: &'static str, pair: &'a Pair, decisive: bool) -> Result<Item<'a>, EvalError> {
        let left = self.condition(operation, &pair.left);
        match left {
            Ok(value) if value == decisive => return Ok(Item::Bool(decisive)),
            Err(error) if error.is_bound() => return Err(error),
            _ => {}
        }
        match (left, self.condition(operation, &pair.right)) {
            (_, Ok(value)) if value == decisive => Ok(Item::Bool(decisive)),
            (_, Err(error)) if error.is_bound() => Err(error),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(Item::Bool(!decisive)),
        }
    }

    /// `of.key` and `of[key]`; on an optional they yield an optional.
    fn index(&mut self, pair: &'a Pair) -> Result<Item<'a>, EvalError> {
        let of = self.node(&pair.left)?;
        let key = self.node(&pair.right)?;
        match of {
            Item::Optional(None) => Ok(Item::Optional(None)),
            Item::Optional(Some(of)) => self.maybe(&of, &key, pair),
            of => self.look_up(&of, &key, pair),
        }
    }

    fn optional_index(&mut self, pair: &'a Pair) -> Result<Item<'a>, EvalError> {
        let of = self.node(&pair.left)?;
        let key = self.node(&pair.right)?;
        match of {
            Item::Optional(None) => Ok(Item::Optional(None)),
            Item::Optional(Some(of)) => self.maybe(&of, &key, pair),
            of => self.maybe(&of, &key, pair),
        }
    }

    /// A look-up whose failure is an optional without a value, whatever the failure: null and other values without
    /// keys count as maps without entries here.
    fn maybe(&mut self, of: &Item<'a>, key: &Item<'a>, pair: &'a Pair) -> Result<Item<'a>, EvalError> {
        match self.look_up(of, key, pair) {
            Ok(value) => Ok(Item::Optional(Some(Rc::new(value)))),
            Err(error) if error.is_bound() => Err(error),
            Err(_) => Ok(Item::Optional(None)),
        }
    }

    fn look_up(&mut self, of: &Item<'a>, key: &Item<'a>, pair: &'a Pair) -> Result<Item<'a>, EvalError> {
        match (of.type_name(), key) {
            ("map", Item::Text(text)) => self.meter.charge_text(text.len())?,
            ("map", Item::Int(_) | Item::Double(_) | Item::Bool(_)) => {}
            ("list", Item::Int(_) | Item::Double(_)) => {
                let index = key.as_whole().ok_or_else(|| mismatch("[]", &[of, key]))?;
                let element = usize::try_from(index).ok().and_then(|index| of.element(index));
                let missing = || EvalError::NoSuchElement { index, size: of.len().unwrap_or(0) };
                return element.ok_or_else(missing);
            }
            _ => return Err(mismatch("[]", &[of, key])),
        }
        if let Some(value) = of.entry(key, &mut self.meter)? {
            return Ok(value);
        }
        // Making the message costs more than the look-up.
        self.meter.charge(20)?;
        Err(no_such_key(&pair.left, key))
    }

    fn has(&mut self, of: &'a Node, field: &'a str) -> Result<Item<'a>, EvalError> {
        match self.node(of)? {
            Item::Optional(None) => Ok(Item::Bool(false)),
            Item::Optional(Some(of)) => Ok(Item::Bool(of.entry(&Item::from(field), &mut self.meter)?.is_some())),
            of if of.type_name() == "map" => Ok(Item::Bool(of.entry(&Item::from(field), &mut self.meter)?.is_some())),
            of => Err(mismatch("has", &[&of])),
        }
    }

    fn list(&mut self, elements: &'a [(Node, bool)]) -> Result<Item<'a>, EvalError> {
        let mut list = Vec::with_capacity(elements.len());
        for (node, optional) in elements {
            list.extend(unwrap(self.node(node)?, *optional));
        }
        Ok(Item::List(list.into()))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Result<Item<'a>, EvalError> {
        let mut map: Vec<(Item<'a>, Item<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.node(key)?;
            let value = self.node(value)?;
            if !matches!(key, Item::Text(_) | Item::Int(_) | Item::Bool(_)) {
                return Err(EvalError::Key(key.type_name().to_owned()));
            }
            let Some(value) = unwrap(value, *optional) else { continue };
            for (known, _) in &map {
                if known.equals(&key, &mut self.meter)? {
                    return Err(EvalError::Key(format!("{} is there twice", shown(&key))));
                }
            }
            map.push((key, value));
        }
        Ok(Item::Map(map.into()))
    }

    fn binary(&mut self, operator: Operator, left: &Item<'a>, right: &Item<'a>) -> Result<Item<'a>, EvalError> {
        let meter = &mut self.meter;
        let ordered = |meter: &mut Meter, holds: fn(Ordering) -> bool| match left.compare(right, meter)? {
            Some(order) => Ok(Item::Bool(holds(order))),
            None => Err(mismatch(operator.symbol(), &[left, right])),
        };
        match operator {
            Operator::Equal => Ok(Item::Bool(left.equals(right, meter)?)),
            Operator::NotEqual => Ok(Item::Bool(!left.equals(right, meter)?)),
            Operator::Less => ordered(meter, Ordering::is_lt),
            Operator::LessOrEqual => ordered(meter, Ordering::is_le),
            Operator::Greater => ordered(meter, Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(meter, Ordering::is_ge),
            Operator::In => functions::contained(left, right, meter),
            Operator::Add => functions::add(left, right, meter),
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                functions::calculate(operator, left, right)
            }
        }
    }

    fn comprehension(&mut self, of: &'a Loop) -> Result<Item<'a>, EvalError> {
        let range = self.node(&of.range)?;
        let (Some(count), Some(elements)) = (range.len(), range.iterate()) else {
            return Err(mismatch(loop_name(of.kind), &[&range]));
        };
        self.meter.charge_elements(count)?;
        let mut collected = Vec::new();
        let mut holding = 0_usize;
        let mut pending = None;
        for element in elements {
            if let Some(slot) = self.slots.get_mut(of.slot) {
                *slot = element.clone();
            }
            let holds = match &of.condition {
                Some(condition) => self.condition(loop_name(of.kind), condition),
                None => Ok(true),
            };
            match (of.kind, holds) {
                (LoopKind::All, Ok(false)) => return Ok(Item::Bool(false)),
                (LoopKind::Exists, Ok(true)) => return Ok(Item::Bool(true)),
                // Another element may still decide.
                (LoopKind::All | LoopKind::Exists, Err(error)) if !error.is_bound() => pending = Some(error),
                (_, Err(error)) => return Err(error),
                (LoopKind::Map, Ok(true)) => {
                    if let Some(yields) = &of.yields {
                        collected.push(self.node(yields)?);
                    }
                }
                (LoopKind::Filter, Ok(true)) => collected.push(element),
                (_, Ok(holds)) => holding += usize::from(holds),
            }
        }
        match (of.kind, pending) {
            (_, Some(error)) => Err(error),
            (LoopKind::All, None) => Ok(Item::Bool(true)),
            (LoopKind::Exists, None) => Ok(Item::Bool(false)),
            (LoopKind::ExistsOne, None) => Ok(Item::Bool(holding == 1)),
            (LoopKind::Filter | LoopKind::Map, None) => Ok(Item::List(collected.into())),
        }
    }
}

fn loop_name(kind: LoopKind) -> &'static str {
    match kind {
        LoopKind::All => "all",
        LoopKind::Exists => "exists",
        LoopKind::ExistsOne => "exists_one",
        LoopKind::Filter => "filter",
        LoopKind::Map => "map",
    }
}

/// What `?element` and `?key: value` add.
fn unwrap(item: Item<'_>, optional: bool) -> Option<Item<'_>> {
    match item {
        Item::Optional(inner) if optional => inner.map(|inner| (*inner).clone()),
        item => Some(item),
    }
}

/// The error of an operator or function that got what it can't work on.
pub(super) fn mismatch(operation: &'static str, operands: &[&Item<'_>]) -> EvalError {
    let operands = operands.iter().map(|operand| operand.type_name()).collect::<Vec<_>>().join(" and ");
    EvalError::Mismatch { operation, operands }
}

/// The error of a missing key, with the expression that allows for its absence.
fn no_such_key(of: &Node, key: &Item<'_>) -> EvalError {
    let of = path(of);
    let plain = matches!(key, Item::Text(text) if is_plain_name(text));
    let key = shown(key);
    let hint = if plain {
        format!("write has({of}.{key}) or {of}.?{key}.orValue('')")
    } else {
        format!("write '{key}' in {of} or {of}[?'{key}'].orValue('')")
    };
    EvalError::NoSuchKey { key, hint }
}

/// An expression like the one a look-up was made on, for a message.
pub(super) fn path(node: &Node) -> String {
    match node {
        Node::Variable(variable) => variable.name().to_owned(),
        Node::Slot(_, name) => name.to_string(),
        Node::Index(pair) | Node::OptionalIndex(pair) => match &pair.right {
            Node::Text(key) if is_plain_name(key) => format!("{}.{key}", path(&pair.left)),
            Node::Text(key) => format!("{}['{key}']", path(&pair.left)),
            Node::Int(index) => format!("{}[{index}]", path(&pair.left)),
            _ => format!("{}[...]", path(&pair.left)),
        },
        Node::Call(Function::OrValue, arguments) => arguments.first().map_or_else(|| "...".to_owned(), path),
        _ => "...".to_owned(),
    }
}

pub(super) fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A value in a message: the first 64 characters of it.
pub(super) fn shown(item: &Item<'_>) -> String {
    match item {
        Item::Text(text) => text.chars().take(64).collect(),
        Item::Int(value) => value.to_string(),
        Item::Double(value) => value.to_string(),
        Item::Bool(value) => value.to_string(),
        other => other.type_name().to_owned(),
    }
}
