//! The entrypoint that stands between Argo's emissary and a step's command.
//!
//! Today it only runs the command: `stepspan-shim run -- CMD ARGS...` replaces itself by CMD, so argv, environment, signals,
//! file descriptors and the exit code are the command's own.

use std::{env, ffi::OsString, io, os::unix::process::CommandExt, process::Command};

/// `execvp` could not find the command (POSIX shell convention).
const NOT_FOUND: i32 = 127;
/// The command was found and could not be executed.
const NOT_EXECUTABLE: i32 = 126;
/// The shim was called wrongly.
const USAGE: i32 = 2;

fn main() {
    let code = match argv(env::args_os().skip(1)) {
        Some((program, arguments)) => run(&program, &arguments),
        None => fail("usage: stepspan-shim run -- COMMAND [ARGUMENT ...]", USAGE),
    };
    std::process::exit(code);
}

fn argv(mut arguments: impl Iterator<Item = OsString>) -> Option<(OsString, Vec<OsString>)> {
    if arguments.next()? != "run" || arguments.next()? != "--" {
        return None;
    }
    Some((arguments.next()?, arguments.collect()))
}

/// Does not return where the command could be executed.
fn run(program: &OsString, arguments: &[OsString]) -> i32 {
    let private = env::vars_os().map(|(name, _)| name).filter(is_private);
    let mut command = Command::new(program);
    command.args(arguments);
    for name in private {
        command.env_remove(name);
    }
    let error = command.exec();
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    fail(&format!("stepspan-shim: cannot run {}: {error}", program.display()), code)
}

fn is_private(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(stepspan_contract::names::PRIVATE_PREFIX.as_bytes())
}

#[allow(clippy::print_stderr, reason = "stderr is where a step's author looks for why the command did not start")]
fn fail(message: &str, code: i32) -> i32 {
    eprintln!("{message}");
    code
}
