//! YAML as kubectl reads and writes it.

mod documents;
mod error;
mod json_scan;
mod number;
mod resolve;
mod spanned;
mod style;
mod value;
mod walk;
mod window;
mod write;

pub use documents::{Document, DocumentError, Documents, Format, MAX_DOCUMENT, documents, documents_up_to};
pub use error::{Span, YamlError};
pub use spanned::{Key, Kind, Node, Spanned};
pub use value::read;
pub use write::{write, write_stream};

#[cfg(test)]
mod tests;
