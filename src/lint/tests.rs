use std::collections::BTreeSet;

use super::{Report, Severity, lint, rule};
use crate::policy::compile::Rules;
use crate::policy::load::{EMBEDDED, PolicyFile};

/// Keys that are there for certain.
mod guards;
/// Policies that take the same pods.
mod meeting;
/// What is marked, and what comments allow.
mod places;
/// What looks like a secret, and messages that might show one.
mod secrets;

const HEAD: &str = "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec:\n";

fn of(text: &str) -> Report {
    lint(&[PolicyFile { name: "policy.yaml".into(), text: text.to_owned() }], &Rules::default())
}

/// The rules that found something, each with its line.
fn found(text: &str) -> Vec<(&'static str, usize)> {
    of(text).findings.iter().map(|finding| (finding.rule.id, finding.start.line)).collect()
}

/// The ids that a spec in flow style, one field a line, is told by; line 5 is its first.
fn ids(spec: &str) -> Vec<(&'static str, usize)> {
    found(&format!("{HEAD}{spec}"))
}

/// The sections of docs/lint.md: id, the example that is told, the one that is not.
fn sections() -> Vec<(String, String, String)> {
    let text = include_str!("../../docs/lint.md");
    let sections = text.split("\n## ").skip(1).map(|section| {
        let mut blocks = section.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
        let id = section.lines().next().unwrap().to_owned();
        (id, blocks.next().unwrap(), blocks.next().unwrap())
    });
    sections.collect()
}

#[test]
fn every_rule_has_a_section_whose_first_example_it_tells_at_the_marked_line_and_not_its_second() {
    let sections = sections();
    let ids: Vec<&str> = sections.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids, rule::ALL.iter().map(|rule| rule.id).collect::<Vec<_>>());
    for (id, told, mended) in &sections {
        let marked = told.lines().position(|line| line.ends_with("# <--")).unwrap() + 1;
        assert!(found(told).contains(&(id.as_str(), marked)), "{id}: {:?}", of(told).findings);
        assert!(!found(told).iter().any(|(other, _)| other != id), "{id}: {:?}", of(told).findings);
        assert_eq!(found(mended), [], "{id}");
    }
}

#[test]
fn the_sections_name_the_severity_and_the_allowed_example_is_allowed() {
    let text = include_str!("../../docs/lint.md");
    for rule in rule::ALL {
        assert!(text.contains(&format!("## {}\n\n*{}", rule.id, rule.severity.as_str())), "{}", rule.id);
    }
    let example = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let report = of(example);
    assert_eq!((report.findings.as_slice(), report.allowed), (&[][..], 2));
}

#[test]
fn the_embedded_policy_has_nothing_to_tell() {
    let report = of(EMBEDDED);
    assert_eq!(report.findings, []);
    assert_eq!(report.policies, 1);
}

#[test]
fn what_does_not_load_is_told_with_its_place_and_the_rest_is_looked_at_all_the_same() {
    let text = format!("{HEAD}  match: {{templats: [x]}}\n---\nnot: [closed\n---\n{HEAD}  environment: prod\n");
    assert_eq!(found(&text), [("invalid", 5), ("invalid", 7), ("match-all", 12)]);
    assert_eq!(found(&format!("{HEAD}  shim: {{budget: 9s}}\n  match: {{templates: [x]}}\n")), [("invalid", 5)]);
    assert_eq!(found("- a list\n"), [("invalid", 1)]);
    assert_eq!(found(""), [("invalid", 0)]);
    assert_eq!(found("apiVersion: stepspan.io/v1\nkind: InjectionPolicys\n")[0].0, "invalid");
    let other = of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    assert_eq!((other.findings.len(), other.policies, other.others), (0, 0, 1));
}

#[test]
fn no_message_shows_the_user_of_a_url() {
    let url = format!("http://me:hunter2{}c:4317", "@");
    for spec in [
        format!("  otlp: {{endpoint: \"{url}\"}}\n"),
        format!("  env: {{set: [{{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: \"{url}\"}}], scope: \"{url}\"}}\n"),
        format!("  env: {{set: [{{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: \"{url}\"}}]}}\n"),
    ] {
        let findings = of(&format!("{HEAD}{spec}")).findings;
        assert!(!findings.is_empty() && !format!("{findings:?}").contains("hunter2"), "{findings:?}");
    }
}

