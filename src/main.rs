//! stepspan.
fn main() {}
