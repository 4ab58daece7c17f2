//! What looks like a secret: by its name, or by a form that issuers of tokens document.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use serde_json::{Value, json};

use super::conditions::segment;
use crate::json::Json;
use crate::policy::expr::{Expression, Scope, Workflow};
use crate::policy::syntax::shown_url;

/// Forms of tokens, each with what it is. All start with letters of their own, so that ordinary texts, names of namespaces and templates among
/// them, are not taken for one.
const FORMS: &[(&str, &str)] = &[
    (r"\bgh[pousr]_[A-Za-z0-9]{36,}", "a GitHub token"),
    (r"\bgithub_pat_[A-Za-z0-9_]{22,}", "a GitHub token"),
    (r"\bglpat-[A-Za-z0-9_-]{20,}", "a GitLab token"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "an AWS access key"),
    (r"\bxox[abeprs]-[A-Za-z0-9-]{10,}", "a Slack token"),
    (r"\bsk-(?:(?:admin|ant|lf|or|proj|svcacct)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})", "an API key"),
    (r"\bnpm_[A-Za-z0-9]{36}\b", "an npm token"),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.", "a JSON Web Token"),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
    (r"(?i)\b(?:bearer|basic) +[A-Za-z0-9+/_.=-]{12,}", "a credential"),
    (r"[a-z]+://[^/\s:@]+:[^/\s:@]+@", "a URL with a password"),
];

static SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| RegexSet::new(FORMS.iter().map(|(form, _)| form)).ok());

/// What a text looks like, where it looks like a secret.
pub(super) fn looks_like(text: &str) -> Option<&'static str> {
    let first = SET.as_ref()?.matches(text).into_iter().next()?;
    FORMS.get(first).map(|(_, what)| *what)
}

/// Any of the forms.
static ANY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let forms: Vec<String> = FORMS.iter().map(|(form, _)| format!("(?:{form})")).collect();
    Regex::new(&forms.join("|")).ok()
});

/// The texts of a value that look like secrets: where each stands, and what it looks like.
pub(super) fn in_texts(at: &str, value: &Value) -> Vec<(String, &'static str)> {
    match value {
        Value::String(text) => looks_like(text).map(|what| (at.to_owned(), what)).into_iter().collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, item)| in_texts(&format!("{at}[{i}]"), item)).collect()
        }
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, field)| in_texts(&format!("{at}{}", segment(key)), field)).collect()
        }
        _ => Vec::new(),
    }
}

/// A message as it may stand in a log: without what looks like a secret, and without what URLs say of users and ask for.
pub(super) fn hidden(message: &str) -> String {
    let shown: String = message.split_inclusive(char::is_whitespace).map(hidden_url).collect();
    match ANY.as_ref() {
        Some(any) => any.replace_all(&shown, "...").into_owned(),
        None => shown,
    }
}

fn hidden_url(word: &str) -> Cow<'_, str> {
    if !word.contains("://") {
        return word.into();
    }
    let url = word.trim_matches(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | '(' | ')' | ',' | ';'));
    word.replacen(url, &shown_url(url), 1).into()
}

/// Words in the name of a variable or parameter that holds a secret.
const WORDS: &[&str] =
    &["token", "secret", "secrets", "password", "passwd", "pwd", "credential", "credentials", "apikey", "passphrase"];
/// The same, as two words.
const PAIRS: &[(&str, &str)] =
    &[("api", "key"), ("private", "key"), ("access", "key"), ("secret", "key"), ("signing", "key")];

/// Last words of names that stand for something about a secret, which everyone may see: `secretName`, `tokenLimit`.
const ABOUT: &str = "age audience bucket budget count counts dir enabled endpoint expires expiry file host issuer kind length limit limits \
                     name names namespace optional path policy provider quota rate ref required rotation scope scopes size store timeout \
                     ttl type uri url usage used version";

/// Whether a name says that it stands for a secret: `GITHUB_TOKEN`, `apiKey`, `db-password`, but not `secretName`.
pub(super) fn names_one(name: &str) -> bool {
    let words = words(name);
    let last = words.iter().rfind(|word| !word.is_empty());
    let about = last.is_some_and(|last| ABOUT.split(' ').any(|word| word == last));
    let holds = words.iter().any(|word| WORDS.contains(&word.as_str()))
        || words.windows(2).any(|two| PAIRS.iter().any(|(a, b)| two[0] == *a && two[1] == *b));
    holds && !about
}

/// The words of a name in snake, kebab or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        let boundary = !c.is_ascii_alphanumeric() || (lower && c.is_ascii_uppercase());
        if boundary {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(last) = words.last_mut()
        {
            last.push(c.to_ascii_lowercase());
        }
        lower = c.is_ascii_lowercase();
    }
    words
}

