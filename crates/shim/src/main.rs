//! The entrypoint that stands between Argo's emissary and a step's command: makes the step one span, and never costs it anything.
//!
//! Read in this order: [`args`], [`run`] (what happens when), [`step`] (what is known before the command starts), [`command`] (processes
//! and signals), [`report`] (what its end makes known), [`otlp`] (bytes), [`export`] (how they get out); [`init`] is the init container's part.
//!
//! There is no `main` of the standard library's kind: its start-up ignores SIGPIPE, and the command would inherit that.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(
    test,
    allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "the entry point is not a test's; tests may stop")
)]

mod args;
mod attributes;
mod child_env;
mod command;
mod dns;
mod export;
mod exporter;
mod identity;
mod init;
mod otlp;
mod report;
mod run;
mod step;

use std::io::Write;

use args::Call;

/// The shim was called wrongly.
const MISUSE: i32 = 2;

#[cfg(not(test))]
#[unsafe(no_mangle)]
#[allow(
    unsafe_code,
    reason = "the C entry point; the standard library has read its arguments by then (glibc passes them to initialisers)"
)]
extern "C" fn main() -> i32 {
    entry()
}

fn entry() -> i32 {
    let began = run::Began::now();
    // What a panic would print is no business of the step's stderr; who catches it says a line.
    std::panic::set_hook(Box::new(|_| {}));
    command::open_standard_streams();
    let mut arguments = std::env::args_os();
    let shim = arguments.next().unwrap_or_default();
    match args::parse(arguments) {
        Some(Call::Run { name, argv }) => run::run(name, argv, &shim.to_string_lossy(), began),
        Some(Call::Init(asked)) => init::init(&asked),
        Some(Call::Version) => {
            let _ = writeln!(std::io::stdout(), "stepspan-shim {}", env!("CARGO_PKG_VERSION"));
            0
        }
        None => {
            let _ = writeln!(std::io::stderr(), "{}", args::USAGE);
            MISUSE
        }
    }
}
