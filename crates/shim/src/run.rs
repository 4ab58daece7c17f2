//! `run`: the command as a span.
//!
//! The command comes first: whatever fails here, it runs, and its exit code is ours. What is exported goes out while nobody waits
//! but the process that ends: all of it within the budget.

use std::cell::Cell;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::libc;
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant as Moment, sleep_until};

use crate::command::{
    Blocked, Ended, Environment, Event, Failure, Image, Started, Supervisor, exec, start, write_quietly,
};
use crate::outbox::Outbox;
use crate::relay::Relay;
use crate::report;
use crate::step::{self, Line, Step};
use stepspan_contract::names;

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
    if disabled(&env) {
        crate::child_env::strip(&mut env);
        if name.is_none() {
            // A script calls it all the same.
            env.set(names::SHIM_ENV, &program_path(shim));
        }
        return become_command(&Image::new(argv, env), None, &program);
    }
    let (untouched, is_part) = (env.clone(), name.is_some());
    let known = catch_unwind(AssertUnwindSafe(|| match name {
        Some(name) => Ok(step::of_part(&mut env, name)),
        None => step::of_pod(&mut env, &program_path(shim)),
    }));
    let step = known.unwrap_or_else(|_| {
        env = untouched;
        crate::child_env::strip(&mut env);
        Err("an internal error".to_owned())
    });
    // A policy may have said so too, where it was left to us.
    let disabled = disabled(&env);
    let wanted = step.as_ref().ok().filter(|step| !disabled && step.may_export());
    let relay = if is_part || wanted.is_none() { None } else { Relay::open() };
    if let Some(relay) = &relay {
        env.set(names::RELAY_ENV, &relay.name);
    }
    let image = Image::new(argv, env);
    match step {
        _ if disabled => become_command(&image, None, &program),
        Ok(step) => as_span(&step, &image, relay, &program, began),
        Err(why) => {
            report::say(&format!("no span: {why}"));
            become_command(&image, None, &program)
        }
    }
}

fn as_span(step: &Step, image: &Image, relay: Option<Relay>, program: &str, began: Began) -> i32 {
    identity_line(step);
    if let (Err(why), None) = (&step.target, &step.relay) {
        report::say(&format!("no span: {why}"));
    }
    if !step.may_export() {
        return become_command(image, None, program);
    }
    let Ok(blocked) = Blocked::new() else { return become_command(image, None, program) };
    match start(image, &blocked) {
        Ok(Started::Running(child)) => supervise(step, (child, &blocked), relay, program, began),
        Ok(Started::NoProcess) => {
            report::say("no span: no second process could be started");
            become_command(image, Some(&blocked), program)
        }
        Err(failure) => {
            not_run(failure, program);
            let ended = Ended::Code(failure.exit_code());
            if let Ok(runtime) = runtime() {
                runtime.block_on(Outbox::new(step, None).finish(ended, began, Instant::now(), program, false));
            }
            failure.exit_code()
        }
    }
}

/// The specification's switch: run the command, nothing else.
fn disabled(env: &Environment) -> bool {
    env.text("OTEL_SDK_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true"))
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
    if shim.contains('/') { shim.to_owned() } else { names::SHIM_PATH.to_owned() }
}

/// Before the command can write anything.
fn identity_line(step: &Step) {
    let line = format!("{{\"traceId\":\"{}\",\"spanId\":\"{}\"}}\n", step.trace_id, step.span_id);
    match step.line {
        Line::Off => {}
        Line::Stdout => write_quietly(&mut std::io::stdout(), line.as_bytes()),
        Line::Stderr => write_quietly(&mut std::io::stderr(), line.as_bytes()),
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build()
}

fn supervise(step: &Step, (child, blocked): (Pid, &Blocked), relay: Option<Relay>, program: &str, began: Began) -> i32 {
    let watched = runtime().and_then(|runtime| {
        let _inside = runtime.enter();
        let parts = relay.map(Relay::listen).transpose()?;
        Ok((Supervisor::new(child, blocked, step.is_part)?, Outbox::new(step, parts), runtime))
    });
    // Whatever goes wrong from here on, the exit code is the command's.
    let ended = Cell::new(None);
    let why = match watched {
        Err(_) => "no file descriptor is left",
        Ok((supervisor, outbox, runtime)) => {
            let watching = watch(supervisor, outbox, step, program, began, &ended);
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
    mut supervisor: Supervisor,
    mut outbox: Outbox<'_>,
    step: &Step,
    program: &str,
    began: Began,
    known: &Cell<Option<Ended>>,
) -> Ended {
    outbox.prepare();
    let idle = Moment::now() + IDLE;
    let (mut asked, mut last_call) = (false, None);
    loop {
        let wake: Option<Moment> = last_call.into_iter().chain(outbox.is_prepared().then_some(idle)).min();
        let event = tokio::select! {
            biased;
            event = supervisor.next() => Some(event),
            () = outbox.gather() => continue,
            () = sleep_until(wake.unwrap_or_else(Moment::now)), if wake.is_some() => None,
        };
        match event {
            Some(Event::Ended(ended)) => {
                known.set(Some(ended));
                outbox.finish(ended, began, Instant::now(), program, asked).await;
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
                outbox.finish(Ended::Signal(libc::SIGKILL), began, Instant::now(), program, true).await;
            }
            None => outbox.rest(),
        }
    }
}
