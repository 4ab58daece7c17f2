//! Correlation values, labels, annotations and variables.

use std::collections::BTreeMap;

use super::Found;
use super::conditions::segment;
use super::rule::{LABEL_CONFLICT, REQUIRED_WITHOUT_SOURCE, SECRET, UNKNOWN_PLACEHOLDER, UNREACHABLE_SOURCE};
use super::secret;
use crate::policy::load::Written;
use crate::policy::spec::{Builtin, Correlation, Source, Spec};

/// Keys that have a source of their own where a policy gives none ([`crate::policy::effective`]).
const ALWAYS: [&str; 2] = ["agent", "stepName"];

pub(super) fn check(one: &Written, all: &[&Written], found: &mut Found<'_>) {
    let spec = &one.policy.spec;
    for (key, correlation) in &spec.correlation {
        let at = format!("spec.correlation{}", segment(key));
        sources(&at, correlation, found);
        required(key, &at, correlation, all, found);
    }
    conflicts(spec, found);
    placeholders(spec, all, found);
    secrets(one, found);
}

/// Sources behind one that always has a value.
fn sources(at: &str, correlation: &Correlation, found: &mut Found<'_>) {
    let from = correlation.from.as_deref().unwrap_or_default();
    let always = |source: &Source| match source {
        Source::Value(text) => !text.is_empty(),
        // The template's name is not known where Argo keeps the template elsewhere.
        Source::Builtin(builtin) => *builtin != Builtin::TemplateName,
        _ => false,
    };
    if let Some(i) = from.iter().position(always).filter(|i| i + 1 < from.len()) {
        let message = format!("it is never asked: from[{i}] always has a value");
        found.add(&UNREACHABLE_SOURCE, &format!("{at}.from[{}]", i + 1), message, "put it before, or take it out");
        return;
    }
    for (i, source) in from.iter().enumerate() {
        if let Some(first) = from[..i].iter().position(|earlier| earlier == source) {
            let message = format!("it is never asked: from[{first}] says the same");
            found.add(&UNREACHABLE_SOURCE, &format!("{at}.from[{i}]"), message, "take it out");
        }
    }
}

fn required(key: &str, at: &str, correlation: &Correlation, all: &[&Written], found: &mut Found<'_>) {
    let elsewhere = || {
        let others = all.iter().filter_map(|other| other.policy.spec.correlation.get(key));
        others.flat_map(|other| &other.from).any(|from| !from.is_empty())
    };
    let none = correlation.from.as_ref().is_none_or(Vec::is_empty) && correlation.label.is_none();
    if correlation.required == Some(true) && none && !ALWAYS.contains(&key) && !elsewhere() {
        let message = "it is required and has no source: no pod is injected";
        found.add(&REQUIRED_WITHOUT_SOURCE, &format!("{at}.required"), message, "give it a `from`, or a `label`");
    }
}

/// Entries that write the same label or annotation.
fn conflicts(spec: &Spec, found: &mut Found<'_>) {
    let fixed = |field: &str, entries: &BTreeMap<String, String>| -> Vec<(String, String)> {
        entries.keys().map(|key| (key.clone(), format!("spec.{field}{}", segment(key)))).collect()
    };
    let keys = |field: &str, of: fn(&Correlation) -> Option<&String>| -> Vec<(String, String)> {
        let written = spec.correlation.iter().filter_map(|(key, correlation)| Some((key, of(correlation)?)));
        written.map(|(key, target)| (target.clone(), format!("spec.correlation{}.{field}", segment(key)))).collect()
    };
    let labels = (fixed("labels", &spec.labels), keys("label", |c| c.label.as_ref()), "label");
    let annotations =
        (fixed("annotations", &spec.annotations), keys("annotation", |c| c.annotation.as_ref()), "annotation");
    for (fixed, written, what) in [labels, annotations] {
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        for (target, path) in fixed.into_iter().chain(written) {
            if let Some(other) = first.get(&target) {
                let message = format!("`{other}` writes the {what} `{target}` too: one of the values is lost");
                found.add(&LABEL_CONFLICT, &path, message, "give them different names");
            } else {
                first.insert(target, path);
            }
        }
    }
}

/// `{key}` in the span's name.
fn placeholders(spec: &Spec, all: &[&Written], found: &mut Found<'_>) {
    let Some(name) = &spec.shim.span_name else { return };
    let mut rest = name.as_str();
    while let Some((key, behind)) = rest.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
        rest = behind;
        let known = |one: &&&Written| one.policy.spec.correlation.contains_key(key);
        if ALWAYS.contains(&key) || all.iter().any(|one| known(&one)) {
            continue;
        }
        let keys = all.iter().flat_map(|one| one.policy.spec.correlation.keys()).map(String::as_str).chain(ALWAYS);
        let near = crate::policy::check::nearest(key, keys).map(|near| format!("did you mean {{{near}}}?"));
        let message = format!("`{{{key}}}` is no correlation key of any of the policies: it stays empty");
        found.add(&UNKNOWN_PLACEHOLDER, "spec.shim.spanName", message, near.unwrap_or_default());
    }
}

/// Texts that look like secrets, and what would make secrets public. No message holds the text.
fn secrets(one: &Written, found: &mut Found<'_>) {
    let spec = &one.policy.spec;
    for (i, variable) in spec.env.set.iter().enumerate() {
        let (what, hint) = if secret::is_headers(&variable.name) && secret::has_credential(&variable.value) {
            (
                "holds a credential",
                "name a Secret instead: otlp.headersFrom: [{name: authorization, secretKeyRef: {name: otlp, key: token}}]",
            )
        } else if secret::names_one(&variable.name) || secret::looks_like(&variable.value).is_some() {
            ("looks like a secret", "policies hold no secrets: let the workflow take it from a Secret")
        } else {
            continue;
        };
        let message = format!("{} {what}: everyone who may read the policy or the pod sees it", variable.name);
        found.add(&SECRET, &format!("spec.env.set[{i}].value"), message, hint);
    }
    for (key, correlation) in &spec.correlation {
        for (i, source) in correlation.from.iter().flatten().enumerate() {
            let Some(name) = shows(source) else { continue };
            let path = format!("spec.correlation{}.from[{i}]", segment(key));
            let message = format!(
                "`{name}` is the name of a secret: its value would stand in spans, and in labels or annotations"
            );
            found.add(&SECRET, &path, message, "take a value that everyone may see");
        }
    }
    for (path, what) in secret::in_texts("spec", &one.place.to_value()["spec"]) {
        // Those of variables are told above.
        if !(path.starts_with("spec.env.set[") && path.strip_suffix(".value").is_some()) {
            let hint = "policies hold no secrets; revoke it if it is one";
            found.add(&SECRET, &path, format!("it looks like {what}"), hint);
        }
    }
}

/// The secret, by its name, that would be the value of a source.
fn shows(source: &Source) -> Option<String> {
    match source {
        Source::Env(name) | Source::Parameter(name) | Source::Input(name) => {
            secret::names_one(name).then(|| name.clone())
        }
        Source::Cel(text) => secret::shown_by(text),
        _ => None,
    }
}
