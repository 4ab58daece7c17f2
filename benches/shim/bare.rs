//! Fork, exec, wait: the least that stands between a command and whoever started it. `scripts/bench` builds it, static.

use std::env;
use std::process::{Command, exit};

fn main() {
    let mut words = env::args_os().skip(1);
    let Some(program) = words.next() else { exit(2) };
    let code = Command::new(program).args(words).status().ok().and_then(|status| status.code());
    exit(code.unwrap_or(1));
}
