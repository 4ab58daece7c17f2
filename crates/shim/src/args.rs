//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// `run [--name NAME] -- COMMAND [ARGUMENT ...]`
    Run {
        /// A part of a step, shown as a child of the step's span.
        name: Option<String>,
        /// The command and its arguments; never empty.
        argv: Vec<OsString>,
    },
    /// `init --to DIR [--probe URL --protocol PROTOCOL --timeout MILLISECONDS --ca FILE]`
    Init(Init),
    /// `--version`
    Version,
}

/// What the init container does.
#[derive(Debug, PartialEq, Eq)]
pub struct Init {
    /// Where the shim is copied to.
    pub to: PathBuf,
    /// The Collector to look at.
    pub probe: Option<String>,
    /// `grpc` or `http/protobuf`.
    pub protocol: String,
    /// How long the look may take.
    pub timeout: Duration,
    /// PEM file of the CA that the Collector's certificate comes from; else the image's own, and ours has none.
    pub ca: Option<String>,
    /// Where Kubernetes looks for the reason of an end (`terminationMessagePath`).
    pub termination_log: PathBuf,
}

/// How it is called.
pub const USAGE: &str = "usage: stepspan-shim run [--name NAME] -- COMMAND [ARGUMENT ...]\n\
                         \u{20}      stepspan-shim init --to DIR [--probe URL] [--protocol grpc|http/protobuf] [--timeout 300ms] [--ca FILE]\n\
                         \u{20}                     [--termination-log FILE]";

/// Reads the arguments after the program's name; `None` for what is none of the forms.
pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Call> {
    match arguments.next()?.to_str()? {
        "run" => run(arguments),
        "init" => init(arguments).map(Call::Init),
        "--version" | "-V" => Some(Call::Version),
        _ => None,
    }
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<Call> {
    let mut name = None;
    loop {
        match arguments.next()?.to_str()? {
            "--" => break,
            "--name" => name = Some(arguments.next()?.to_str()?.to_owned()),
            _ => return None,
        }
    }
    let argv: Vec<OsString> = arguments.collect();
    (!argv.is_empty()).then_some(Call::Run { name, argv })
}

fn init(mut arguments: impl Iterator<Item = OsString>) -> Option<Init> {
    let (mut to, mut probe, mut ca) = (None, None, None);
    let mut termination_log = PathBuf::from("/dev/termination-log");
    let (mut protocol, mut timeout) = ("grpc".to_owned(), Duration::from_millis(300));
    while let Some(flag) = arguments.next() {
        let value = arguments.next()?;
        match flag.to_str()? {
            "--to" => to = Some(PathBuf::from(value)),
            "--probe" => probe = Some(value.to_str()?.to_owned()),
            "--termination-log" => termination_log = PathBuf::from(value),
            "--ca" => ca = Some(value.to_str()?.to_owned()),
            "--protocol" => value.to_str()?.clone_into(&mut protocol),
            "--timeout" => timeout = Duration::from_millis(value.to_str()?.strip_suffix("ms")?.parse().ok()?),
            _ => return None,
        }
    }
    Some(Init { to: to?, probe, protocol, timeout, ca, termination_log })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Call> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn forms_are_read_and_others_are_not() {
        let argv = vec!["make".into(), "--name".into()];
        assert_eq!(of(&["run", "--", "make", "--name"]), Some(Call::Run { name: None, argv }));
        let argv = vec!["make".into()];
        assert_eq!(of(&["run", "--name", "build", "--", "make"]), Some(Call::Run { name: Some("build".into()), argv }));
        let (protocol, ca) = ("grpc".into(), Some("/ca.pem".into()));
        let init = Init {
            to: "/x".into(),
            probe: None,
            protocol,
            timeout: Duration::from_millis(7),
            ca,
            termination_log: "/dev/termination-log".into(),
        };
        assert_eq!(of(&["init", "--to", "/x", "--timeout", "7ms", "--ca", "/ca.pem"]), Some(Call::Init(init)));
        for bad in [&[][..], &["run"], &["run", "--"], &["run", "make"], &["init"], &["init", "--to"], &["x"]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