#[test]
fn namespaces_that_cannot_be_are_unreachable() {
    for (namespaces, line) in [
        ("{include: []}", 5),
        ("{include: [\"ci-*\"], exclude: [\"ci-*\", x]}", 5),
        ("{include: [\"ci-a\", \"ci-b?\"], exclude: [\"ci*\"]}", 5),
        ("{include: [CI_runs]}", 5),
        ("{exclude: [\"*\"]}", 5),
    ] {
        assert_eq!(
            ids(&format!("  match: {{namespaces: {namespaces}}}\n")),
            [("unreachable-policy", line)],
            "{namespaces}"
        );
    }
    for namespaces in
        ["{include: [\"ci-*\"], exclude: [\"ci-x*\"]}", "{include: [\"a?\"], exclude: [ab]}", "{include: [a, B]}"]
    {
        assert_eq!(ids(&format!("  match: {{namespaces: {namespaces}}}\n")), [], "{namespaces}");
    }
}

#[test]
fn selectors_that_contradict_themselves_are_unreachable() {
    let requirement = |key: &str, operator: &str, values: &str| format!("{{key: {key}, operator: {operator}{values}}}");
    let (gold, silver) = (", values: [gold]", ", values: [silver]");
    for (a, b, expected) in [
        (requirement("a", "In", gold), requirement("a", "In", silver), true),
        (requirement("a", "In", gold), requirement("a", "NotIn", gold), true),
        (requirement("a", "NotIn", gold), requirement("a", "In", gold), true),
        (requirement("a", "Exists", ""), requirement("a", "DoesNotExist", ""), true),
        (requirement("a", "In", gold), requirement("a", "DoesNotExist", ""), true),
        (requirement("a", "NotIn", gold), requirement("a", "DoesNotExist", ""), false),
        (requirement("a", "In", gold), requirement("b", "In", silver), false),
        (requirement("a", "In", ", values: [gold, silver]"), requirement("a", "NotIn", gold), false),
    ] {
        let told = ids(&format!("  match: {{podSelector: {{matchExpressions: [{a}, {b}]}}}}\n"));
        assert_eq!(told.contains(&("unreachable-policy", 5)), expected, "{a} {b}: {told:?}");
    }
    let no_argo = requirement("workflows.argoproj.io/workflow", "DoesNotExist", "");
    let told = ids(&format!("  match: {{podSelector: {{matchExpressions: [{no_argo}]}}}}\n"));
    assert_eq!(told, [("unreachable-policy", 5)]);
}

#[test]
fn a_pod_is_not_completed_when_it_is_admitted() {
    const COMPLETED: &str = "workflows.argoproj.io/completed";
    let unreachable = |selector: &str| ids(&format!("  match: {{podSelector: {selector}}}\n"));
    assert_eq!(unreachable(&format!("{{matchLabels: {{{COMPLETED}: \"true\"}}}}")), [("unreachable-policy", 5)]);
    assert_eq!(unreachable(&format!("{{matchLabels: {{{COMPLETED}: \"false\"}}}}")), [("match-all", 5)]);
    let requirement = |operator: &str, values: &str| {
        unreachable(&format!("{{matchExpressions: [{{key: {COMPLETED}, operator: {operator}{values}}}]}}"))
    };
    let (wrong, right) = (", values: [\"true\"]", ", values: [\"true\", \"false\"]");
    for (operator, values, told) in [
        ("In", wrong, "unreachable-policy"),
        ("In", right, "match-all"),
        ("NotIn", wrong, "match-all"),
        ("NotIn", right, "unreachable-policy"),
        ("Exists", "", "match-all"),
        ("DoesNotExist", "", "unreachable-policy"),
    ] {
        assert_eq!(requirement(operator, values), [(told, 5)], "{operator}{values}");
    }
}

#[test]
fn containers_that_are_never_injected_are_told() {
    let told = |globs: &str| ids(&format!("  containers: {globs}\n  match: {{templates: [x]}}\n"));
    for globs in [
        "{include: [wait]}",
        "{include: [init, \"artifact-plugin-*\"]}",
        "{exclude: [\"*\"]}",
        "{include: [\"a*\"], exclude: [a*]}",
        "{include: []}",
    ] {
        assert_eq!(told(globs), [("unreachable-policy", 5)], "{globs}");
    }
    for globs in
        ["{include: [wait, main]}", "{include: [\"wait*\"]}", "{exclude: [wait]}", "{exclude: [\"?*x\"]}", "{}"]
    {
        assert_eq!(told(globs), [], "{globs}");
    }
}

