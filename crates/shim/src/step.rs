//! What is known of a step before its command starts: identity, attributes, where its span goes.

use std::path::Path;
use std::time::Duration;

use stepspan_contract::env::pairs;
use stepspan_contract::traceparent::{self, Parts};
use stepspan_contract::{Config, IdentityLine, Parent, names};

use crate::attributes;
use crate::command::Environment;
use crate::export::Target;
use crate::otlp::{Attributes, Link, SCOPE};
use crate::{child_env, exporter, identity};

/// Kubernetes' own (`terminationGracePeriodSeconds`).
const USUAL_GRACE: Duration = Duration::from_secs(30);
/// A part of a step has no policy of its own.
const USUAL_BUDGET: Duration = Duration::from_millis(500);

/// Where the line with trace and span id goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Nowhere.
    Off,
    /// stdout.
    Stdout,
    /// stderr.
    Stderr,
}

/// A step, or a part of one.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Step {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, empty for a root.
    pub parent: String,
    /// The sampling decision.
    pub sampled: bool,
    /// A failure is exported although not sampled.
    pub keep_failed: bool,
    /// A foreign trace.
    pub links: Vec<Link>,
    /// A part of a step, in its script.
    pub is_part: bool,
    /// The span's name.
    pub name: String,
    /// Attributes known before the end.
    pub attributes: Attributes,
    /// The resource.
    pub resource: Attributes,
    /// Labels of the step's metrics, where we emit them.
    pub labels: Option<Attributes>,
    /// The step's shim, which sends the spans of its parts; its name for [`crate::relay`].
    pub relay: Option<String>,
    /// Where it is exported to, or why nowhere.
    pub target: Result<Target, String>,
    /// After the command's end.
    pub budget: Duration,
    /// After SIGTERM.
    pub grace: Duration,
    /// Its end by SIGTERM is no failure.
    pub daemon: bool,
    /// Where the identity line goes.
    pub line: Line,
}

impl Step {
    /// Whether a span may have to go out at the command's end.
    pub fn may_export(&self) -> bool {
        (self.target.is_ok() || self.relay.is_some()) && (self.sampled || self.keep_failed || self.labels.is_some())
    }
}

/// Reads what the webhook wrote, and prepares the command's environment.
///
/// # Errors
/// Why there is no span; the environment is fit for the command all the same.
pub fn of_pod(env: &mut Environment, program: &str) -> Result<Step, String> {
    let text = env.text(names::CONFIG_ENV).map(ToOwned::to_owned);
    let outside = env.clone();
    child_env::strip(env);
    // Also where there is no span: a script calls it by this name.
    env.set(names::SHIM_ENV, program);
    let config = Config::decode(&text.ok_or("no configuration")?).map_err(|error| error.to_string())?;
    child_env::settle(env, &config.env);
    let values = values(&config, env);
    let of = |key: &str| values.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let pod_uid = outside.text(names::POD_UID_ENV).unwrap_or_default();
    let pod_name = config.pod_name.as_deref().or_else(|| outside.text(names::POD_NAME_ENV)).unwrap_or_default();
    let span_id = identity::step_span(&config, pod_uid, Path::new(identity::COUNTER_FOLDER));
    let environment = outside.text("TRACEPARENT").and_then(traceparent::parts);
    let (trace_id, parent, sampled) = match (&config.parent, environment) {
        (Parent::Environment, Some(Parts { trace, span, sampled })) => (trace.to_owned(), span.to_owned(), sampled),
        (Parent::Span(span), _) => (config.trace_id.clone(), span.clone(), config.sampled),
        _ => (config.trace_id.clone(), String::new(), config.sampled),
    };
    let baggage: Vec<(&str, &str)> = values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    child_env::hand_on(env, (&trace_id, &span_id, sampled), &baggage);
    let duration = |ms: u64, usual: Duration| if ms == 0 { usual } else { Duration::from_millis(ms) };
    Ok(Step {
        parent,
        sampled,
        keep_failed: config.keep_failed,
        links: config.links.iter().filter_map(|text| traceparent::parts(text)).map(link).collect(),
        is_part: false,
        name: attributes::span_name(&config.span_name, &config.container, of),
        attributes: attributes::of_step(&config, &values),
        resource: resource(env, pod_name, pod_uid),
        labels: config.metrics.as_ref().map(|workflow| {
            crate::otlp::labels(|key| if key == "workflowName" { Some(workflow.clone()) } else { of(key) })
        }),
        relay: None,
        target: exporter::of_config(&config, &outside, env),
        budget: Duration::from_millis(config.budget_ms),
        grace: duration(config.grace_ms, USUAL_GRACE),
        daemon: config.daemon,
        line: line(config.identity_line, env),
        trace_id,
        span_id,
    })
}

