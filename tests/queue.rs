//! `examples/queue`: a step hands its trace on to another by a queue, in Node and in Python; each takes what the other has put.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Prints what a command gets: its part of the trace, and the message.
const SHOW: [&str; 3] = ["sh", "-c", r#"printf '%s|%s|' "${TRACEPARENT-none}" "${TRACESTATE-none}"; cat"#];
const PAIRS: [[[&str; 2]; 2]; 2] =
    [[["node", "handover.mjs"], ["python3", "handover.py"]], [["python3", "handover.py"], ["node", "handover.mjs"]]];

/// Calls one of the two, in a step that has this context.
fn call([program, script]: [&str; 2], args: &[&str], traceparent: &str, tracestate: &str) -> Output {
    let mut command = Command::new(program);
    command.arg(script).args(args).current_dir(format!("{}/examples/queue", env!("CARGO_MANIFEST_DIR")));
    for (name, value) in [("TRACEPARENT", traceparent), ("TRACESTATE", tracestate)] {
        command.env_remove(name);
        if !value.is_empty() {
            command.env(name, value);
        }
    }
    command.output().unwrap_or_else(|error| panic!("{program}: {error} (Debian: apt-get install nodejs python3)"))
}

fn put(by: [&str; 2], folder: &str, body: &str, traceparent: &str, tracestate: &str) {
    let output = call(by, &["put", folder, body], traceparent, tracestate);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a command of the taking step gets, which has `own` itself.
fn taken(by: [&str; 2], folder: &str, own: &str) -> String {
    let output = call(by, &[&["run", folder][..], &SHOW].concat(), own, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace(' ', "")
}

/// A W3C trace context goes over; one that is none does not (Trace Context, section 3.2).
#[test]
fn a_context_goes_over_and_nonsense_does_not() {
    let cases = [
        (GOOD, "vendor=1", format!("{GOOD}|vendor=1")),
        (GOOD, "", format!("{GOOD}|none")),
        ("", "vendor=1", "none|none".into()),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", "", "none|none".into()),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "", "none|none".into()),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "", "none|none".into()),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "", "none|none".into()),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "", "none|none".into()),
        // Of a later version what version 00 knows.
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more", "", format!("{GOOD}|none")),
    ];
    for [from, to] in PAIRS {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        for (traceparent, tracestate, expected) in &cases {
            put(from, folder, r#"{"n":1}"#, traceparent, tracestate);
            assert_eq!(taken(to, folder, ""), format!(r#"{expected}|{{"n":1}}"#), "{from:?} {traceparent}");
        }
    }
}

#[test]
fn a_message_of_somebody_who_did_not_look_leaves_the_step_its_own_context() {
    for [_, to] in PAIRS {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        for own in ["", GOOD] {
            fs::create_dir_all(dir.path().join("new")).unwrap();
            let message = r#"{"headers":{"traceparent":"00-nonsense","tracestate":"v=1"},"body":{"n":2}}"#;
            fs::write(dir.path().join("new/0-x.json"), message).unwrap();
            let expected = if own.is_empty() { "none" } else { own };
            assert_eq!(taken(to, folder, own), format!(r#"{expected}|none|{{"n":2}}"#));
        }
    }
}

#[test]
fn failed_work_is_kept_and_its_exit_code_told() {
    for [from, to] in PAIRS {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let run = |script: &str| call(to, &["run", folder, "sh", "-c", script], "", "").status.code();
        put(from, folder, r#"{"n":4}"#, GOOD, "");
        assert_eq!(run("cat > /dev/null; exit 7"), Some(7));
        assert_eq!(files(&dir.path().join("failed")), 1);
        assert_eq!(run("true"), Some(3), "nothing to take");
        put(from, folder, r#"{"n":5}"#, GOOD, "");
        assert_eq!(run("cat > /dev/null"), Some(0));
        assert_eq!(["new", "taken", "writing"].map(|name| files(&dir.path().join(name))), [0, 0, 0]);
    }
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
