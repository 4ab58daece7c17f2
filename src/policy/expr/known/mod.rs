//! What can be said of an expression before there is a pod: that it can never be true on a pod of Argo, and which look-ups fail
//! where a key is missing.
//!
//! Both answers are on the safe side: what is called impossible is impossible on every pod that [`shape`] describes, and nothing is
//! said where the shape is not known. Tests hold both against recorded pods and generated expressions.

mod conjunction;
mod guards;
mod possible;
mod shape;
mod size;
mod value;

pub(super) use guards::unguarded;
pub(super) use possible::never_true;

#[cfg(test)]
mod tests;
