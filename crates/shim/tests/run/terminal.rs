//! Under a terminal, as `tty: true` and `stdin: true` give a container one: what is typed reaches the command once, as without us.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::pty::openpty;
use stepspan_contract::IdentityLine;

use crate::collector::{Collector, Manner};
use crate::{config, first_process, shim, text};

/// Starts a command as leader of a session whose terminal the test holds the other end of.
fn on_terminal(mut command: Command) -> (Child, File) {
    let pty = openpty(None, None).unwrap();
    // Whoever holds it keeps the terminal from hanging up.
    fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    let end = |fd: &OwnedFd| std::process::Stdio::from(fd.try_clone().unwrap());
    command.stdin(end(&pty.slave)).stdout(end(&pty.slave)).stderr(end(&pty.slave)).env("TERM", "dumb");
    let terminal = pty.slave.as_raw_fd();
    // SAFETY: only calls that are safe between fork and exec.
    #[allow(unsafe_code, reason = "a test sets what is inherited")]
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 || libc::ioctl(terminal, libc::TIOCSCTTY, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let child = command.spawn().unwrap();
    drop(pty.slave);
    (child, File::from(pty.master))
}

/// Reads until `wanted` has come; what came.
fn until(terminal: &mut File, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    // The other end closes with its last process: an error, on Linux.
    while !text(&seen).contains(wanted) && matches!(terminal.read(&mut byte), Ok(1)) {
        seen.push(byte[0]);
    }
    let seen = text(&seen);
    assert!(seen.contains(wanted), "{seen:?} without {wanted:?}");
    seen
}

/// The shim before a script, as first process of a pid namespace or as any other.
fn step(collector: &Collector, script: &str, first: bool) -> Command {
    let mut config = config(&collector.url(), "grpc");
    config.identity_line = IdentityLine::Off;
    let start = if first { first_process } else { shim };
    start(&config, &["sh", "-c", script])
}

#[test]
fn the_command_has_the_terminal_and_reads_what_is_typed() {
    let script =
        "test -t 0 && test -t 1 && test -t 2 && tty && echo ready && read -r line && echo \"got $line\"; exit 4";
    for first in [false, true] {
        let collector = Collector::start(Manner::Good);
        let (mut child, mut terminal) = on_terminal(step(&collector, script, first));
        assert!(until(&mut terminal, "ready").contains("/dev/pts/"));
        terminal.write_all(b"words\n").unwrap();
        until(&mut terminal, "got words");
        assert_eq!(child.wait().unwrap().code(), Some(4), "first: {first}");
        assert_eq!(collector.spans(1).len(), 1);
    }
}

#[test]
fn control_c_reaches_it_once() {
    let script = "n=0; trap 'n=$((n+1)); echo caught $n' INT; echo ready; \
                  while [ $n -lt 2 ]; do sleep 0.02; done; sleep 0.3; exit $n";
    for first in [false, true] {
        let collector = Collector::start(Manner::Good);
        let (mut child, mut terminal) = on_terminal(step(&collector, script, first));
        until(&mut terminal, "ready");
        for caught in ["caught 1", "caught 2"] {
            terminal.write_all(b"\x03").unwrap();
            until(&mut terminal, caught);
        }
        assert_eq!(child.wait().unwrap().code(), Some(2), "first: {first}");
    }
}

#[test]
fn control_backslash_and_hanging_up_end_it_with_their_signals() {
    let collector = Collector::start(Manner::Good);
    let (mut child, mut terminal) = on_terminal(step(&collector, "echo ready; sleep 60", false));
    until(&mut terminal, "ready");
    terminal.write_all(b"\x1c").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + libc::SIGQUIT));
    let (mut child, mut terminal) = on_terminal(step(&collector, "echo ready; sleep 60", false));
    until(&mut terminal, "ready");
    // The leader of the session, which is the shim, is told.
    drop(terminal);
    assert_eq!(child.wait().unwrap().code(), Some(128 + libc::SIGHUP));
    assert_eq!(collector.spans(2).len(), 2);
}
