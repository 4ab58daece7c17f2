//! A policy as written -> a policy that can be evaluated, with every mistake reported.

use std::collections::BTreeMap;

use super::check::{Mistake, Path};
use super::expr::Expression;
use super::spec::{LabelSelector, Operator, Source, Spec};
use super::syntax;
use crate::inject::carrier::is_carrier;
use stepspan_contract::names;

/// Longest value of an env variable, label source or attribute a policy may write, in bytes.
pub const MAX_VALUE: usize = 256;
/// Largest `otlp.caBundle`, in bytes.
pub const MAX_CA_BUNDLE: usize = 2048;
/// Most entries of any map or list in a policy, but for those of [`MAX_NAMES`].
pub const MAX_ENTRIES: usize = 32;
/// Most globs of a list, and most values of a label selector's requirement.
pub const MAX_NAMES: usize = 256;
/// Longest probe timeout and export budget.
pub const MAX_DURATION_MS: u64 = 5_000;

/// What an operator allows policies beyond the defaults.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Variable names, or prefixes ending in `*`, that `env.set` may name besides `OTEL_*`.
    pub allow_env: Vec<String>,
}

/// Every expression of some policies, compiled once, by its text.
pub type Expressions = BTreeMap<String, Expression>;

/// Checks what types cannot say; returns every mistake, with paths below the document's root. Expressions without one are
/// added to `expressions`.
pub fn mistakes(name: &str, spec: &Spec, rules: &Rules, expressions: &mut Expressions) -> Vec<Mistake> {
    let mut found = Found { mistakes: Vec::new(), expressions };
    if !syntax::is_dns_subdomain(name) {
        found.add(
            "metadata.name",
            format!("`{name}` is no DNS subdomain"),
            Some("use lower-case letters, digits, - and ."),
        );
    }
    check_match(spec, &mut found);
    check_correlation(spec, &mut found);
    check_metadata(spec, &mut found);
    check_otlp(spec, &mut found);
    check_env(spec, rules, &mut found);
    check_texts(spec, &mut found);
    found.mistakes
}

struct Found<'a> {
    mistakes: Vec<Mistake>,
    expressions: &'a mut Expressions,
}

impl Found<'_> {
    fn add(&mut self, path: &str, message: impl Into<String>, hint: Option<&str>) {
        self.at(Path::of(path), message, hint);
    }

    fn at(&mut self, path: Path, message: impl Into<String>, hint: Option<&str>) {
        self.mistakes.push(Mistake { path, message: message.into(), hint: hint.map(str::to_owned) });
    }

    fn entries(&mut self, path: &str, count: usize) {
        self.at_most(Path::of(path), count, MAX_ENTRIES);
    }

    fn at_most(&mut self, path: Path, count: usize, most: usize) {
        if count > most {
            self.at(path, format!("{count} entries, at most {most} are allowed"), None);
        }
    }

    fn expression(&mut self, path: Path, source: &str) {
        if self.expressions.contains_key(source) {
            return;
        }
        match Expression::compile(source) {
            Ok(expression) => drop(self.expressions.insert(source.to_owned(), expression)),
            Err(error) => self.at(path, error.to_string(), None),
        }
    }

    fn text(&mut self, path: Path, text: &str, most: usize) {
        if text.len() > most {
            self.at(path, format!("{} bytes, at most {most} are allowed", text.len()), None);
        } else if text.chars().any(char::is_control) {
            self.at(path, "control characters are not allowed", None);
        }
    }
}

