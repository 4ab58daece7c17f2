//! Where policies come from.

pub mod files;
#[cfg(feature = "webhook")]
pub mod pause;
#[cfg(feature = "webhook")]
pub mod store;
