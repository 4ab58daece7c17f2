//! The command is exactly as without us.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::collector::{Collector, Manner, attribute};
use crate::{GUARD, SHIM, config, configure, first_process, run, shim, text};

#[test]
fn codes_and_signals_come_through() {
    let collector = Collector::start(Manner::Good);
    let config = config(&collector.url(), "grpc");
    for (script, code) in
        [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("kill -36 $$", 164)]
    {
        let output = run(&config, &["sh", "-c", script]);
        assert_eq!((output.status.code(), output.status.signal()), (Some(code), None), "{script}");
    }
    let spans = collector.spans(5);
    let types: Vec<_> =
        spans.iter().map(|span| attribute(&span.attributes, "error.type").unwrap_or_default()).collect();
    assert_eq!(types, ["", "255", "SIGTERM", "SIGKILL", "SIGRTMIN+2"]);
}

#[test]
fn what_cannot_be_run_says_so() {
    let collector = Collector::start(Manner::Good);
    let config = config(&collector.url(), "grpc");
    for (word, code) in [("no-such-command", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/", 126), ("", 127)] {
        let output = run(&config, &[word]);
        assert_eq!(output.status.code(), Some(code), "{word}");
        assert!(text(&output.stderr).starts_with(&format!("stepspan: cannot run {word}: ")), "{output:?}");
    }
    assert_eq!(collector.spans(5).len(), 5);
}

/// What a command says of itself in `/proc`: signal state, open files, group and session, limits, umask, working directory.
const SELF: &str = "grep -E '^(SigBlk|SigIgn|SigCgt|Umask|NoNewPrivs|Seccomp|CapEff)' /proc/self/status; ls /proc/self/fd; umask; pwd; \
                    ulimit -a; cut -d' ' -f5,6 /proc/self/stat";

fn state(with: bool, prepare: impl Fn(&mut Command)) -> String {
    let collector = Collector::start(Manner::Good);
    let config = config(&collector.url(), "grpc");
    let mut command = if with {
        let mut command = Command::new(SHIM);
        command.args(["run", "--", "sh", "-c", SELF]);
        configure(&mut command, &config);
        command.env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true");
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", SELF]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    };
    command.current_dir("/usr").stdin(Stdio::null());
    prepare(&mut command);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = text(&output.stdout);
    // The group's number differs from run to run; that leader and session are the same is what counts.
    text.lines()
        .filter(|line| !line.split(' ').all(|word| word.parse::<u32>().is_ok() && word.len() > 2))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn signals_files_and_the_rest_are_inherited() {
    let plain = |command: &mut Command| {
        // Fork and exec, not `posix_spawn`, which ignores the C library's own signals as it likes.
        // SAFETY: nothing is called.
        #[allow(unsafe_code, reason = "a test sets how it starts")]
        unsafe {
            command.pre_exec(|| Ok(()));
        }
    };
    assert_eq!(state(true, plain), state(false, plain));
    // Whatever started us ignores and blocks signals, and left files open or closed.
    let odd = |command: &mut Command| {
        // SAFETY: only calls that are safe between fork and exec.
        #[allow(unsafe_code, reason = "a test sets what is inherited")]
        unsafe {
            command.pre_exec(|| {
                use nix::libc;
                for signal in [libc::SIGPIPE, libc::SIGCHLD, libc::SIGUSR1, libc::SIGHUP] {
                    libc::signal(signal, libc::SIG_IGN);
                }
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGUSR2);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                libc::dup2(1, 9);
                libc::close(0);
                libc::umask(0o027);
                Ok(())
            });
        }
    };
    assert_eq!(state(true, odd), state(false, odd));
}

/// Starts a step in a process group of its own, as emissary does, and waits for its first line.
fn grouped(script: &str, collector: &Collector, change: impl Fn(&mut stepspan_contract::Config)) -> Child {
    let mut config = config(&collector.url(), "grpc");
    config.identity_line = stepspan_contract::IdentityLine::Off;
    change(&mut config);
    let mut child = shim(&config, &["sh", "-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    says(&mut child, "ready");
    child
}

/// Reads the next line, and nothing after it.
fn says(child: &mut Child, expected: &str) {
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), expected);
}

fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

fn id(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

const COUNTING: &str =
    "n=0; trap 'n=$((n+1)); echo got' TERM; trap 'exit $n' USR1; echo ready; while :; do sleep 0.02; done";

#[test]
fn a_signal_to_the_group_is_not_sent_twice() {
    let collector = Collector::start(Manner::Good);
    let mut child = grouped(COUNTING, &collector, |_| {});
    for _ in 0..3 {
        signal(-id(&child), nix::sys::signal::Signal::SIGTERM);
        // Two that wait for a slow shell would be one; the pause is for one that comes twice.
        says(&mut child, "got");
        std::thread::sleep(Duration::from_millis(200));
    }
    signal(-id(&child), nix::sys::signal::Signal::SIGUSR1);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// `kill 0`, as in `trap 'kill 0' EXIT`: it is in the group, and so are we.
#[test]
fn a_script_that_signals_its_own_group_hears_it_once_and_goes_on() {
    let collector = Collector::start(Manner::Good);
    let script = "n=0; trap 'n=$((n+1))' TERM; kill 0; sleep 1; exit $((n+4))";
    let mut child = grouped(&format!("echo ready; {script}"), &collector, |config| config.grace_ms = 1_000);
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let span = collector.spans(1).remove(0);
    assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some("5"), "it is not the pod's end");
}

/// The sender is gone before anybody could ask who it was.
#[test]
fn a_group_signalled_by_a_process_that_ends_with_it_hears_it_once() {
    for _ in 0..10 {
        let collector = Collector::start(Manner::Good);
        let script = "n=0; trap 'n=$((n+1))' TERM; sh -c 'kill 0'; sleep 0.2; exit $((n+4))";
        let mut child = grouped(&format!("echo ready; {script}"), &collector, |_| {});
        assert_eq!(child.wait().unwrap().code(), Some(5));
    }
}

#[test]
fn every_signal_that_ends_a_command_ends_it_and_us_alike() {
    use nix::sys::signal::Signal::{SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    for sent in [SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2] {
        let collector = Collector::start(Manner::Good);
        let mut child = grouped("echo ready; exec sleep 60", &collector, |_| {});
        signal(-id(&child), sent);
        assert_eq!(child.wait().unwrap().code(), Some(128 + sent as i32), "{sent}");
        assert_eq!(attribute(&collector.spans(1)[0].attributes, "error.type").as_deref(), Some(sent.as_str()));
    }
    // Nobody can speak after this one.
    let collector = Collector::start(Manner::Good);
    let mut child = grouped("echo ready; exec sleep 60", &collector, |_| {});
    signal(-id(&child), SIGKILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

/// A script's line that waits until there is a file, a minute at most.
fn wait_for(file: &Path) -> String {
    format!("i=0; until [ -e {} ] || [ $i -gt 1200 ]; do sleep 0.05; i=$((i+1)); done", file.display())
}

#[test]
fn a_daemon_of_its_own_outlives_the_command_and_delays_nobody() {
    let collector = Collector::start(Manner::Good);
    let folder = tempfile::tempdir().unwrap();
    let (go, done) = (folder.path().join("go"), folder.path().join("done"));
    let daemon = format!("{}; echo > {}", wait_for(&go), done.display());
    // Forked twice, in a session of its own, as daemons are.
    let script = format!("(setsid sh -c '{daemon}' &) ; echo ready; exit 8");
    let mut child = grouped(&script, &collector, |_| {});
    assert_eq!(child.wait().unwrap().code(), Some(8));
    assert!(!done.exists());
    std::fs::write(&go, "").unwrap();
    let began = Instant::now();
    while !done.exists() {
        assert!(began.elapsed() < GUARD, "it was ended with the command");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_signal_from_inside_that_reaches_the_shim_alone_is_passed_on() {
    let collector = Collector::start(Manner::Good);
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let part = format!("trap 'exit 9' TERM; echo > {}; while :; do sleep 0.02; done", ready.display());
    let script = format!(
        "\"$STEPSPAN\" run --name part -- sh -c \"{part}\" & part=$!; {}; kill -TERM $part; wait $part; exit $?",
        wait_for(&ready)
    );
    let mut command = shim(&config(&collector.url(), "grpc"), &["sh", "-c", &script]);
    assert_eq!(command.process_group(0).output().unwrap().status.code(), Some(9));
}

#[test]
fn a_daemon_ended_by_sigterm_has_not_failed_and_others_have() {
    for (daemon, failed) in [(true, false), (false, true)] {
        let collector = Collector::start(Manner::Good);
        let mut child = grouped("echo ready; sleep 60", &collector, |config| config.daemon = daemon);
        signal(-id(&child), nix::sys::signal::Signal::SIGTERM);
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert_eq!(collector.spans(1)[0].status.is_some(), failed);
    }
}

#[test]
fn a_step_that_does_not_end_is_told_of_before_the_grace_period_is_over() {
    let collector = Collector::start(Manner::Good);
    let mut child =
        grouped("trap '' TERM; echo ready; while :; do sleep 0.1; done", &collector, |c| c.grace_ms = 1_700);
    signal(-id(&child), nix::sys::signal::Signal::SIGTERM);
    let span = collector.spans(1).remove(0);
    assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some("SIGKILL"));
    signal(-id(&child), nix::sys::signal::Signal::SIGKILL);
    child.wait().unwrap();
}

#[test]
fn stopped_and_continued_it_goes_on() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP, SIGUSR1};
    let collector = Collector::start(Manner::Good);
    let mut child = grouped("trap 'exit 5' USR1; echo ready; while :; do sleep 0.02; done", &collector, |_| {});
    for sent in [SIGSTOP, SIGCONT, SIGUSR1] {
        signal(-id(&child), sent);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_grandchild_that_holds_stdout_delays_nobody() {
    let collector = Collector::start(Manner::Good);
    let mut child = grouped("echo ready; sleep 3 & exit 4", &collector, |_| {});
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn as_first_process_it_is_ended_by_what_ends_its_command() {
    for (name, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("TERM", 15), ("KILL", 9)] {
        let collector = Collector::start(Manner::Good);
        let config = config(&collector.url(), "grpc");
        let output = first_process(&config, &["sh", "-c", &format!("kill -{name} $$; sleep 9")]).output().unwrap();
        assert_eq!(output.status.code(), Some(128 + number), "{name}");
        // Sent to the first process alone, it reaches the command.
        let script = format!("trap 'exit 33' {name}; kill -{name} 1; while :; do sleep 0.02; done");
        if name != "KILL" {
            let output = first_process(&config, &["sh", "-c", &script]).output().unwrap();
            assert_eq!(output.status.code(), Some(33), "{name}");
        }
    }
}

#[test]
fn as_first_process_it_passes_signals_on_and_reaps_orphans() {
    let collector = Collector::start(Manner::Good);
    let script = "(sleep 0.1 & exec sleep 0.2) & trap 'exit 6' TERM; echo ready; i=0; \
                  while set -- /proc/[0-9]*; [ $# -gt 2 ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; \
                  echo $#; kill -TERM 1; while :; do sleep 0.05; done";
    let config = config(&collector.url(), "grpc");
    let output = first_process(&config, &["sh", "-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    // The shim and the shell: the orphans are gone, and nobody is left of them.
    assert_eq!(text(&output.stdout).lines().last(), Some("2"), "{output:?}");
}

/// Nobody reads the id line: the command runs all the same, and SIGPIPE is its own.
#[test]
fn a_reader_that_is_gone_ends_nothing() {
    let collector = Collector::start(Manner::Good);
    let config = config(&collector.url(), "grpc");
    for _ in 0..20 {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = shim(&config, &["sh", "-c", "exit 5"]).stdout(writer).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5));
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = shim(&config, &["sh", "-c", "while echo x; do :; done"]).stdout(writer).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13));
}

#[test]
fn what_is_written_is_byte_for_byte() {
    let collector = Collector::start(Manner::Good);
    let mut config = config(&collector.url(), "grpc");
    config.identity_line = stepspan_contract::IdentityLine::Stderr;
    let output = run(&config, &["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' '\\377'"]);
    assert_eq!(output.stdout, vec![0xff; 1_000_000]);
}