fn check_match(spec: &Spec, found: &mut Found<'_>) {
    found.entries("spec.match.when", spec.r#match.when.len());
    for (i, source) in spec.r#match.when.iter().enumerate() {
        found.expression(Path::of("spec.match.when").index(i), source);
    }
    let globs = [("spec.match.namespaces", &spec.r#match.namespaces), ("spec.containers", &spec.containers)];
    for (path, globs) in globs {
        found.at_most(Path::of(path).key("include"), globs.include.as_ref().map_or(0, Vec::len), MAX_NAMES);
        found.at_most(Path::of(path).key("exclude"), globs.exclude.as_ref().map_or(0, Vec::len), MAX_NAMES);
    }
    found.at_most(Path::of("spec.match.templates"), spec.r#match.templates.len(), MAX_NAMES);
    let selectors =
        [("namespaceSelector", &spec.r#match.namespace_selector), ("podSelector", &spec.r#match.pod_selector)];
    for (field, selector) in selectors {
        if let Some(selector) = selector {
            check_selector(&Path::of("spec.match").key(field), selector, found);
        }
    }
    if let Some(annotation) = &spec.opt_out.annotation {
        label_key(Path::of("spec.optOut.annotation"), annotation, found);
    }
}

fn check_selector(at: &Path, selector: &LabelSelector, found: &mut Found<'_>) {
    found.at_most(at.key("matchExpressions"), selector.match_expressions.len(), MAX_ENTRIES);
    found.at_most(at.key("matchLabels"), selector.match_labels.len(), MAX_ENTRIES);
    for (i, requirement) in selector.match_expressions.iter().enumerate() {
        let at = at.key("matchExpressions").index(i);
        found.at_most(at.key("values"), requirement.values.len(), MAX_NAMES);
        let wants_values = matches!(requirement.operator, Operator::In | Operator::NotIn);
        if wants_values == requirement.values.is_empty() {
            let needs = if wants_values { "needs at least one value" } else { "takes no values" };
            found.at(at.key("values"), format!("operator {:?} {needs}", requirement.operator), None);
        }
        label_key(at.key("key"), &requirement.key, found);
    }
    for key in selector.match_labels.keys() {
        label_key(at.key("matchLabels").key(key), key, found);
    }
}

fn label_key(path: Path, key: &str, found: &mut Found<'_>) {
    if !syntax::is_qualified_name(key) {
        found.at(
            path,
            format!("`{key}` is no name of a label or annotation"),
            Some("[prefix/]name, at most 63 characters"),
        );
    }
}

/// A key that a policy wants to write on pods.
fn written_key(path: Path, key: &str, found: &mut Found<'_>) {
    label_key(path.clone(), key, found);
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let reserved = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    if ["stepspan.dev", "argoproj.io", "kubernetes.io", "k8s.io"].iter().any(|d| reserved(d)) {
        found.at(
            path,
            format!("`{key}` is reserved"),
            Some("keys of stepspan, Argo and Kubernetes can't be written by policies"),
        );
    }
}

fn check_correlation(spec: &Spec, found: &mut Found<'_>) {
    found.entries("spec.correlation", spec.correlation.len());
    for (key, correlation) in &spec.correlation {
        let at = Path::of("spec.correlation").key(key);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if key.is_empty() || key.len() > 63 || !key.bytes().all(plain) || !syntax::is_label_value(key) {
            found.at(at.clone(), format!("`{key}` is no correlation key"), Some("letters, digits, _ . -, at most 63"));
        }
        // The key's annotation would be one that means something else: the opt-out, a status, what a Workflow carries.
        let annotation = format!("{}{key}", names::ANNOTATION_PREFIX);
        if names::OWN_ANNOTATIONS.contains(&annotation.as_str()) || is_carrier(&annotation) {
            found.at(at.clone(), format!("`{key}` is reserved"), Some("its annotation has a meaning of its own"));
        }
        if let Some(label) = &correlation.label {
            written_key(at.key("label"), label, found);
        }
        if let Some(annotation) = &correlation.annotation {
            written_key(at.key("annotation"), annotation, found);
        }
        let sources = correlation.from.as_deref().unwrap_or_default();
        found.at_most(at.key("from"), sources.len(), MAX_ENTRIES);
        for (i, source) in sources.iter().enumerate() {
            check_source(&at.key("from").index(i), source, found);
        }
    }
}

fn check_source(at: &Path, source: &Source, found: &mut Found<'_>) {
    let name = |field: &str, name: &str, fits: bool, found: &mut Found<'_>| {
        if !fits {
            found.at(at.key(field), format!("`{name}` is not a {field} name"), None);
        }
    };
    match source {
        Source::Label(key) => label_key(at.key("label"), key, found),
        Source::Annotation(key) => label_key(at.key("annotation"), key, found),
        Source::WorkflowLabel(key) => label_key(at.key("workflowLabel"), key, found),
        Source::WorkflowAnnotation(key) => label_key(at.key("workflowAnnotation"), key, found),
        Source::NamespaceLabel(key) => label_key(at.key("namespaceLabel"), key, found),
        Source::Parameter(p) => name("parameter", p, syntax::is_parameter(p), found),
        Source::Input(p) => name("input", p, syntax::is_parameter(p), found),
        Source::Env(variable) => name("env", variable, syntax::is_env_name(variable), found),
        Source::Cel(expression) => found.expression(at.key("cel"), expression),
        Source::Value(text) => found.text(at.key("value"), text, MAX_VALUE),
        Source::Builtin(_) => {}
    }
}

fn check_metadata(spec: &Spec, found: &mut Found<'_>) {
    found.entries("spec.labels", spec.labels.len());
    found.entries("spec.annotations", spec.annotations.len());
    for (key, value) in &spec.labels {
        let at = Path::of("spec.labels").key(key);
        written_key(at.clone(), key, found);
        if !syntax::is_label_value(value) {
            found.at(
                at,
                format!("`{value}` is no label value"),
                Some("at most 63 letters, digits, - _ ., alphanumeric at both ends"),
            );
        }
    }
    for (key, value) in &spec.annotations {
        let at = Path::of("spec.annotations").key(key);
        written_key(at.clone(), key, found);
        found.text(at, value, 1024);
    }
}

fn check_otlp(spec: &Spec, found: &mut Found<'_>) {
    if let Some(endpoint) = spec.otlp.endpoint.as_deref().filter(|e| !syntax::is_endpoint(e)) {
        found.add(
            "spec.otlp.endpoint",
            format!("`{}` is no endpoint", syntax::shown_url(endpoint)),
            Some("such as http://otel-collector:4317"),
        );
    }
    if let Some(bundle) = &spec.otlp.ca_bundle {
        if bundle.len() > MAX_CA_BUNDLE {
            found.add(
                "spec.otlp.caBundle",
                format!("{} bytes, at most {MAX_CA_BUNDLE} are allowed", bundle.len()),
                None,
            );
        } else if !bundle.is_empty() && !bundle.contains("-----BEGIN CERTIFICATE-----") {
            found.add("spec.otlp.caBundle", "no PEM certificate in it", Some("-----BEGIN CERTIFICATE----- ..."));
        }
    }
    let headers = spec.otlp.headers_from.as_deref().unwrap_or_default();
    found.entries("spec.otlp.headersFrom", headers.len());
    for (i, header) in headers.iter().enumerate() {
        let at = Path::of("spec.otlp.headersFrom").index(i);
        if !syntax::is_header_name(&header.name) {
            found.at(at.key("name"), format!("`{}` is no header name", header.name), None);
        }
        if headers[..i].iter().any(|h| h.name.eq_ignore_ascii_case(&header.name)) {
            found.at(at.key("name"), format!("header `{}` stands twice", header.name), None);
        }
        if !syntax::is_dns_subdomain(&header.secret_key_ref.name) {
            found.at(
                at.key("secretKeyRef").key("name"),
                format!("`{}` is no Secret name", header.secret_key_ref.name),
                None,
            );
        }
        if !syntax::is_secret_key(&header.secret_key_ref.key) {
            found.at(
                at.key("secretKeyRef").key("key"),
                format!("`{}` is no key of a Secret", header.secret_key_ref.key),
                None,
            );
        }
    }
}

fn check_env(spec: &Spec, rules: &Rules, found: &mut Found<'_>) {
    found.entries("spec.env.set", spec.env.set.len());
    for (i, variable) in spec.env.set.iter().enumerate() {
        let at = Path::of("spec.env.set").index(i);
        if !syntax::is_env_name(&variable.name) {
            found.at(at.key("name"), format!("`{}` is no name of a variable", variable.name), None);
        } else if !may_set(&variable.name, rules) {
            let hint = "policies set OTEL_* only; an operator allows more with --allow-env";
            found.at(at.key("name"), format!("`{}` may not be set", variable.name), Some(hint));
        }
        if spec.env.set[..i].iter().any(|v| v.name == variable.name) {
            found.at(at.key("name"), format!("`{}` stands twice", variable.name), None);
        }
        found.text(at.key("value"), &variable.value, MAX_VALUE);
    }
}

/// Whether `env.set` may name a variable.
pub fn may_set(name: &str, rules: &Rules) -> bool {
    let never = name.starts_with("ARGO_")
        || name.starts_with("LD_")
        || name == "PATH"
        || name.starts_with(names::PRIVATE_PREFIX);
    let allowed = |rule: &String| match rule.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == rule,
    };
    !never && (name.starts_with("OTEL_") || rules.allow_env.iter().any(allowed))
}

fn check_texts(spec: &Spec, found: &mut Found<'_>) {
    for (path, text) in [("spec.environment", &spec.environment), ("spec.serviceName", &spec.service_name)] {
        let Some(text) = text else { continue };
        found.text(Path::of(path), text, 128);
        if text.is_empty() {
            found.add(path, "must not be empty", None);
        }
    }
    if let Some(name) = &spec.shim.span_name {
        found.text(Path::of("spec.shim.spanName"), name, 128);
        if !braces_pair(name) {
            found.add(
                "spec.shim.spanName",
                "a brace without its partner",
                Some("{key} stands for a correlation value"),
            );
        }
    }
    let durations = [
        ("spec.initContainer.probe.timeout", &spec.init_container.probe.timeout),
        ("spec.shim.budget", &spec.shim.budget),
    ];
    for (path, text) in durations {
        let Some(text) = text else { continue };
        match syntax::duration_ms(text) {
            None => found.add(path, format!("`{text}` is no duration"), Some("such as 300ms or 2s")),
            Some(ms) if ms > MAX_DURATION_MS => found.add(path, format!("{text} is over the limit of 5s"), None),
            Some(_) => {}
        }
    }
}

fn braces_pair(text: &str) -> bool {
    let mut open = false;
    for c in text.chars() {
        match c {
            '{' if open => return false,
            '{' => open = true,
            '}' if !open => return false,
            '}' => open = false,
            _ => {}
        }
    }
    !open
}
