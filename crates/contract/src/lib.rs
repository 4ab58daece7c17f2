//! What the webhook and the shim must agree on: names, the shim's configuration and the texts identities are hashed from.
//!
//! The webhook writes a [`Config`] into the environment of a step container; the shim, perhaps of another version, reads it
//! inside the pod. So the format is one line a field, unknown fields are ignored, and nothing here has dependencies.

pub mod attributes;
mod config;
pub mod env;
pub mod identity;
pub mod names;
pub mod traceparent;

pub use config::{Config, ConfigError, EnvRule, IdentityLine, OnConflict, Parent};
