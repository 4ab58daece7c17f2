//! Child processes that end with the test, whatever ends the test.
//!
//! - Each runs in a process group of its own: Ctrl-C reaches only the test, which then stops them in order.
//! - Each is started through `setpriv --pdeathsig`: the kernel kills it when the thread that started it is gone, so a
//!   crash leaves nothing behind. Start what must outlive a trial on the main thread.
//! - Each writes one log file, whose end is part of every error about it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

const TAIL_LINES: usize = 25;

/// A running program with its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; its stdout and stderr go to `<logs>/<name>.log`.
    pub fn spawn<S: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = S>,
        env: &[(&str, &str)],
        logs: &Path,
    ) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({}) through setpriv", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id; `setpriv` replaces itself by the program, so it is the program's own.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// An error with the end of the log, if the process is gone.
    pub fn ensure_running(&mut self) -> Result<()> {
        let status = self.exited();
        ensure!(status.is_none(), "{} ended ({}); {}", self.name, status.unwrap_or_default(), self.log_tail());
        Ok(())
    }

    /// The last lines of the log, under a heading.
    pub fn log_tail(&self) -> String {
        format!("the end of its log:\n{}", tail(&self.log))
    }

    /// Everything it wrote.
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends `signal`; a process that is gone already is no error.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_some() {
            return;
        }
        // Not yet waited for, so the id cannot belong to another process.
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then SIGKILL after `patience`; returns when it is gone.
    pub fn stop(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                return self.kill();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(5));
    }
}

/// The last lines of a file.
pub fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_else(|error| error.to_string().into_bytes());
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
