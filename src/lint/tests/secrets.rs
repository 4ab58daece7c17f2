use super::{HEAD, ids, of};
use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::policy::load::PolicyFile;

/// Put together here, so that no scanner takes this file for a leak.
fn token() -> String {
    format!("ghp{}{}", "_", "a1".repeat(18))
}

#[test]
fn every_text_is_held_against_the_forms_of_tokens() {
    for (spec, path) in [
        ("  match: {templates: [x, TOKEN]}\n", "spec.match.templates[1]"),
        (
            "  match: {templates: [x], when: [\"pod.metadata.annotations.?k.orValue('') == 'TOKEN'\"]}\n",
            "spec.match.when[0]",
        ),
        ("  match: {templates: [x]}\n  serviceName: TOKEN\n", "spec.serviceName"),
        ("  match: {templates: [x]}\n  environment: TOKEN\n", "spec.environment"),
        ("  match: {templates: [x]}\n  shim: {spanName: \"{agent} TOKEN\"}\n", "spec.shim.spanName"),
        ("  match: {templates: [x]}\n  labels: {a.b/c: TOKEN}\n", "spec.labels[\"a.b/c\"]"),
        ("  match: {templates: [x]}\n  otlp: {endpoint: \"https://c.d/TOKEN\"}\n", "spec.otlp.endpoint"),
        (
            "  match: {templates: [x]}\n  correlation: {a: {from: [{cel: \"'TOKEN'\"}]}}\n",
            "spec.correlation.a.from[0].cel",
        ),
        (
            "  match: {templates: [x]}\n  correlation: {a: {from: [{label: a}, {value: TOKEN}]}}\n",
            "spec.correlation.a.from[1].value",
        ),
        ("  match: {templates: [x]}\n  env: {set: [{name: OTEL_X, value: \"x TOKEN\"}]}\n", "spec.env.set[0].value"),
    ] {
        for secret in [token(), format!("glpat{}{}", "-", "a1".repeat(12))] {
            let findings = of(&format!("{HEAD}{}", spec.replace("TOKEN", &secret))).findings;
            let told: Vec<_> = findings.iter().map(|finding| (finding.rule.id, finding.path.as_str())).collect();
            assert_eq!(told, [("secret", path)], "{spec}");
            assert!(!format!("{findings:?}").contains(&secret), "{spec}");
        }
        let plain = spec.replace("TOKEN", "glpat-short");
        assert!(!ids(&plain).iter().any(|(id, _)| *id == "secret"), "{plain}");
    }
}

#[test]
fn a_message_that_quotes_a_text_leaves_the_token_out() {
    let findings = of(&format!("{HEAD}  match: {{when: [\"namespaceName == '{}'\"]}}\n", token())).findings;
    let mut told: Vec<_> = findings.iter().map(|finding| finding.rule.id).collect();
    told.sort_unstable();
    assert_eq!(told, ["never-true", "secret"]);
    assert!(!format!("{findings:?}").contains(&token()), "{findings:?}");
}

#[test]
fn the_name_of_a_secret_is_no_secret() {
    let told = |name: &str| {
        let spec = format!("  match: {{templates: [x]}}\n  correlation: {{a: {{from: [{{parameter: {name}}}]}}}}\n");
        ids(&spec).contains(&("secret", 6))
    };
    for name in ["GITHUB_TOKEN", "apiKey", "password", "github-token-prod"] {
        assert!(told(name), "{name}");
    }
    for name in ["secretName", "tokenLimit", "password_length", "tokenizer"] {
        assert!(!told(name), "{name}");
    }
}

#[test]
fn no_message_shows_what_an_endpoint_says_of_users_or_asks_for() {
    for url in [
        "https://c.example.com/v1?token=hunter2".to_owned(),
        "https://c.example.com/v1?mail=a@b&token=hunter2".to_owned(),
        "https://c.example.com#hunter2".to_owned(),
        format!("http://me:hunter2{}c:4317", "@"),
        format!("me:hunter2{}c:4317", "@"),
    ] {
        for spec in [format!("  otlp: {{endpoint: \"{url}\"}}\n"), format!("  env: {{scope: \"{url}\"}}\n")] {
            let text = format!("{HEAD}{spec}");
            let findings = of(&text).findings;
            assert!(findings.iter().any(|finding| finding.rule.id == "invalid"), "{spec}");
            // What is no URL is a word like any other.
            if url.contains("://") || spec.contains("endpoint") {
                assert!(!format!("{findings:?}").contains("hunter2"), "{findings:?}");
            }
        }
        let file = PolicyFile { name: "p.yaml".into(), text: format!("{HEAD}  otlp: {{endpoint: \"{url}\"}}\n") };
        let refused = PolicySet::from_files(&[file], &Rules::default()).unwrap_err().to_string();
        assert!(refused.contains("is no endpoint") && !refused.contains("hunter2"), "{refused}");
    }
}