#[test]
fn what_leaves_nothing_out_matches_all() {
    for spec in [
        "{when: [\"true\"]}",
        "{when: [\"pod.kind == 'Pod'\", \"1 > 0 || true\"]}",
        "{namespaces: {include: [\"?*\"]}}",
        "{namespaces: {include: [\"**\"], exclude: [NO_SUCH]}, templates: [\"*\"]}",
        "{podSelector: {matchExpressions: [{key: workflows.argoproj.io/workflow, operator: Exists}]}}",
    ] {
        assert_eq!(ids(&format!("  match: {spec}\n")), [("match-all", 5)], "{spec}");
    }
    for spec in [
        "{when: [\"true\", \"template == 'a'\"]}",
        "{when: [\"has(pod.metadata.labels.a)\"]}",
        "{namespaces: {include: [\"??*\"]}}",
        "{namespaces: {exclude: [a]}}",
        "{templates: [\"?*\"]}",
        "{namespaceSelector: {matchExpressions: [{key: workflows.argoproj.io/workflow, operator: Exists}]}}",
    ] {
        assert_eq!(ids(&format!("  match: {spec}\n")), [], "{spec}");
    }
}

fn two(first: &str, second: &str) -> Vec<&'static str> {
    let policy = |name: &str, spec: &str| {
        format!("apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n")
    };
    let report = of(&format!("{}---\n{}", policy("a", first), policy("b", second)));
    report.findings.iter().map(|finding| finding.rule.id).filter(|id| *id != "match-all").collect()
}

#[test]
fn a_policy_is_shadowed_only_where_nothing_of_it_is_left() {
    let (wide, high) = ("match: {namespaces: {exclude: [kube-system]}}", "priority: 5");
    let low = "match: {namespaces: {include: [ci], exclude: [\"kube-*\"]}, templates: [\"x*\"]}";
    assert_eq!(
        two(&format!("{{{high}, {wide}, environment: a}}"), &format!("{{{low}, environment: b}}")),
        ["shadowed-policy"]
    );
    // It says more, it matches more, it comes first.
    assert!(
        two(&format!("{{{high}, {wide}, environment: a}}"), &format!("{{{low}, environment: b, serviceName: s}}"))
            .is_empty()
    );
    assert!(two(&format!("{{{high}, {low}, environment: a}}"), &format!("{{{wide}, environment: b}}")).is_empty());
    assert!(two(&format!("{{{wide}, environment: a}}"), &format!("{{{high}, {low}, environment: b}}")).is_empty());
    let condition = "match: {templates: [t], when: [\"template == 'a'\"]}";
    assert!(
        two(&format!("{{{high}, {condition}, environment: a}}"), "{match: {templates: [t]}, environment: b}")
            .is_empty()
    );
    assert_eq!(
        two(&format!("{{{high}, {condition}, environment: a}}"), &format!("{{{condition}, environment: b}}")),
        ["shadowed-policy"]
    );
}

#[test]
fn equal_priorities_matter_where_both_may_match_and_differ() {
    let at = |templates: &str, environment: &str| {
        format!("{{match: {{templates: [{templates}]}}, environment: {environment}, serviceName: {environment}}}")
    };
    assert_eq!(two(&at("x", "a"), &at("\"x*\"", "b")), ["equal-priority"]);
    assert!(two(&at("x", "a"), &at("z", "b")).is_empty());
    assert!(two(&at("\"z*\"", "a"), &at("x", "b")).is_empty());
    assert!(two(&at("\"a*\"", "a"), &at("\"b*\", \"c?\"", "b")).is_empty());
    assert!(two(&at("\"*-a\"", "a"), &at("\"*-b\"", "b")).is_empty());
    assert_eq!(two(&at("\"ab*\"", "a"), &at("\"a*\"", "b")), ["equal-priority"]);
    assert_eq!(two(&at("\"a*\"", "a"), &at("\"*b\"", "b")), ["equal-priority"]);
    let within =
        |globs: &str, environment: &str| format!("{{match: {{namespaces: {globs}}}, environment: {environment}}}");
    for (a, b, meets) in [
        ("{include: [\"ci-*\"]}", "{exclude: [\"ci-*\"]}", false),
        ("{include: [\"ci-a\", \"ci-b*\"]}", "{exclude: [\"ci-*\"]}", false),
        ("{include: [\"ci-*\", x]}", "{exclude: [\"ci-*\"]}", true),
        ("{include: [\"ci-*\"]}", "{exclude: [\"ci-x*\"]}", true),
        ("{include: [\"ci-*\"]}", "{include: [\"cd-*\"]}", false),
    ] {
        let told = two(&within(a, "a"), &within(b, "b"));
        assert_eq!(told.contains(&"equal-priority"), meets, "{a} {b}");
    }
    let labelled =
        |value: &str| format!("{{match: {{podSelector: {{matchLabels: {{tier: {value}}}}}}}, environment: {value}}}");
    assert!(two(&labelled("gold"), &labelled("silver")).is_empty());
}

