//! Writing to streams that may have no reader any more, without being ended by SIGPIPE, and without the command inheriting that.

use std::io::Write;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Writes as much as is taken; whoever closed the stream does not want it.
pub fn write_quietly(stream: &mut impl Write, bytes: &[u8]) {
    let before = set(&SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty()));
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    if let Some(before) = before {
        set(&before);
    }
}

/// For a process that starts no command.
pub fn ignore_broken_pipes() {
    set(&SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty()));
}

#[allow(unsafe_code, reason = "a disposition is set")]
fn set(action: &SigAction) -> Option<SigAction> {
    // SAFETY: ignoring runs no code of ours; what is put back was there before, read by `sigaction` itself.
    unsafe { sigaction(Signal::SIGPIPE, action) }.ok()
}
