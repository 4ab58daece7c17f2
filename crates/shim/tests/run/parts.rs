//! Parts of a step: `"$STEPSPAN" run --name part -- command` in its script.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use stepspan_contract::Config;

use crate::collector::{Collector, Manner, attribute};
use crate::{GUARD, SHIM, config, run, shim, text};

/// Spans of parts that wait longer go out before the step's.
const GATHER: Duration = Duration::from_secs(5);

fn of(collector: &Collector) -> Config {
    let mut config = config(&collector.url(), "grpc");
    config.headers = vec![("authorization".into(), "STEPSPAN_HEADER_0".into())];
    config
}

#[test]
fn a_part_is_a_child_span_and_goes_out_with_the_step_s_credentials() {
    let collector = Collector::start(Manner::Good);
    let script = "\"$STEPSPAN\" run --name build -- sh -c '\"$STEPSPAN\" run --name deep -- true; exit 3'; echo $?";
    let began = Instant::now();
    let output = shim(&of(&collector), &["sh", "-c", script]).env("STEPSPAN_HEADER_0", "secret").output().unwrap();
    let in_time = began.elapsed() < GATHER;
    assert!(text(&output.stdout).ends_with("\n3\n"), "{output:?}");
    assert_eq!(text(&output.stderr), "");
    let spans = collector.spans(3);
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (step, part, deep) = (named("coder/build"), named("build"), named("deep"));
    assert_eq!((&part.parent_span_id, &part.trace_id), (&step.span_id, &step.trace_id));
    assert_eq!((&deep.parent_span_id, &deep.trace_id), (&part.span_id, &step.trace_id));
    assert_eq!(attribute(&part.attributes, "repo").as_deref(), Some("acme/widgets"));
    let received = collector.received();
    assert!(received.headers.len() == 2 || !in_time, "one request for the step, one for its parts");
    assert!(received.headers.iter().all(|headers| headers["authorization"] == "secret"));
}

/// What is run again where this machine was too slow for the times of a part, which no configuration makes longer: then one says
/// so on stderr, in these words.
fn unless_too_slow(words: &str, mut run: impl FnMut() -> Output) -> Output {
    let began = Instant::now();
    loop {
        let output = run();
        if output.stderr.is_empty() {
            return output;
        }
        let stderr = text(&output.stderr);
        assert!(stderr.lines().all(|line| line.ends_with(words)) && began.elapsed() < GUARD, "{stderr}");
    }
}

#[test]
fn many_parts_at_once_all_arrive() {
    let mut collector = Collector::start(Manner::Good);
    let script = "i=0; while [ $i -lt 100 ]; do \"$STEPSPAN\" run --name p$i -- true & i=$((i+1)); done; wait";
    // A part that the step's shim does not take in time has nobody else.
    let output = unless_too_slow("the span dropped: no OTEL_EXPORTER_OTLP_ENDPOINT", || {
        collector = Collector::start(Manner::Good);
        run(&of(&collector), &["sh", "-c", script])
    });
    assert_eq!(output.status.code(), Some(0));
    let mut names: Vec<String> = collector.spans(101).into_iter().map(|span| span.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 101);
}

/// Long steps show their parts while they run.
#[test]
fn parts_go_out_before_the_step_has_ended() {
    let collector = Collector::start(Manner::Good);
    let script = "\"$STEPSPAN\" run --name early -- true; echo done; read forever";
    let mut command = shim(&of(&collector), &["sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(collector.spans(1)[0].name, "early");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(collector.spans(2).len(), 2);
}

/// Ten parts, a Collector that says nothing: the step waits once, not eleven times.
#[test]
fn parts_wait_for_nobody() {
    let collector = Collector::start(Manner::Silent);
    let script =
        "for i in 0 1 2 3 4 5 6 7 8 9; do \"$STEPSPAN\" run --name p -- sh -c 'exit 4' || code=$?; done; exit $code";
    let began = Instant::now();
    let mut config = of(&collector);
    // So long that waiting for it more than once could not be overlooked.
    config.budget_ms = 10_000;
    let output = run(&config, &["sh", "-c", script]);
    assert!(began.elapsed() < GUARD, "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(4));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("stepspan: the span and spans of parts dropped: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// Where there is no span, a script that shows its parts runs all the same.
#[test]
fn the_shim_has_its_name_where_there_is_no_span() {
    let script = "\"$STEPSPAN\" run --name part -- echo ran";
    let words = ["sh", "-c", script];
    let config = config("http://127.0.0.1:1", "grpc");
    let disabled = shim(&config, &words).env("OTEL_SDK_DISABLED", "true").output().unwrap();
    let unreadable = shim(&config, &words).env("STEPSPAN_CONFIG", "version 99").output().unwrap();
    for output in [disabled, unreadable] {
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "ran\n"), "{output:?}");
    }
}

/// A part outside of any step sends its span itself, by the standard variables; what its user set stays.
#[test]
fn a_part_alone_uses_the_standard_variables() {
    let collector = Collector::start(Manner::Good);
    let mut command = Command::new(SHIM);
    command.args(["run", "--name", "alone", "--", "env"]).env_clear().env("SPAN_ID", "mine");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let output = unless_too_slow(" in time", || command.output().unwrap());
    assert!(text(&output.stdout).contains("SPAN_ID=mine\n"), "{output:?}");
    assert_eq!(collector.spans(1)[0].name, "alone");
    let nowhere = Command::new(SHIM).args(["run", "--name", "x", "--", "true"]).env_clear().output();
    assert_eq!(text(&nowhere.unwrap().stderr), "stepspan: no span: no OTEL_EXPORTER_OTLP_ENDPOINT\n");
}
