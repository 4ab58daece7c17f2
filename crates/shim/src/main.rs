//! The program; see the library.
//!
//! There is no `main` of the standard library's kind: its start-up ignores SIGPIPE, and the command would inherit that.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
#[unsafe(no_mangle)]
#[allow(
    unsafe_code,
    reason = "the C entry point; the standard library has read its arguments by then (glibc passes them to initialisers)"
)]
extern "C" fn main() -> i32 {
    stepspan_shim::entry()
}
