//! Signals and the command's end, as they come.

use std::fs;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getppid, getsid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Ended;
use super::start::Blocked;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A signal came from outside, to the group or to us; the command has it too.
    Signal(i32),
    /// The command ended.
    Ended(Ended),
}

/// Watches over the command.
#[derive(Debug)]
pub struct Supervisor {
    child: Pid,
    first: bool,
    /// Who signals our whole group: the parent of the group's leader (Argo's emissary).
    group_owner: Option<i32>,
    leads_session: bool,
    part: bool,
    signals: AsyncFd<SignalFd>,
}

impl Supervisor {
    /// `part`: of a step, in its script. Needs a runtime with IO around it.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn new(child: Pid, blocked: &Blocked, part: bool) -> std::io::Result<Self> {
        let fd = SignalFd::with_flags(&blocked.signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // SAFETY: the descriptor is owned by what is handed over, and nobody replaces it.
        #[allow(unsafe_code, reason = "tokio cannot know that the descriptor stays the same")]
        let signals =
            unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(std::io::Error::from)?;
        let leads_session = getsid(None) == Ok(getpid());
        Ok(Self { child, first: blocked.first, group_owner: group_owner(), leads_session, part, signals })
    }

    /// The next thing that happens; nothing is lost where the caller stops waiting.
    pub async fn next(&mut self) -> Event {
        loop {
            // Signals first: the one that ended the command is told before its end.
            while let Ok(Some(info)) = self.signals.get_mut().read_signal() {
                if let Some(event) = self.heard(&info) {
                    return event;
                }
            }
            // The command may have ended before we listened.
            if let Some(ended) = self.reap() {
                return Event::Ended(ended);
            }
            let Ok(mut ready) = self.signals.readable_mut().await else { continue };
            match ready.get_inner_mut().read_signal() {
                Ok(Some(info)) => {
                    if let Some(event) = self.heard(&info) {
                        return event;
                    }
                }
                _ => ready.clear_ready(),
            }
        }
    }

    fn heard(&self, info: &libc::signalfd_siginfo) -> Option<Event> {
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        if number == libc::SIGCHLD || i64::from(info.ssi_pid) == i64::from(getpid().as_raw()) {
            return None;
        }
        if self.is_from_inside(info) {
            // A script signals one of its parts by our pid; nobody in it knows the pid of the step's own shim.
            if self.part {
                self.forward(number);
            }
            return None;
        }
        if self.meant_for_us_alone(info, number) {
            self.forward(number);
        }
        Some(Event::Signal(number))
    }

    /// Takes ended processes: as first process all of them, else the command.
    #[allow(unsafe_code, reason = "the safe wrapper has no word for an end by a real-time signal, and would lose it")]
    fn reap(&self) -> Option<Ended> {
        let whom = if self.first { -1 } else { self.child.as_raw() };
        loop {
            let mut status = 0;
            // SAFETY: `waitpid` writes the status it is given room for.
            match unsafe { libc::waitpid(whom, &raw mut status, libc::WNOHANG) } {
                0 => return None,
                pid if pid == self.child.as_raw() => return Some(ended(status)),
                pid if pid > 0 => {}
                _ if Errno::last() == Errno::EINTR => {}
                // Somebody else took it: nothing is known of its end, and waiting on would be for ever.
                _ => return Some(Ended::Signal(libc::SIGKILL)),
            }
        }
    }

    /// Whether a process of our own group sent it, such as a script with `kill 0`, which reaches the command and us alike: no word of
    /// the pod's end. So is one that is gone again (`sh -c 'kill 0'` ends itself with it): who signals from outside and means us, and
    /// not the group, is hardly there. To a part it counts as sent by its script. (The first process of a namespace is in a group of
    /// its own.)
    fn is_from_inside(&self, info: &libc::signalfd_siginfo) -> bool {
        let sender = i32::try_from(info.ssi_pid).ok().filter(|pid| info.ssi_code <= 0 && *pid > 0);
        let Some(sender) = sender.filter(|pid| !self.first && self.group_owner != Some(*pid)) else { return false };
        match getpgid(Some(Pid::from_raw(sender))) {
            Ok(group) => group == getpgrp(),
            Err(error) => error == Errno::ESRCH,
        }
    }

    /// Whether the sender reached only us. The kernel (a terminal) and the group's owner signal the whole group, and so the
    /// command: passing that on would signal it twice. The first process of a namespace is always reached alone; so is the leader
    /// of a session whose terminal hangs up (credentials(7), `tty_hangup`: SIGHUP and SIGCONT).
    fn meant_for_us_alone(&self, info: &libc::signalfd_siginfo, number: i32) -> bool {
        let by_process = info.ssi_code <= 0;
        let hung_up = !by_process && self.leads_session && matches!(number, libc::SIGHUP | libc::SIGCONT);
        let by_owner = self.group_owner.is_some_and(|owner| i64::from(info.ssi_pid) == i64::from(owner));
        self.first || hung_up || (by_process && !by_owner)
    }

    #[allow(unsafe_code, reason = "real-time signals have no name to call the safe wrapper with")]
    fn forward(&self, number: i32) {
        match Signal::try_from(number) {
            Ok(signal) => drop(kill(self.child, signal)),
            // SAFETY: `kill` takes any numbers.
            Err(_) => drop(unsafe { libc::kill(self.child.as_raw(), number) }),
        }
    }
}

/// Waits for the command and nothing else.
#[allow(unsafe_code, reason = "as for `reap`")]
pub fn wait(child: Pid) -> Ended {
    loop {
        let mut status = 0;
        // SAFETY: `waitpid` writes the status it is given room for.
        if unsafe { libc::waitpid(child.as_raw(), &raw mut status, 0) } == child.as_raw() {
            return ended(status);
        }
        if Errno::last() != Errno::EINTR {
            return Ended::Signal(libc::SIGKILL);
        }
    }
}

fn ended(status: i32) -> Ended {
    if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    }
}

fn group_owner() -> Option<i32> {
    let leader = getpgrp();
    if leader == getpid() {
        return Some(getppid().as_raw());
    }
    // proc(5): the parent is the second field after the name, which stands in parentheses and may hold any character.
    let stat = fs::read_to_string(format!("/proc/{leader}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
