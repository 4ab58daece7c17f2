//! What `&&` says of one place twice.

use crate::policy::expr::eval::path;
use crate::policy::expr::tree::{Function, Node, Operator, Pair};

/// A constant that is equal to no other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Constant<'n> {
    Text(&'n str),
    Int(i64),
    Bool(bool),
}

/// Why not all can hold that `&&` joins: a place would have to be two things.
pub(super) fn contradiction(root: &Node) -> Option<String> {
    let mut said = Vec::new();
    collect(root, &mut said);
    said.iter().enumerate().find_map(|(i, (place, values))| {
        let mut before = said.iter().take(i).filter(|(other, _)| other == place);
        let (_, others) = before.find(|(_, others)| !values.iter().any(|value| others.contains(value)))?;
        Some(format!("`{place}` would have to be {} and {} at once", shown(others), shown(values)))
    })
}

/// Each place that is said to be a constant, or one of several.
fn collect<'n>(node: &'n Node, said: &mut Vec<(String, Vec<Constant<'n>>)>) {
    match node {
        Node::And(pair) => {
            collect(&pair.left, said);
            collect(&pair.right, said);
        }
        Node::Binary(Operator::Equal, pair) => said.extend(equal(pair)),
        Node::Binary(Operator::In, pair) => {
            let Node::List(elements) = &pair.right else { return };
            let values = elements.iter().map(|(element, optional)| constant(element).filter(|_| !optional));
            said.extend(place(&pair.left).zip(values.collect::<Option<Vec<_>>>()));
        }
        _ => {}
    }
}

fn equal(pair: &Pair) -> Option<(String, Vec<Constant<'_>>)> {
    let (at, value) = match constant(&pair.right) {
        Some(value) => (&pair.left, value),
        None => (&pair.right, constant(&pair.left)?),
    };
    Some((place(at)?, vec![value]))
}

/// Not fractions, which may be equal to whole numbers.
fn constant(node: &Node) -> Option<Constant<'_>> {
    match node {
        Node::Text(text) => Some(Constant::Text(text)),
        Node::Int(value) => Some(Constant::Int(*value)),
        Node::Bool(value) => Some(Constant::Bool(*value)),
        _ => None,
    }
}

/// A look-up that gives one and the same value wherever it is written like this.
fn place(node: &Node) -> Option<String> {
    match node {
        Node::Call(Function::OrValue, arguments) => match arguments.as_slice() {
            [of, Node::Text(other)] if is_look_up(of) => Some(format!("{}.orValue({other:?})", path(of))),
            _ => None,
        },
        _ => is_look_up(node).then(|| path(node)),
    }
}

fn is_look_up(node: &Node) -> bool {
    match node {
        Node::Variable(_) => true,
        Node::Index(pair) | Node::OptionalIndex(pair) => {
            let is_key = match &pair.right {
                // Such a key could be written like two.
                Node::Text(key) => !key.contains('\''),
                Node::Int(_) => true,
                _ => false,
            };
            is_key && is_look_up(&pair.left)
        }
        _ => false,
    }
}

fn shown(values: &[Constant<'_>]) -> String {
    let one = |value: &Constant<'_>| match value {
        Constant::Text(text) => format!("{text:?}"),
        Constant::Int(value) => value.to_string(),
        Constant::Bool(value) => value.to_string(),
    };
    match values {
        [value] => one(value),
        _ => format!("one of [{}]", values.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}
