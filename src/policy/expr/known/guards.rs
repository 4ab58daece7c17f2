//! Which look-ups of an expression fail on a pod that has not the key: nothing beside them in the expression has asked for it.
//!
//! `&&` and `||` do not care for order (an error on one side is no error where the other decides), so a guard counts on either side, and
//! a look-up counts only where the expression comes to nothing without the key.

use std::collections::BTreeSet;

use super::possible;
use super::shape::{Entry, Shape};
use crate::policy::expr::eval::{is_plain_name, path};
use crate::policy::expr::tree::{Function, Node, Operator, Pair};

/// Places that are known to be there, as an expression would write them.
type Present = BTreeSet<String>;

/// The look-ups without a guard, each once, in the order of the expression: `(where, how to write it so that the key may be absent)`.
pub(in crate::policy::expr) fn unguarded(root: &Node) -> Vec<(String, String)> {
    let mut found = Vec::new();
    visit(root, &Present::new(), &mut found);
    found.retain(|(at, _)| possible::needs(root, at));
    found
}

fn visit(node: &Node, present: &Present, found: &mut Vec<(String, String)>) {
    match node {
        Node::And(pair) => both(pair, true, present, found),
        Node::Or(pair) => both(pair, false, present, found),
        Node::Conditional(parts) => {
            let [condition, yes, no] = &**parts;
            visit(condition, present, found);
            visit(yes, &with(present, &implied(condition, true)), found);
            visit(no, &with(present, &implied(condition, false)), found);
        }
        Node::Index(pair) => {
            visit(&pair.left, present, found);
            visit(&pair.right, present, found);
            if let Some(advice) = missing(pair, node, present)
                && !found.contains(&advice)
            {
                found.push(advice);
            }
        }
        // What an optional look-up is made on has to be there, but for what is optional itself.
        _ => node.children(&mut |child| visit(child, present, found)),
    }
}

/// Each side of `&&` (or `||`) counts only where the other is true (or false).
fn both(pair: &Pair, value: bool, present: &Present, found: &mut Vec<(String, String)>) {
    visit(&pair.left, &with(present, &implied(&pair.right, value)), found);
    visit(&pair.right, &with(present, &implied(&pair.left, value)), found);
}

fn with(present: &Present, more: &Present) -> Present {
    present.union(more).cloned().collect()
}

/// What to write instead of a look-up whose key may be missing.
fn missing(pair: &Pair, whole: &Node, present: &Present) -> Option<(String, String)> {
    let Node::Text(key) = &pair.right else { return None };
    // An optional gives an optional.
    if is_optional(&pair.left) {
        return None;
    }
    let map = possible::map_of(&pair.left)?;
    let (at, of) = (path(whole), path(&pair.left));
    let Entry::Maybe(shape) = map.entry(key) else { return None };
    if present.contains(&at) {
        return None;
    }
    let other = match shape {
        Shape::Text(_) | Shape::Exactly(_) | Shape::Anything => "''",
        Shape::Int => "0",
        Shape::Bool => "false",
        Shape::Map(_) => "{}",
        Shape::List(_) => "[]",
    };
    let instead = if is_plain_name(key) {
        format!("write has({at}) && ..., or {of}.?{key}.orValue({other})")
    } else {
        format!("write '{key}' in {of} && ..., or {of}[?'{key}'].orValue({other})")
    };
    Some((at, instead))
}

fn is_optional(node: &Node) -> bool {
    match node {
        Node::OptionalIndex(_) => true,
        Node::Index(pair) => is_optional(&pair.left),
        _ => false,
    }
}

/// What is there for certain where a condition is `value`.
fn implied(condition: &Node, value: bool) -> Present {
    match (condition, value) {
        (Node::Not(of), value) => implied(of, !value),
        (Node::Has(of, field), true) => Present::from([place(of, field)]),
        (Node::Binary(Operator::In, pair), true) => match &pair.left {
            Node::Text(key) => Present::from([place(&pair.right, key)]),
            _ => Present::new(),
        },
        (Node::Call(Function::HasValue, arguments), true) => match arguments.first() {
            Some(Node::OptionalIndex(pair)) => match &pair.right {
                Node::Text(key) => Present::from([place(&pair.left, key)]),
                _ => Present::new(),
            },
            _ => Present::new(),
        },
        (Node::And(pair), true) | (Node::Or(pair), false) => {
            with(&implied(&pair.left, value), &implied(&pair.right, value))
        }
        (Node::And(pair), false) | (Node::Or(pair), true) => {
            implied(&pair.left, value).intersection(&implied(&pair.right, value)).cloned().collect()
        }
        _ => Present::new(),
    }
}

/// As [`path`] writes a look-up of `key` on `of`.
pub(super) fn place(of: &Node, key: &str) -> String {
    if is_plain_name(key) { format!("{}.{key}", path(of)) } else { format!("{}['{key}']", path(of)) }
}
