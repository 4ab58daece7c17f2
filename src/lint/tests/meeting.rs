use super::{of, two};
use crate::lint::Report;

/// Policies of these specs, named `p0`, `p1`, ...
fn policies(specs: &[&str]) -> Report {
    let policy = |(i, spec): (usize, &&str)| {
        format!("apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: p{i}}}\nspec: {spec}\n")
    };
    of(&specs.iter().enumerate().map(policy).collect::<Vec<_>>().join("---\n"))
}

/// Where a rule tells something: the policy, and its field.
fn told(rule: &str, specs: &[&str]) -> Vec<String> {
    let report = policies(specs);
    let found = report.findings.iter().filter(|finding| finding.rule.id == rule);
    found.map(|finding| format!("p{} {}", (finding.start.line - 1) / 5, finding.path)).collect()
}

#[test]
fn a_port_is_held_against_the_protocol_that_counts_where_policies_meet() {
    const CI: &str = "match: {namespaces: {include: [ci]}}";
    const WIDE: &str = "match: {namespaces: {exclude: [kube-system]}}";
    const HTTP: &str = "protocol: http/protobuf";
    const HTTP_PORT: &str = "endpoint: \"http://c.d:4318\"";
    const GRPC_PORT: &str = "endpoint: \"http://c.d:4317\"";
    let policy = |priority: i32, of: &str, otlp: &[&str]| {
        format!("{{priority: {priority}, {of}, otlp: {{{}}}}}", otlp.join(", "))
    };
    let (both, elsewhere) = ([HTTP_PORT, HTTP], "match: {namespaces: {include: [cd]}}");
    for (specs, expected) in [
        // One alone, with the default of what it does not say.
        (vec![policy(0, CI, &[HTTP_PORT])], vec!["p0 spec.otlp.endpoint"]),
        (vec![policy(0, CI, &[GRPC_PORT, HTTP])], vec!["p0 spec.otlp.endpoint"]),
        (vec![policy(0, CI, &[HTTP])], vec!["p0 spec.otlp.protocol"]),
        (vec![policy(0, CI, &both)], vec![]),
        // The protocol of one is that for the endpoint of the other.
        (vec![policy(10, CI, &[HTTP]), policy(0, CI, &[HTTP_PORT])], vec![]),
        (vec![policy(0, CI, &[HTTP]), policy(10, CI, &[HTTP_PORT])], vec![]),
        (vec![policy(10, CI, &[HTTP]), policy(0, WIDE, &["endpoint: \"https://c.example\""])], vec![]),
        // It overrules the one that is.
        (vec![policy(10, CI, &["protocol: grpc"]), policy(0, CI, &both)], vec!["p0 spec.otlp.protocol"]),
        (vec![policy(10, elsewhere, &["protocol: grpc"]), policy(0, CI, &both)], vec![]),
        // The endpoint comes first, and says no protocol.
        (vec![policy(10, CI, &[GRPC_PORT]), policy(0, CI, &both)], vec!["p0 spec.otlp.endpoint"]),
        (vec![policy(10, CI, &[GRPC_PORT, "protocol: grpc"]), policy(0, CI, &both)], vec![]),
        // Each has pods that the other does not take.
        (
            vec![policy(10, "match: {templates: [x]}", &[HTTP]), policy(0, CI, &[HTTP_PORT])],
            vec!["p0 spec.otlp.protocol", "p1 spec.otlp.endpoint"],
        ),
        // One that takes all that they take decides both.
        (
            vec![
                policy(20, WIDE, &[GRPC_PORT, "protocol: grpc"]),
                policy(10, CI, &[HTTP]),
                policy(0, CI, &["endpoint: \"http://e.f:4318\""]),
            ],
            vec![],
        ),
    ] {
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        assert_eq!(told("protocol-port", &specs), expected, "{specs:?}");
    }
    let met = policies(&[&policy(10, CI, &[GRPC_PORT]), &policy(0, CI, &both)]);
    let message = "4317 is the port of OTLP/gRPC, and where `p1` matches too the protocol is http/protobuf";
    assert!(met.findings.iter().any(|finding| finding.message == message), "{:?}", met.findings);
}

#[test]
fn names_do_not_decide_what_a_higher_policy_decides() {
    let of_equals = |top: &str, more: &str| {
        told(
            "equal-priority",
            &[
                &format!("{{priority: 5, match: {top}, environment: prod}}"),
                &format!("{{match: {{namespaces: {{include: [ci]}}}}, environment: a{more}}}"),
                "{match: {templates: [\"x*\"], namespaces: {include: [ci]}}, environment: b, serviceName: z}",
            ],
        )
    };
    for top in
        ["{}", "{namespaces: {exclude: [kube-system]}}", "{namespaces: {include: [\"c*\"]}, templates: [\"x*\"]}"]
    {
        assert!(of_equals(top, "").is_empty(), "{top}");
        assert_eq!(of_equals(top, ", serviceName: x"), ["p2 metadata.name"], "{top}");
    }
    for top in [
        "{namespaces: {include: [cd]}}",
        "{namespaces: {exclude: [\"c*\"]}}",
        "{templates: [xy]}",
        "{when: [\"template == 'x'\"]}",
    ] {
        assert_eq!(of_equals(top, ""), ["p2 metadata.name"], "{top}");
    }
}

#[test]
fn what_is_left_out_elsewhere_leaves_nothing_of_a_policy() {
    let high = "{priority: 5, match: {namespaces: {exclude: [kube-system]}}, environment: a}";
    assert_eq!(two(high, "{match: {namespaces: {include: [ci]}}, environment: b}"), ["shadowed-policy"]);
    assert!(two(high, "{match: {namespaces: {include: [\"kube-*\"]}}, environment: b}").is_empty());
}

#[test]
fn a_variable_gives_no_endpoint_to_the_span() {
    let message = |more: &str| {
        let spec = format!("{{match: {{templates: [x]}}, otlp: {{protocol: grpc}}{more}}}");
        let report = policies(&[&spec]);
        report.findings.iter().find(|finding| finding.rule.id == "bare-host").map(|finding| finding.message.clone())
    };
    let variable = ", env: {set: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: \"http://c.d:4317\"}]}";
    assert!(message("").is_some_and(|message| message.starts_with("no policy gives an endpoint, and the default")));
    assert!(message(variable).is_some_and(|message| message.contains("none is given for its span, and the default")));
    let given = "{match: {templates: [x]}, otlp: {endpoint: \"http://c.d:4317\"}, env: {set: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: \"http://c.d:4317\"}]}}";
    assert!(told("bare-host", &[given]).is_empty());
}
