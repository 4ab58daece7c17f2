//! The door: everything else is in the library.

use std::process::ExitCode;

/// A review is made of many small pieces; this allocator takes a fraction of the time of libc's for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stepspan::cli::main()
}
