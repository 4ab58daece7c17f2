//! What evaluating one expression may cost.

use std::cell::Cell;

use super::{Undecided, unclear};

/// Steps and bytes of one evaluation.
const LIMIT: usize = 1 << 20;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(LIMIT))
    }

    /// Pays for work about to be done, or for bytes about to be made.
    pub(super) fn charge(&self, cost: usize) -> Result<(), Undecided> {
        match self.0.get().checked_sub(cost) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => unclear("it would cost too much to evaluate"),
        }
    }
}
