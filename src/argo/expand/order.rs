//! What depends on one another, each after what it depends on.

use std::collections::BTreeSet;

/// The targets and all that they need, each once.
///
/// # Errors
/// One that needs itself.
pub(super) fn of<'g>(
    targets: impl DoubleEndedIterator<Item = &'g str>,
    needed: impl Fn(&str) -> Vec<&'g str>,
) -> Result<Vec<&'g str>, &'g str> {
    let (mut order, mut done, mut open) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    // A stack of our own: what is written may be as deep as it likes.
    let mut todo: Vec<(&str, bool)> = targets.rev().map(|target| (target, false)).collect();
    while let Some((name, left)) = todo.pop() {
        if left {
            open.remove(name);
            done.insert(name);
            order.push(name);
        } else if !done.contains(name) {
            if !open.insert(name) {
                return Err(name);
            }
            todo.push((name, true));
            todo.extend(needed(name).into_iter().rev().filter(|one| !done.contains(one)).map(|one| (one, false)));
        }
    }
    Ok(order)
}
