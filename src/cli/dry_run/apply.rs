//! A patch applied to a tree: the same result as [`patch::apply`](crate::patch::apply), with nothing copied.

use std::borrow::Cow;

use crate::json::{Json, index, unescape};
use crate::patch::{Action, Op};
use crate::yaml::{Leaf, Tree};

/// What stands at the ends of a tree that can be patched.
pub(super) trait End<'a>: Sized {
    /// The map or sequence that this stands for, one level of it; `None` for a scalar.
    fn open(&self) -> Option<Tree<'a, Self>>;
    /// What an operation brings in.
    fn brought(value: &'a Json<'a>) -> Tree<'a, Self>;
}

impl<'a> End<'a> for Leaf<'a> {
    fn open(&self) -> Option<Tree<'a>> {
        None
    }

    fn brought(value: &'a Json<'a>) -> Tree<'a> {
        value.into()
    }
}

/// Applies operations in order; `None` where one does not apply, or cannot be applied so. The tree is then half patched.
pub(super) fn apply<'a, L: End<'a>>(tree: &mut Tree<'a, L>, patch: &'a [Op]) -> Option<()> {
    patch.iter().try_for_each(|op| apply_one(tree, op))
}

fn apply_one<'a, L: End<'a>>(tree: &mut Tree<'a, L>, op: &'a Op) -> Option<()> {
    let (parent, last) = op.path.rsplit_once('/')?;
    let mut target = tree;
    for segment in parent.split('/').skip(1) {
        target = match opened(target)? {
            Tree::Map(entries) => {
                let key = unescape(segment);
                entries.iter_mut().find(|(known, _)| *known == key).map(|(_, value)| value)?
            }
            Tree::Sequence(items) => items.get_mut(index(segment)?)?,
            Tree::Leaf(_) => return None,
        };
    }
    match opened(target)? {
        Tree::Map(entries) => change_entry(entries, unescape(last), &op.action),
        Tree::Sequence(items) => change_item(items, last, &op.action),
        Tree::Leaf(_) => None,
    }
}

fn opened<'t, 'a, L: End<'a>>(tree: &'t mut Tree<'a, L>) -> Option<&'t mut Tree<'a, L>> {
    if let Tree::Leaf(leaf) = tree {
        *tree = leaf.open()?;
    }
    Some(tree)
}

fn change_entry<'a, L: End<'a>>(
    entries: &mut Vec<(Cow<'a, str>, Tree<'a, L>)>,
    key: Cow<'a, str>,
    action: &'a Action,
) -> Option<()> {
    let at = entries.iter().position(|(known, _)| *known == key);
    match (action, at) {
        (Action::Add(value) | Action::Replace(value), Some(at)) => entries.get_mut(at)?.1 = L::brought(value),
        (Action::Add(value), None) => entries.push((key, L::brought(value))),
        (Action::Remove, Some(at)) => drop(entries.remove(at)),
        (Action::Replace(_) | Action::Remove, None) => return None,
    }
    Some(())
}

fn change_item<'a, L: End<'a>>(items: &mut Vec<Tree<'a, L>>, last: &str, action: &'a Action) -> Option<()> {
    let at = if last == "-" { items.len() } else { index(last)? };
    match action {
        Action::Add(value) if at <= items.len() => items.insert(at, L::brought(value)),
        Action::Replace(value) => *items.get_mut(at)? = L::brought(value),
        Action::Remove if at < items.len() => drop(items.remove(at)),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch;
    use crate::patch::tests::{document, op};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_tree_is_patched_as_its_value_is(document in document(), ops in prop::collection::vec(op(), 0..4)) {
            let mut expected = document.clone();
            let applies = patch::apply(&mut expected, &ops).is_ok();
            let mut tree = Tree::from(&document);
            prop_assert_eq!(apply(&mut tree, &ops).is_some(), applies);
            if applies {
                prop_assert_eq!(serde_json::to_string(&tree).unwrap(), expected.to_string());
            }
        }
    }
}
