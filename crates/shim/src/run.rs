//! `run`: the command as a span.
//!
//! The command comes first: whatever fails here, it runs, and its exit code is ours. What is exported goes out while nobody waits
//! but the process that ends: all of it within the budget.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc;
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant as Moment, timeout_at};

use crate::command::{Blocked, Ended, Environment, Event, Failure, Image, Started, Supervisor, exec, start};
use crate::export::{Client, Signal, Target, connect, deliver};
use crate::report;
use crate::step::{self, Line, Step};

/// A connection that a longer command leaves idle is closed again: many steps run for hours.
const IDLE: Duration = Duration::from_secs(20);
/// Left of the grace period for the span of a command that does not end on SIGTERM.
const RESERVE: Duration = Duration::from_secs(1);

/// When the shim started, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Began {
    wall: SystemTime,
    steady: Instant,
}

impl Began {
    /// Now.
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// Start and end in nanoseconds since the Unix epoch; a clock that is set meanwhile does not change the length.
    pub fn span(self, end: Instant) -> (u64, u64) {
        let start = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        (nanos(start), nanos(start + end.duration_since(self.steady)))
    }
}

/// Runs the command. Gives the exit code, unless this process became the command itself.
pub fn run(name: Option<String>, argv: Vec<OsString>, shim: &str, began: Began) -> i32 {
    let mut env = Environment::inherited();
    let program = argv.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if env.text("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        crate::child_env::strip(&mut env);
        return become_command(&Image::new(argv, env), None, &program);
    }
    let untouched = env.clone();
    let known = catch_unwind(AssertUnwindSafe(|| match name {
        Some(name) => Ok(step::of_part(&mut env, name)),
        None => step::of_pod(&mut env, &program_path(shim)),
    }));
    let step = known.unwrap_or_else(|_| {
        env = untouched;
        crate::child_env::strip(&mut env);
        Err("an internal error".to_owned())
    });
    let image = Image::new(argv, env);
    let step = match step {
        Ok(step) => step,
        Err(why) => {
            report::say(&format!("no span: {why}"));
            return become_command(&image, None, &program);
        }
    };
    identity_line(&step);
    if !step.may_export() {
        return become_command(&image, None, &program);
    }
    let Ok(blocked) = Blocked::new() else { return become_command(&image, None, &program) };
    match start(&image, &blocked) {
        Ok(Started::Running(child)) => supervise(&step, child, &blocked, &program, began),
        Ok(Started::NoProcess) => {
            report::say("no span: no second process could be started");
            become_command(&image, Some(&blocked), &program)
        }
        Err(failure) => {
            not_run(failure, &program);
            let ended = Ended::Code(failure.exit_code());
            if let Ok(runtime) = runtime() {
                runtime.block_on(Exporter::new(&step).finish(ended, began, Instant::now(), &program, false));
            }
            failure.exit_code()
        }
    }
}

/// Replaces this process; comes back only where that fails.
fn become_command(image: &Image, blocked: Option<&Blocked>, program: &str) -> i32 {
    let failure = exec(image, blocked);
    not_run(failure, program);
    failure.exit_code()
}

fn not_run(Failure(error): Failure, program: &str) {
    report::say(&format!("cannot run {program}: {}", error.desc()));
}

/// The shim's own path, for scripts: how it was called if that is a path.
fn program_path(shim: &str) -> String {
    if shim.contains('/') { shim.to_owned() } else { stepspan_contract::names::SHIM_PATH.to_owned() }
}

/// Before the command can write anything.
fn identity_line(step: &Step) {
    let line = format!("{{\"traceId\":\"{}\",\"spanId\":\"{}\"}}\n", step.trace_id, step.span_id);
    // Whoever closed the stream does not want it.
    let _ = match step.line {
        Line::Off => Ok(()),
        Line::Stdout => std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()),
        Line::Stderr => std::io::stderr().write_all(line.as_bytes()),
    };
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

