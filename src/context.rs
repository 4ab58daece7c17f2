//! Everything `review` may know besides the bytes and the policies: plain data, printable, saved with a record.

/// The facts of the place a review runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {}