/// The secret on which the value of an expression depends: another secret gives another value. One that only asks for it does not.
pub(super) fn shown_by(source: &str) -> Option<String> {
    let expression = Expression::compile(source).ok()?;
    let references = expression.references();
    let carried = || references.parameters.iter().chain(&references.inputs);
    let name = carried().find(|name| names_one(name))?;
    let pod = json!({"metadata": {"labels": {}, "annotations": {}}});
    let pod = Json::from(&pod);
    let with = |secret: &str| {
        let values: BTreeMap<String, String> = carried().map(|name| (name.clone(), secret.to_owned())).collect();
        let workflow = Workflow { parameters: &values, ..Workflow::default() };
        expression.text(&Scope { workflow, inputs: &values, ..Scope::of_pod(&pod) })
    };
    let (one, other) = (with("0123456789"), with("abcdefghij"));
    (one.is_err() || one != other).then(|| name.clone())
}

/// Whether a variable holds headers that OTLP exporters send.
pub(super) fn is_headers(variable: &str) -> bool {
    variable.starts_with("OTEL_EXPORTER_OTLP_") && variable.ends_with("HEADERS")
}

/// Whether a header list has a header by which one is let in.
pub(super) fn has_credential(headers: &str) -> bool {
    let names = headers.split(',').filter_map(|header| header.split_once('='));
    let lets_in = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        name == "authorization"
            || name == "cookie"
            || name.ends_with("-key")
            || names_one(&name)
            || name.ends_with("-team")
    };
    looks_like(headers).is_some() || names.into_iter().any(|(name, value)| !value.trim().is_empty() && lets_in(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_of_secrets() {
        for name in [
            "GITHUB_TOKEN",
            "GITHUB_TOKEN_PROD",
            "apiKey",
            "db-password",
            "AWS_SECRET_ACCESS_KEY",
            "signing_key",
            "npmToken",
            "tokenValue",
            "name-of-secret",
        ] {
            assert!(names_one(name), "{name}");
        }
        for name in [
            "REPO",
            "tokenizer",
            "key",
            "PR",
            "compass",
            "monkey",
            "OTEL_SERVICE_NAME",
            "secretName",
            "tokenLimit",
            "API_KEY_FILE",
            "password-policy",
            "max_tokens",
        ] {
            assert!(!names_one(name), "{name}");
        }
        // Put together here, so that no scanner takes this file for a leak.
        for (start, rest) in [
            ("ghp", format!("_{}", "a1".repeat(18))),
            ("AK", format!("IA{}", "A1B2".repeat(4))),
            ("Bea", "rer abcdefghijklmnop".to_owned()),
            ("-----BEGIN PRIV", "ATE KEY-----".to_owned()),
            ("https://me:", "hunter22@host/".to_owned()),
            ("sk", format!("-{}", "Ab1".repeat(16))),
            ("sk", format!("-proj-{}", "Ab1_".repeat(8))),
        ] {
            assert!(looks_like(&format!("x {start}{rest}")).is_some(), "{start}");
            let shown = hidden(&format!("`{start}{rest}` is no name"));
            assert!(!shown.contains(&rest) && shown.ends_with("` is no name"), "{shown}");
        }
        for text in [
            "main",
            "http://otel-collector:4317",
            "sk-short",
            "sk-bratislava-nightly-builds",
            "bearer of news",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(looks_like(text), None, "{text}");
            assert_eq!(hidden(text), text);
        }
        let seen = hidden("found \"https://c.example.com/v1?key=abc\", or http://me:pass@c:4317  (such as http://d)");
        assert_eq!(seen, "found \"https://c.example.com/v1?...\", or http://c:4317  (such as http://d)");
        assert!(has_credential("x-honeycomb-team=abc") && has_credential("Authorization=Basic abc"));
        assert!(!has_credential("x-tenant=build,x-empty-key="));
    }

    #[test]
    fn expressions_show_a_secret_where_their_value_depends_on_it() {
        for source in [
            "workflow.parameters.?api_token.orValue('')",
            "inputs['db-password'].substring(0, 4)",
            "has(inputs.token) ? 'key ' + inputs.token : ''",
            "pod.metadata.labels.a + inputs.token",
        ] {
            assert!(shown_by(source).is_some(), "{source}");
        }
        for source in ["has(inputs.token) ? 'yes' : 'no'", "inputs.token == '' ? 'no' : 'yes'", "inputs.pr", "inputs."]
        {
            assert_eq!(shown_by(source), None, "{source}");
        }
    }
}
