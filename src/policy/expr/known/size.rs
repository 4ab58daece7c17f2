//! Sizes, of which it is known what they are not below.

use super::value::Is;
use crate::policy::expr::eval::path;
use crate::policy::expr::tree::{Node, Operator, Pair};

/// The smallest size that something has on any pod: each has a container, and the Workflow that owns it.
pub(super) fn least(of: &Node) -> i64 {
    i64::from(matches!(path(of).as_str(), "pod.spec.containers" | "pod.metadata.ownerReferences"))
}

/// Whether a size compares to a constant as asked, on every pod or on none, and why; `None` where that depends on the pod.
pub(super) fn compared(operator: Operator, left: &Is, right: &Is, pair: &Pair) -> Option<(bool, String)> {
    let (operator, least, value, size) = match (left, right) {
        (Is::AtLeast(least), Is::Int(value)) => (operator, *least, *value, &pair.left),
        (Is::Int(value), Is::AtLeast(least)) => (turned(operator), *least, *value, &pair.right),
        _ => return None,
    };
    let holds = match operator {
        Operator::Less => (value <= least).then_some(false),
        Operator::LessOrEqual | Operator::Equal => (value < least).then_some(false),
        Operator::Greater => (value < least).then_some(true),
        Operator::GreaterOrEqual => (value <= least).then_some(true),
        _ => None,
    }?;
    let why = match size {
        Node::Call(_, arguments) if least > 0 => {
            format!("`{}` is never empty", arguments.first().map(path).unwrap_or_default())
        }
        _ => format!("a size is never below {least}"),
    };
    Some((holds, why))
}

/// The operator that says the same with its sides exchanged.
fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        other => other,
    }
}