#[test]
fn values_are_looked_at() {
    let take = "  match: {templates: [x]}\n";
    for (spec, expected) in [
        ("  correlation: {a: {from: [{builtin: namespace}, {label: a}]}}\n", vec![("unreachable-source", 6)]),
        ("  correlation: {a: {from: [{builtin: templateName}, {label: a}]}}\n", vec![]),
        ("  correlation: {a: {from: [{label: a}, {env: A}, {label: a}]}}\n", vec![("unreachable-source", 6)]),
        ("  correlation: {agent: {required: true}}\n", vec![]),
        ("  correlation: {a: {required: true, label: a}}\n", vec![]),
        ("  correlation: {a: {annotation: x}, b: {annotation: x}}\n", vec![("label-conflict", 6)]),
        ("  correlation: {a: {from: [{env: GITHUB_TOKEN}]}}\n", vec![("secret", 6)]),
        ("  correlation: {a: {from: [{parameter: apiKey}]}}\n", vec![("secret", 6)]),
        ("  correlation: {a: {from: [{cel: \"pod.metadata.labels.x\"}]}}\n", vec![("unguarded-key", 6)]),
        ("  correlation: {a: {from: [{cel: \"workflow.parameters.?api_token.orValue('')\"}]}}\n", vec![("secret", 6)]),
        ("  correlation: {a: {from: [{cel: \"has(inputs.token) ? 'yes' : 'no'\"}]}}\n", vec![]),
        ("  env: {preset: none, scope: container}\n", vec![]),
        ("  env: {preset: none, scope: container, set: [{name: OTEL_SERVICE_NAME, value: a}]}\n", vec![]),
        (
            "  env: {preset: none, scope: container, set: [{name: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, value: \"http://c.d:1\"}]}\n",
            vec![("container-scope", 6)],
        ),
        ("  env: {set: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: \"http://c:4317\"}]}\n", vec![("bare-host", 6)]),
        ("  env: {set: [{name: OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, value: \"c:4317\"}]}\n", vec![("bare-host", 6)]),
        ("  env: {set: [{name: OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, value: \"http://c.d\"}]}\n", vec![]),
        ("  env: {set: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: \"http://$HOST:1\"}]}\n", vec![]),
        ("  otlp: {protocol: grpc}\n", vec![("bare-host", 6)]),
        ("  otlp: {}\n", vec![]),
        ("  env: {set: [{name: OTEL_EXPORTER_OTLP_TRACES_HEADERS, value: \"tenant=a\"}]}\n", vec![]),
        ("  env: {set: [{name: OTEL_X_TOKEN, value: abc}]}\n", vec![("secret", 6)]),
        ("  otlp: {endpoint: \"http://[::1]:4317\"}\n", vec![]),
        ("  otlp: {endpoint: \"http://localhost:4317\"}\n", vec![]),
        ("  otlp: {endpoint: \"https://c.example/v1\", protocol: http/protobuf}\n", vec![]),
        ("  otlp: {endpoint: \"http://c.example:4317\", protocol: http/protobuf}\n", vec![("protocol-port", 6)]),
        ("  shim: {spanName: \"{repo}\"}\n  correlation: {repo: {from: [{label: repo}]}}\n", vec![]),
    ] {
        assert_eq!(ids(&format!("{take}{spec}")), expected, "{spec}");
    }
}

#[test]
fn no_finding_shows_the_secret() {
    let secret = format!("ghp{}{}", "_", "Zz9".repeat(12));
    let text = format!(
        "{HEAD}  match: {{templates: [x]}}\n  annotations: {{a: {secret}}}\n  env: {{set: [{{name: OTEL_EXPORTER_OTLP_HEADERS, value: \"authorization={secret}\"}}]}}\n"
    );
    let findings = of(&text).findings;
    assert_eq!(findings.iter().map(|f| f.rule.id).collect::<Vec<_>>(), ["secret", "secret"]);
    assert!(!format!("{findings:?}").contains(&secret));
}

#[test]
fn webhooks_of_ours_that_fail_closed_are_told() {
    let text = "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: s}\nwebhooks:\n\
                - name: pods.stepspan.dev\n  failurePolicy: Fail\n- name: workflows.stepspan.dev\n  failurePolicy: Ignore\n\
                - name: someone.else\n  failurePolicy: Fail\n- name: x.stepspan.dev\n";
    assert_eq!(found(text), [("fail-closed", 6), ("fail-closed", 11)]);
}

#[test]
fn severities_are_ordered() {
    assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Info);
    assert_eq!(rule::ALL.iter().map(|rule| rule.id).collect::<BTreeSet<_>>().len(), rule::ALL.len());
}
