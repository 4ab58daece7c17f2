//! The entrypoint that stands between Argo's emissary and a step's command: makes the step one span, and never costs it anything.
//!
//! Read in this order: [`args`], [`run`] (what happens when), [`step`] (what is known before the command starts), [`command`] (processes
//! and signals), [`report`] (what its end makes known), [`outbox`] (what is sent when), [`otlp`] (bytes), [`export`]
//! (how they get out), [`relay`] (how the spans of a step's parts get to it); [`init`] is the init container's part.
//!
//! A library only so that its readers of what others write can be fuzzed; the program is [`entry`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, reason = "tests stop where something is wrong"))]

mod args;
mod attributes;
mod child_env;
mod command;
pub mod dns;
pub mod export;
mod exporter;
mod identity;
mod init;
pub mod otlp;
mod outbox;
mod relay;
mod report;
mod run;
mod step;

use std::io::Write;

use args::Call;

/// The shim was called wrongly.
const MISUSE: i32 = 2;

/// The whole program, from arguments to exit code.
pub fn entry() -> i32 {
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
