//! The step's command: found, started and waited for, exactly as if nothing stood between it and who started us.
//!
//! Signals are blocked here and read one by one, never caught: no disposition changes, so the command inherits what we
//! inherited. Between fork and exec the command gets the signal mask back that we were started with.

mod image;
mod quiet;
mod search;
mod start;
mod supervise;

pub use image::{Environment, Image};
pub use quiet::{ignore_broken_pipes, write_quietly};
pub use start::{Blocked, Failure, Started, exec, open_standard_streams, start};
pub use supervise::{Event, Supervisor, wait};

use nix::libc;
use nix::sys::signal::Signal;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with an exit code of 0 to 255.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Ended {
    /// The exit code that says so: the command's own, or 128 + n after signal n (POSIX shell, "Exit status for commands").
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128 + number,
        }
    }

    /// The signal's name, such as `SIGTERM`.
    pub fn signal_name(self) -> Option<String> {
        let Self::Signal(number) = self else { return None };
        let real_time = || format!("SIGRTMIN+{}", number - libc::SIGRTMIN());
        Some(Signal::try_from(number).map_or_else(|_| real_time(), |signal| signal.as_str().to_owned()))
    }
}
