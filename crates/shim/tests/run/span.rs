//! What a span says.

use stepspan_contract::{EnvRule, OnConflict, Parent};

use crate::collector::{Collector, Manner, attribute};
use crate::{PARENT, TRACE, config, run, shim, text};

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

#[test]
fn a_failed_step_is_one_span_and_keeps_its_exit_code() {
    let collector = Collector::start(Manner::Good);
    let output = run(&config(&collector.url(), "grpc"), &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stderr), "err\n");
    let spans = collector.spans(1);
    let [span] = &*spans else { panic!("{spans:?}") };
    let line = format!("{{\"traceId\":\"{TRACE}\",\"spanId\":\"{}\"}}\nout\n", hex(&span.span_id));
    assert_eq!(text(&output.stdout), line);
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!((span.name.as_str(), span.kind), ("coder/build", 1));
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "exit code 7"));
    for (key, value) in [
        ("repo", "acme/widgets"),
        ("vcs.repository.name", "widgets"),
        ("stepName", "build"),
        ("workflow.run_id", "uid-1"),
        ("nodeId", "ci-1"),
        ("process.executable.name", "sh"),
        ("process.exit.code", "7"),
        ("error.type", "7"),
    ] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(value), "{key}");
    }
    let all = format!("{spans:?}");
    assert!(!all.contains("echo out"), "arguments are nobody's business");
}

#[test]
fn a_success_has_no_status_and_the_resource_is_the_step_s() {
    let collector = Collector::start(Manner::Good);
    let mut command = shim(&config(&collector.url(), "grpc"), &["true"]);
    command
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=no,team=a%2Cb,k8s.pod.name=given")
        .env("OTEL_SERVICE_NAME", "mine");
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    let span = collector.spans(1).remove(0);
    assert!(span.status.is_none() && attribute(&span.attributes, "error.type").is_none());
    let resource = collector.received().traces[0].resource_spans[0].resource.clone().unwrap().attributes;
    for (key, value) in [
        ("service.name", "mine"),
        ("team", "a,b"),
        ("k8s.pod.name", "given"),
        ("k8s.pod.uid", "pod-1"),
        ("telemetry.sdk.name", "stepspan-shim"),
    ] {
        assert_eq!(attribute(&resource, key).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn what_is_not_sampled_is_kept_only_where_it_failed_and_the_policy_says_so() {
    let collector = Collector::start(Manner::Good);
    let mut config = config(&collector.url(), "grpc");
    config.sampled = false;
    assert_eq!(run(&config, &["false"]).status.code(), Some(1));
    config.keep_failed = true;
    assert_eq!(run(&config, &["true"]).status.code(), Some(0));
    assert!(collector.received().headers.is_empty());
    let output = run(&config, &["sh", "-c", "echo $TRACEPARENT; false"]);
    assert!(text(&output.stdout).trim_end().ends_with("-00"));
    let span = collector.spans(1).remove(0);
    assert_eq!(span.flags & 1, 0);
}

#[test]
fn the_command_sees_its_own_environment_and_where_its_spans_belong() {
    let mut config = config("http://127.0.0.1:1", "grpc");
    config.sampled = false;
    config.env =
        vec![EnvRule { name: "OTEL_SERVICE_NAME".into(), value: "ours".into(), on_conflict: OnConflict::Keep }];
    let output = shim(&config, &["env"]).env("SPAN_ID", "mine").env("STEPSPAN_HEADER_0", "secret").output().unwrap();
    let stdout = text(&output.stdout);
    let mut lines: Vec<&str> = stdout.lines().skip(1).collect();
    lines.sort_unstable();
    let span = stdout.split("spanId\":\"").nth(1).unwrap().split('"').next().unwrap();
    let expected = format!(
        "BAGGAGE=repo=acme/widgets,agent=coder,stepName=build\nHOSTNAME=ci-1-build\nOTEL_SERVICE_NAME=ours\n\
         PATH=/usr/local/bin:/usr/bin:/bin\nSPAN_ID=mine\nSTEPSPAN={}\nTRACEPARENT=00-{TRACE}-{span}-00\nTRACE_ID={TRACE}",
        crate::SHIM
    );
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn a_captured_result_is_never_touched() {
    let collector = Collector::start(Manner::Good);
    let config = config(&collector.url(), "grpc");
    let output = shim(&config, &["echo", "result"]).env("ARGO_INCLUDE_SCRIPT_OUTPUT", "true").output().unwrap();
    assert_eq!(text(&output.stdout), "result\n");
    assert!(text(&output.stderr).starts_with("{\"traceId\":"));
}

#[test]
fn argo_s_own_parent_is_taken_where_the_policy_says_so() {
    let collector = Collector::start(Manner::Good);
    let mut config = config(&collector.url(), "grpc");
    config.parent = Parent::Environment;
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    shim(&config, &["true"]).env("TRACEPARENT", theirs).output().unwrap();
    let span = collector.spans(1).remove(0);
    assert_eq!(format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.parent_span_id)), theirs);
}

#[test]
fn a_disabled_sdk_means_the_command_alone() {
    let output =
        shim(&config("http://127.0.0.1:1", "grpc"), &["env"]).env("OTEL_SDK_DISABLED", "true").output().unwrap();
    let stdout = text(&output.stdout);
    assert!(!stdout.contains("STEPSPAN_") && !stdout.contains("TRACE"), "{stdout}");
    assert_eq!(text(&output.stderr), "");
    // A policy may say so where only the shim sees the step's environment.
    let mut config = config("http://127.0.0.1:1", "grpc");
    config.env =
        vec![EnvRule { name: "OTEL_SDK_DISABLED".into(), value: "true".into(), on_conflict: OnConflict::Keep }];
    let output = run(&config, &["echo", "alone"]);
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("alone\n", ""));
}

#[test]
fn metrics_are_emitted_for_every_step_sampled_or_not() {
    let collector = Collector::start(Manner::Good);
    let mut config = config(&collector.url(), "http/protobuf");
    (config.metrics, config.sampled) = (Some("review".into()), false);
    assert_eq!(run(&config, &["false"]).status.code(), Some(1));
    let metrics = &collector.received().metrics[0].resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["agent_step_duration_ms", "agent_step_fail_total"]);
    assert!(collector.received().traces.is_empty());
}
