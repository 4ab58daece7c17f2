//! Where policies come from.

#[cfg(feature = "webhook")]
pub mod content;
#[cfg(feature = "webhook")]
pub mod facts;
pub mod files;
#[cfg(feature = "webhook")]
pub mod pause;
#[cfg(feature = "webhook")]
pub mod resources;
#[cfg(feature = "webhook")]
pub mod store;
