//! Tests of this room: by hand, by property, and against the library that kubectl uses.

mod documents;
mod edit;
mod oracle;
mod read;
mod spanned;
mod tree;
mod write;
