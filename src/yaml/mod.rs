//! YAML as kubectl reads and writes it.

mod error;
mod number;
mod resolve;
mod spanned;
mod value;
mod walk;

pub use error::{Span, YamlError};
pub use spanned::{Key, Kind, Node, Spanned};
pub use value::read;
