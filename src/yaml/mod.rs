//! YAML as kubectl reads and writes it.
//!
//! A manifest means what the cluster's own tools make of it, so the rules are theirs: the splitter is that of
//! `k8s.io/apimachinery`, the scalars are those of go-yaml v2 beneath `sigs.k8s.io/yaml`. The characters become events in
//! `granit-parser`; everything from the event on is here. Data goes one way:
//!
//! bytes -> [`documents`] -> text -> events -> `walk` -> a tree, which is [`serde_json::Value`] by [`read`], or
//! [`Spanned`], or [`Tree`], which borrows from the text; and [`write()`] goes from `Value` and `Tree` back to bytes.
//!
//! # Invariants
//!
//! 1. **One reader.** [`read`], [`Spanned::read`] and [`Tree::read`] share the walker and the scalar rules: they accept the same texts
//!    and give the same JSON.
//! 2. **Same as kubectl.** Where both accept a document they give the same JSON (`tests/yaml/oracle` asks the Go library
//!    itself). That JSON is what counts: `1.0` and `1e3` become integers, `yes`, `on` and `y` booleans, `0777` is 511, keys
//!    become strings, `!!binary` is decoded, a merge key has effect in its place in the map.
//! 3. **What is written stays itself.** [`read`] of [`write()`] is the same JSON, up to floats that are integers, and no
//!    reader of YAML 1.1 or 1.2 sees another type: in doubt there are quotes.
//! 4. **Bounded.** One document in memory at a time, of at most [`MAX_DOCUMENT`] bytes; 100 levels, a million nodes and
//!    64 MiB of copied text per document, aliases expanded. The time is linear in these.
//! 5. **One fault, one document.** A broken document is one error; the documents after it are found wherever a
//!    separator, or for JSON a line that starts with `{`, shows where they start.
//! 6. **Places are those of the file.** Every error and every span counts lines from the start of the file.
//!
//! # Where kubectl differs
//!
//! - A key written twice is an error here, with both lines; kubectl takes the last, unless it validates strictly.
//! - Text after the first document of one text (`...`, or a scalar that ends early) is an error here; kubectl drops it.
//! - Refused here: an alias as a key, depth over 100. Refused by kubectl only: surrogate pairs in escapes, a tab after `-`,
//!   `%YAML` lines and a leading `[` with several JSON documents.
//! - NEL, LS and PS are content here (YAML 1.2), line breaks there (YAML 1.1). The writer escapes them.
//! - Written here in double quotes: text with tabs outside blocks, blocks that start with a space, whatever `PyYAML` or Psych
//!   take for a number. Keys keep their order; kubectl sorts them.

mod comments;
mod documents;
mod edit;
mod entries;
mod error;
mod json_scan;
mod number;
mod resolve;
mod spanned;
mod style;
mod tree;
mod value;
mod walk;
mod window;
mod write;

pub use comments::{Comment, comments};
pub use documents::{Document, DocumentError, Documents, Format, MAX_DOCUMENT, documents, documents_up_to};
pub use edit::{Edit, EditError, edit};
pub use error::{Span, YamlError};
pub use spanned::{Key, Kind, Node, Spanned};
pub use tree::{Leaf, Tree};
pub use value::read;
pub use write::{write, write_stream};

#[cfg(test)]
mod tests;
