//! Fork and exec.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, execve, fork, getpid, pipe2, setpgid, tcgetpgrp, tcsetpgrp, write};

use super::image::Image;

/// Signals that mean a fault of our own: never blocked. Those of a terminal's job control stop us together with the command.
const OURS: [Signal; 6] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGABRT];
const JOB_CONTROL: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// Signals wait for us to read them; the mask that we were started with is kept for the command.
#[derive(Debug)]
pub struct Blocked {
    /// The mask that we were started with.
    pub inherited: SigSet,
    /// What is blocked, and read instead.
    pub signals: SigSet,
    /// This is the first process of its pid namespace: nobody else reaps, and signals reach us alone.
    pub first: bool,
    child_action: Option<SigAction>,
}

/// Why a command was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure(pub Errno);

/// What became of the start.
#[derive(Debug)]
pub enum Started {
    /// The command runs.
    Running(Pid),
    /// There could be no second process; the caller may still become the command.
    NoProcess,
}

impl Failure {
    /// 127 where nothing was found, 126 where it cannot be executed (POSIX shell, "Exit status for commands").
    pub fn exit_code(self) -> i32 {
        if self.0 == Errno::ENOENT { 127 } else { 126 }
    }
}

impl Blocked {
    /// Blocks signals.
    ///
    /// # Errors
    /// The system's; none is documented for these calls.
    pub fn new() -> nix::Result<Self> {
        let first = getpid().as_raw() == 1;
        let mut signals = SigSet::all();
        for signal in OURS {
            signals.remove(signal);
        }
        if !first {
            for signal in JOB_CONTROL {
                signals.remove(signal);
            }
        }
        let mut inherited = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), Some(&mut inherited))?;
        Ok(Self { inherited, signals, first, child_action: default_child_action() })
    }

    /// Puts back what the command is to inherit.
    fn restore(&self) {
        if let Some(action) = &self.child_action {
            // SAFETY: it is the action that was there before, read by `sigaction` itself.
            #[allow(unsafe_code, reason = "a disposition is set")]
            let _ = unsafe { sigaction(Signal::SIGCHLD, action) };
        }
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.inherited), None);
    }
}

/// Whoever ignores SIGCHLD gets no exit codes: we do not, the command goes on as it was. Gives the action to restore.
#[allow(unsafe_code, reason = "a disposition is set")]
fn default_child_action() -> Option<SigAction> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    let before = unsafe { sigaction(Signal::SIGCHLD, &default) }.ok()?;
    (!matches!(before.handler(), SigHandler::SigDfl) || before.flags().contains(SaFlags::SA_NOCLDWAIT))
        .then_some(before)
}

/// Becomes the command; comes back only where that fails.
pub fn exec(image: &Image, blocked: Option<&Blocked>) -> Failure {
    if let Some(blocked) = blocked {
        blocked.restore();
    }
    let mut denied = None;
    for path in &image.paths {
        match execve(path, &image.argv, &image.env) {
            Ok(never) => match never {},
            Err(error @ Errno::EACCES) => denied = Some(error),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT) => {}
            Err(error) => return Failure(error),
        }
    }
    Failure(denied.unwrap_or(Errno::ENOENT))
}

/// Starts the command in a process of its own, in our process group; as first process in a group of its own, in the foreground if we are.
///
/// # Errors
/// The command could not be executed.
#[allow(unsafe_code, reason = "fork and _exit")]
pub fn start(image: &Image, blocked: &Blocked) -> Result<Started, Failure> {
    let Ok((read, write_end)) = pipe2(OFlag::O_CLOEXEC) else { return Ok(Started::NoProcess) };
    // SAFETY: this process has one thread, so its copy may do whatever it may do itself.
    match unsafe { fork() } {
        Err(_) => Ok(Started::NoProcess),
        Ok(ForkResult::Child) => {
            if blocked.first {
                own_group();
            }
            let Failure(error) = exec(image, Some(blocked));
            let _ = write(&write_end, &(error as i32).to_ne_bytes());
            // SAFETY: leaves at once, without the parent's clean-up.
            unsafe { libc::_exit(127) }
        }
        Ok(ForkResult::Parent { child }) => {
            drop(write_end);
            let mut error = [0; 4];
            // The pipe closes when the command is executed.
            if std::fs::File::from(read).read_exact(&mut error).is_err() {
                return Ok(Started::Running(child));
            }
            let _ = waitpid(child, None);
            Err(Failure(Errno::from_raw(i32::from_ne_bytes(error))))
        }
    }
}

fn own_group() {
    let stdin = std::io::stdin();
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    // Only on our own terminal; SIGTTOU is still blocked, so a group in the background may do this.
    if tcgetpgrp(stdin.as_fd()).is_ok() {
        let _ = tcsetpgrp(stdin.as_fd(), getpid());
    }
}

/// Opens what was closed of stdin, stdout and stderr, for ourselves alone: a socket of ours must never be taken for one of them.
pub fn open_standard_streams() {
    loop {
        let Ok(null) = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) else { return };
        if null.as_raw_fd() > 2 {
            return;
        }
        // It stays open, and closes when the command is executed.
        let _ = null.into_raw_fd();
    }
}