fn supervise(step: &Step, child: Pid, blocked: &Blocked, program: &str, began: Began) -> i32 {
    let watched = runtime().and_then(|runtime| {
        let _inside = runtime.enter();
        Ok((Supervisor::new(child, blocked)?, runtime))
    });
    // Whatever goes wrong from here on, the exit code is the command's.
    let ended = Cell::new(None);
    let why = match watched {
        Err(_) => "no file descriptor is left",
        Ok((supervisor, runtime)) => {
            let watching = watch(step, supervisor, program, began, &ended);
            match catch_unwind(AssertUnwindSafe(|| runtime.block_on(watching))) {
                Ok(ended) => return ended.exit_code(),
                Err(_) => "an internal error",
            }
        }
    };
    report::say(&format!("the span dropped: {why}"));
    ended.get().unwrap_or_else(|| crate::command::wait(child)).exit_code()
}

async fn watch(
    step: &Step,
    mut supervisor: Supervisor,
    program: &str,
    began: Began,
    known: &Cell<Option<Ended>>,
) -> Ended {
    let mut exporter = Exporter::new(step);
    exporter.prepare();
    let idle = Moment::now() + IDLE;
    let (mut asked, mut last_call) = (false, None);
    loop {
        let wake = last_call.into_iter().chain(exporter.preparing.is_some().then_some(idle)).min();
        let event = match wake {
            None => Some(supervisor.next().await),
            Some(wake) => timeout_at(wake, supervisor.next()).await.ok(),
        };
        match event {
            Some(Event::Ended(ended)) => {
                known.set(Some(ended));
                exporter.finish(ended, began, Instant::now(), program, asked).await;
                return ended;
            }
            Some(Event::Signal(libc::SIGTERM)) if !asked => {
                asked = true;
                // At the grace period's end all processes are killed, and nobody could tell of the step any more.
                let left = step.grace.saturating_sub(step.budget + RESERVE).max(step.grace / 2);
                last_call = Some(Moment::now() + left);
            }
            Some(Event::Signal(_)) => {}
            None if last_call.is_some_and(|at| at <= Moment::now()) => {
                last_call = None;
                exporter.finish(Ended::Signal(libc::SIGKILL), began, Instant::now(), program, true).await;
                exporter.done = true;
            }
            None => exporter.rest(),
        }
    }
}

/// The connection, and what goes over it.
struct Exporter<'a> {
    step: &'a Step,
    preparing: Option<JoinHandle<Result<Client, String>>>,
    done: bool,
}

impl<'a> Exporter<'a> {
    fn new(step: &'a Step) -> Self {
        Self { step, preparing: None, done: false }
    }

    /// Connects while the command runs.
    fn prepare(&mut self) {
        if let Ok(target) = &self.step.target {
            let target: Target = target.clone();
            self.preparing = Some(tokio::spawn(async move { connect(&target).await }));
        }
    }

    /// Gives the connection up; one that is still wanted later is made anew.
    fn rest(&mut self) {
        if let Some(preparing) = self.preparing.take() {
            preparing.abort();
        }
    }

    /// Sends what the end of the command makes known, within the budget.
    async fn finish(&mut self, ended: Ended, began: Began, end: Instant, program: &str, asked: bool) {
        let Ok(target) = &self.step.target else { return };
        if self.done {
            return;
        }
        let deadline = Moment::from_std(end) + self.step.budget;
        let requests = report::requests(self.step, ended, began, end, program, asked);
        let mut client = match self.preparing.take() {
            // A failed attempt is made once more: the Collector may have come up since.
            Some(preparing) if !requests.is_empty() => {
                timeout_at(deadline, preparing).await.ok().and_then(Result::ok).and_then(Result::ok)
            }
            _ => None,
        };
        let mut dropped = Vec::new();
        for (signal, request) in requests {
            if let Err(why) = deliver(&mut client, target, (signal, request), deadline).await {
                dropped.push((signal, why));
            }
        }
        let what: Vec<&str> = dropped.iter().map(|(signal, _): &(Signal, String)| signal.what()).collect();
        if let Some((_, why)) = dropped.first() {
            report::say(&format!("{} dropped: {why}", what.join(" and ")));
        }
    }
}