/// A part of a step: `run --name` inside its script. What surrounds it stands in the standard variables.
pub fn of_part(env: &mut Environment, name: String) -> Step {
    let around = env.text("TRACEPARENT").and_then(traceparent::parts);
    let (trace_id, parent, sampled) = around.map_or_else(
        || (identity::random(32), String::new(), true),
        |Parts { trace, span, sampled }| (trace.to_owned(), span.to_owned(), sampled),
    );
    let span_id = identity::random(16);
    let baggage = env.text("BAGGAGE").unwrap_or_default().to_owned();
    let values: Vec<(String, String)> = pairs(&baggage).map(|(key, value)| (key.to_owned(), value)).collect();
    let relay = env.text(names::RELAY_ENV).map(ToOwned::to_owned);
    child_env::strip(env);
    if let Some(name) = &relay {
        env.set(names::RELAY_ENV, name);
    }
    env.set("TRACEPARENT", &format!("00-{trace_id}-{span_id}-{:02x}", u8::from(sampled)));
    // What a step or part around us has set is passed on as ours; the user's own stays.
    for (name, ours, around) in [("TRACE_ID", &trace_id, &trace_id), ("SPAN_ID", &span_id, &parent)] {
        if env.get(name).is_none_or(|found| found == around.as_bytes()) {
            env.set(name, ours);
        }
    }
    Step {
        parent,
        sampled,
        keep_failed: false,
        links: Vec::new(),
        is_part: true,
        name,
        attributes: attributes::of_part(&values),
        resource: resource(env, "", ""),
        labels: None,
        relay,
        target: exporter::of_environment(env),
        budget: USUAL_BUDGET,
        grace: USUAL_GRACE,
        daemon: false,
        line: Line::Off,
        trace_id,
        span_id,
    }
}

/// Attributes of the configuration; a variable of the step's, where the policy names one before the source that was found, wins.
fn values(config: &Config, env: &Environment) -> Vec<(String, String)> {
    let mut values = config.attributes.clone();
    let mut settled: Vec<&str> = Vec::new();
    for (key, variable) in &config.attributes_from_env {
        let Some(found) = env.text(variable).filter(|_| !settled.contains(&key.as_str())) else { continue };
        settled.push(key);
        let found = attributes::clean(found);
        match values.iter_mut().find(|(name, _)| name == key) {
            Some((_, value)) => *value = found,
            None => values.push((key.clone(), found)),
        }
    }
    values
}

fn link(Parts { trace, span, sampled }: Parts<'_>) -> Link {
    Link { trace_id: identity::bytes(trace), span_id: identity::bytes(span), sampled }
}

fn line(wanted: IdentityLine, env: &Environment) -> Line {
    match wanted {
        IdentityLine::Off => Line::Off,
        IdentityLine::Stderr => Line::Stderr,
        // Argo captures stdout as the step's result (`common.EnvVarIncludeScriptOutput`).
        IdentityLine::Auto if env.text("ARGO_INCLUDE_SCRIPT_OUTPUT") == Some("true") => Line::Stderr,
        IdentityLine::Auto => Line::Stdout,
    }
}

/// The resource as an SDK inside the step would have it, the pod and ourselves.
fn resource(env: &Environment, pod_name: &str, pod_uid: &str) -> Attributes {
    let mut resource: Attributes = Vec::new();
    let listed = env.text("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for (key, value) in pairs(listed) {
        attributes::put(&mut resource, key, &value);
    }
    // The specification gives this variable precedence over the list.
    if let Some(name) = env.text("OTEL_SERVICE_NAME") {
        attributes::put(&mut resource, "service.name", name);
    }
    for (key, value) in [("k8s.pod.name", pod_name), ("k8s.pod.uid", pod_uid)] {
        if !value.is_empty() && !resource.iter().any(|(name, _)| name == key) {
            attributes::put(&mut resource, key, value);
        }
    }
    for (key, value) in [
        ("telemetry.sdk.name", SCOPE),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        attributes::put(&mut resource, key, value);
    }
    resource
}
