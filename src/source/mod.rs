//! Where policies come from.

#[cfg(feature = "webhook")]
pub mod store;
