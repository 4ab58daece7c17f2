//! The merged policy of one pod, with defaults filled in and sources compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stepspan_contract::{IdentityLine, OnConflict};

use super::expr::Expression;
use super::merge::{Merged, Writer};
use super::spec::{
    self, Builtin, Globs, HeaderFrom, Incoming, Install, ParentKind, Position, Preset, Protocol, Scope, Source,
    TraceMode,
};
use super::syntax::duration_ms;

/// Where spans go where no policy says.
pub const DEFAULT_ENDPOINT: &str = "http://otel-collector:4317";

/// What counts for one pod: no field is open any more.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Step containers to take.
    pub containers: Globs,
    /// `deployment.environment`.
    pub environment: String,
    /// `service.name`.
    pub service_name: String,
    /// Correlation keys in the order of their names.
    pub correlation: Vec<Key>,
    /// Collector URL.
    pub endpoint: String,
    /// OTLP protocol.
    pub protocol: Protocol,
    /// PEM of a private CA.
    pub ca_bundle: Option<String>,
    /// Headers from Secrets.
    pub headers: Vec<HeaderFrom>,
    /// Whether the nine baseline variables are set.
    pub preset: Preset,
    /// Variables over the preset.
    pub set: Vec<Variable>,
    /// Who sets the variables.
    pub scope: Scope,
    /// Fixed labels.
    pub labels: BTreeMap<String, String>,
    /// Fixed annotations.
    pub annotations: BTreeMap<String, String>,
    /// Share of traces, 0 to 1.
    pub ratio: f64,
    /// Failed steps are exported whatever the ratio.
    pub keep_failed: bool,
    /// Where the init container stands.
    pub position: Position,
    /// Probe timeout; 0 does not probe.
    pub probe_ms: u64,
    /// How the shim comes into the pod.
    pub install: Install,
    /// Where the identity line goes.
    pub identity_line: IdentityLine,
    /// The span's name with `{key}`.
    pub span_name: String,
    /// `seed`, `semconv`, `both`.
    pub attributes: spec::Attributes,
    /// Export budget after the command's end.
    pub budget_ms: u64,
    /// Whose trace.
    pub mode: TraceMode,
    /// What an incoming traceparent means.
    pub incoming: Incoming,
    /// The step span's parent.
    pub parent: Option<ParentKind>,
    /// Annotations by which the merged policies let a pod opt out.
    pub opt_out: BTreeSet<String>,
    /// Which policy wrote which leaf; defaults are nobody's.
    pub writers: Arc<BTreeMap<String, Writer>>,
}

/// A correlation key, compiled.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Ordered sources.
    pub from: Vec<CompiledSource>,
    /// Pod label for the safe form.
    pub label: Option<String>,
    /// Pod annotation for the exact value.
    pub annotation: Option<String>,
    /// Not injected without a value.
    pub required: bool,
}

/// A source, its expression compiled.
#[derive(Debug, Clone)]
pub enum CompiledSource {
    /// Everything but CEL.
    Plain(Source),
    /// A CEL expression.
    Cel(Expression),
}

/// A variable of `env.set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What to do where the container has it.
    pub on_conflict: OnConflict,
}

impl Effective {
    /// Fills in the defaults. `expression` gives a compiled expression for its source; sources without one are left out
    /// (none is, once [`super::compile::mistakes`] found nothing).
    pub fn new(merged: Merged, opt_out: BTreeSet<String>, expression: impl Fn(&str) -> Option<Expression>) -> Self {
        let Merged { mut spec, writers } = merged;
        let correlation = correlation(&mut spec.correlation, &expression);
        Self {
            containers: spec.containers,
            environment: spec.environment.unwrap_or_else(|| "dev".to_owned()),
            service_name: spec.service_name.unwrap_or_else(|| "agent-steps".to_owned()),
            correlation,
            endpoint: spec.otlp.endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            protocol: spec.otlp.protocol.unwrap_or(Protocol::Grpc),
            ca_bundle: spec.otlp.ca_bundle.filter(|b| !b.is_empty()),
            headers: spec.otlp.headers_from.unwrap_or_default(),
            preset: spec.env.preset.unwrap_or(Preset::Otel),
            set: spec.env.set.into_iter().map(variable).collect(),
            scope: spec.env.scope.unwrap_or(Scope::Auto),
            labels: spec.labels,
            annotations: spec.annotations,
            ratio: spec.sampling.ratio.unwrap_or(1.0),
            keep_failed: spec.sampling.keep_failed.unwrap_or(true),
            position: spec.init_container.position.unwrap_or(Position::Last),
            probe_ms: spec.init_container.probe.timeout.as_deref().and_then(duration_ms).unwrap_or(300),
            install: spec.shim.install.unwrap_or(Install::Auto),
            identity_line: identity_line(spec.shim.identity_line),
            span_name: spec.shim.span_name.unwrap_or_else(|| "{agent}/{stepName}".to_owned()),
            attributes: spec.shim.attributes.unwrap_or(spec::Attributes::Both),
            budget_ms: spec.shim.budget.as_deref().and_then(duration_ms).unwrap_or(500),
            mode: spec.trace_context.mode.unwrap_or(TraceMode::Own),
            incoming: spec.trace_context.incoming.unwrap_or(Incoming::Link),
            parent: spec.trace_context.parent,
            opt_out,
            writers: Arc::new(writers),
        }
    }
}

fn correlation(
    keys: &mut BTreeMap<String, spec::Correlation>,
    expression: &impl Fn(&str) -> Option<Expression>,
) -> Vec<Key> {
    // The default span name needs these two; a policy that writes them decides alone.
    for (name, builtin) in [("agent", Builtin::TemplateName), ("stepName", Builtin::StepName)] {
        let from = &mut keys.entry(name.to_owned()).or_default().from;
        from.get_or_insert_with(|| vec![Source::Builtin(builtin)]);
    }
    let compiled = |source: Source| match source {
        Source::Cel(text) => expression(&text).map(CompiledSource::Cel),
        plain => Some(CompiledSource::Plain(plain)),
    };
    let key = |(name, key): (String, spec::Correlation)| Key {
        name,
        from: key.from.unwrap_or_default().into_iter().filter_map(compiled).collect(),
        label: key.label,
        annotation: key.annotation,
        required: key.required.unwrap_or(false),
    };
    std::mem::take(keys).into_iter().map(key).collect()
}

fn variable(variable: spec::EnvVar) -> Variable {
    let on_conflict = match variable.on_conflict {
        None | Some(spec::OnConflict::Keep) => OnConflict::Keep,
        Some(spec::OnConflict::Override) => OnConflict::Override,
        Some(spec::OnConflict::Merge) => OnConflict::Merge,
        Some(spec::OnConflict::Skip) => OnConflict::Skip,
    };
    Variable { name: variable.name, value: variable.value, on_conflict }
}

fn identity_line(line: Option<spec::IdentityLine>) -> IdentityLine {
    match line {
        None | Some(spec::IdentityLine::Auto) => IdentityLine::Auto,
        Some(spec::IdentityLine::Stderr) => IdentityLine::Stderr,
        Some(spec::IdentityLine::Off) => IdentityLine::Off,
    }
}
