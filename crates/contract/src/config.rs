//! The shim's configuration: text, one `name value` a line.
//!
//! `\` and line breaks in values are escaped, so a value is any text. It travels in one environment variable, where the
//! kubelet expands `$(VAR)`: the webhook doubles every `$` when it writes the variable, the shim sees the text below.
//! Readers ignore names they do not know; a reader refuses a `version` above its own.

use std::fmt;

/// The version this crate writes and reads.
pub const VERSION: u32 = 1;

/// What a policy does where the container has a variable of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The container's value stays.
    #[default]
    Keep,
    /// Ours replaces it.
    Override,
    /// Per key of a comma list, the container's key wins.
    Merge,
    /// Our variable's whole group is dropped.
    Skip,
}

impl OnConflict {
    /// The policy's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Override => "override",
            Self::Merge => "merge",
            Self::Skip => "skip",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Keep, Self::Override, Self::Merge, Self::Skip].into_iter().find(|c| c.as_str() == text)
    }
}

/// A variable that is settled inside the pod, where the real values are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvRule {
    /// The variable.
    pub name: String,
    /// Our value.
    pub value: String,
    /// What to do where the environment has it.
    pub on_conflict: OnConflict,
}

/// The parent of the step span.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Parent {
    /// The step span is a root of the trace.
    #[default]
    None,
    /// A span id, 16 hex digits: the node's span, or a foreign one that the policy joins.
    Span(String),
    /// What `TRACEPARENT` in the environment says (`traceContext.mode: argo`).
    Environment,
}

/// Where the identity line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityLine {
    /// stdout, or stderr where the step's stdout is captured as its result.
    #[default]
    Auto,
    /// Always stderr.
    Stderr,
    /// Nowhere.
    Off,
}

impl IdentityLine {
    /// The policy's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Stderr => "stderr",
            Self::Off => "off",
        }
    }
}

/// What the webhook tells the shim. Ids are lower-case hex; durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a line of its own in the text form")]
pub struct Config {
    /// Trace id, 32 hex digits.
    pub trace_id: String,
    /// The step span's parent.
    pub parent: Parent,
    /// The sampling decision, made once at admission.
    pub sampled: bool,
    /// A failed step is exported even when not sampled.
    pub keep_failed: bool,
    /// Traceparents to link to: a foreign one, the attempt before.
    pub links: Vec<String>,
    /// The pod's name, where admission knew it.
    pub pod_name: Option<String>,
    /// UID of the Workflow: with node id, pod UID, container and attempt it gives the span id.
    pub workflow_uid: String,
    /// Argo's node id.
    pub node_id: String,
    /// The container's name.
    pub container: String,
    /// The span's name: text with `{key}` for attributes.
    pub span_name: String,
    /// `seed`, `semconv` or `both`.
    pub attribute_names: String,
    /// Attributes known at admission: correlation keys and built-ins.
    pub attributes: Vec<(String, String)>,
    /// Attributes a variable of the step's environment decides, if it is set and not empty: (key, variable).
    pub attributes_from_env: Vec<(String, String)>,
    /// The collector, as a URL.
    pub endpoint: String,
    /// `grpc` or `http/protobuf`.
    pub protocol: String,
    /// Path of a CA bundle.
    pub ca_file: Option<String>,
    /// OTLP headers: (header, variable that holds its value).
    pub headers: Vec<(String, String)>,
    /// Time after the command's end in which the span must be out.
    pub budget_ms: u64,
    /// The pod's termination grace period; 0 where it is not known.
    pub grace_ms: u64,
    /// The step is a daemon, whose end by SIGTERM is none of its failures.
    pub daemon: bool,
    /// Where the identity line goes.
    pub identity_line: IdentityLine,
    /// The shim emits the step's metrics (`metrics.owner: shim`), and this is their `workflowName`: never a run's own.
    pub metrics: Option<String>,
    /// Variables settled in the pod, in order.
    pub env: Vec<EnvRule>,
}

/// Why a configuration could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The first line is not `version N` with an N this reader knows.
    Version(String),
    /// The number of a line that is not `name value`, or whose value is not of its form. What stands there may be a secret.
    Line(usize),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(found) => write!(f, "configuration of version {found:?}, this shim reads {VERSION}"),
            Self::Line(line) => write!(f, "line {line} of the configuration cannot be read"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The text form; [`Config::decode`] reads it back to an equal value.
    pub fn encode(&self) -> String {
        let mut out = Writer(String::with_capacity(512));
        out.line("version", &VERSION.to_string());
        out.line("trace", &self.trace_id);
        match &self.parent {
            Parent::None => {}
            Parent::Span(id) => out.line("parent", id),
            Parent::Environment => out.line("parent", "env"),
        }
        out.flag("sampled", self.sampled);
        out.flag("keep-failed", self.keep_failed);
        for link in &self.links {
            out.line("link", link);
        }
        out.optional("pod", self.pod_name.as_deref());
        out.line("workflow", &self.workflow_uid);
        out.line("node", &self.node_id);
        out.line("container", &self.container);
        out.line("name", &self.span_name);
        out.line("names", &self.attribute_names);
        out.pairs("attr", &self.attributes);
        out.pairs("attr-env", &self.attributes_from_env);
        out.line("endpoint", &self.endpoint);
        out.line("protocol", &self.protocol);
        out.optional("ca", self.ca_file.as_deref());
        out.pairs("header", &self.headers);
        out.line("budget", &self.budget_ms.to_string());
        if self.grace_ms > 0 {
            out.line("grace", &self.grace_ms.to_string());
        }
        out.flag("daemon", self.daemon);
        out.line("line", self.identity_line.as_str());
        out.optional("metrics", self.metrics.as_deref());
        for rule in &self.env {
            out.line("env", &format!("{} {}={}", rule.on_conflict.as_str(), rule.name, rule.value));
        }
        out.0
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`ConfigError`] for another version or a line that is not of its form; unknown names are ignored.
    pub fn decode(text: &str) -> Result<Self, ConfigError> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let version = first.strip_prefix("version ").unwrap_or(first);
        if version.parse::<u32>().ok().is_none_or(|v| v == 0 || v > VERSION) {
            return Err(ConfigError::Version(version.to_owned()));
        }
        let mut config = Self::default();
        for (at, line) in lines.enumerate() {
            config.read_line(line).ok_or(ConfigError::Line(at + 2))?;
        }
        Ok(config)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (name, raw) = line.split_once(' ')?;
        let value = unescape(raw)?;
        let pair = |text: &str| text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        match name {
            "trace" => self.trace_id = value,
            "parent" if value == "env" => self.parent = Parent::Environment,
            "parent" => self.parent = Parent::Span(value),
            "sampled" => self.sampled = value == "1",
            "keep-failed" => self.keep_failed = value == "1",
            "link" => self.links.push(value),
            "pod" => self.pod_name = Some(value),
            "workflow" => self.workflow_uid = value,
            "node" => self.node_id = value,
            "container" => self.container = value,
            "name" => self.span_name = value,
            "names" => self.attribute_names = value,
            "attr" => self.attributes.push(pair(&value)?),
            "attr-env" => self.attributes_from_env.push(pair(&value)?),
            "endpoint" => self.endpoint = value,
            "protocol" => self.protocol = value,
            "ca" => self.ca_file = Some(value),
            "header" => self.headers.push(pair(&value)?),
            "budget" => self.budget_ms = value.parse().ok()?,
            "grace" => self.grace_ms = value.parse().ok()?,
            "daemon" => self.daemon = value == "1",
            "line" => self.identity_line = read_identity_line(&value)?,
            "metrics" => self.metrics = Some(value),
            "env" => self.env.push(read_rule(&value)?),
            _ => {}
        }
        Some(())
    }
}

fn read_identity_line(value: &str) -> Option<IdentityLine> {
    [IdentityLine::Auto, IdentityLine::Stderr, IdentityLine::Off].into_iter().find(|l| l.as_str() == value)
}

fn read_rule(value: &str) -> Option<EnvRule> {
    let (conflict, rest) = value.split_once(' ')?;
    let (name, value) = rest.split_once('=')?;
    Some(EnvRule { name: name.to_owned(), value: value.to_owned(), on_conflict: OnConflict::parse(conflict)? })
}

struct Writer(String);

impl Writer {
    fn line(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push(' ');
        self.escaped(value);
        self.0.push('\n');
    }

    fn escaped(&mut self, value: &str) {
        if !value.contains(['\\', '\n', '\r']) {
            return self.0.push_str(value);
        }
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                other => self.0.push(other),
            }
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.line(name, "1");
        }
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }

    fn pairs(&mut self, name: &str, pairs: &[(String, String)]) {
        for (key, value) in pairs {
            self.0.push_str(name);
            self.0.push(' ');
            self.escaped(key);
            self.0.push('=');
            self.escaped(value);
            self.0.push('\n');
        }
    }
}

fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        proptest::collection::vec(("[a-zA-Z.]{1,8}", any::<String>()), 0..4)
    }

    prop_compose! {
        fn config()(
            ids in ("[0-9a-f]{32}", "[0-9a-f]{16}", any::<String>(), any::<String>(), any::<String>()),
            parent in 0..3, flags in any::<[bool; 5]>(), attributes in pairs(), from_env in pairs(), headers in pairs(),
            links in any::<Vec<String>>(), pod_name in any::<Option<String>>(), budget in any::<u64>(), rules in pairs(),
        ) -> Config {
            let (trace_id, span, uid, node_id, container) = ids;
            Config {
                trace_id, sampled: flags[0], keep_failed: flags[1], metrics: flags[2].then(|| span.clone()), links, pod_name, workflow_uid: uid, node_id,
                parent: match parent { 0 => Parent::None, 1 => Parent::Span(span), _ => Parent::Environment },
                container: container.clone(), span_name: container.clone(), attribute_names: "both".into(), attributes,
                attributes_from_env: from_env, endpoint: "http://c:4317".into(), protocol: "grpc".into(),
                ca_file: flags[3].then_some(container), headers, budget_ms: budget, grace_ms: budget, daemon: flags[4], identity_line: IdentityLine::Stderr,
                env: rules.into_iter().map(|(name, value)| EnvRule { name, value, on_conflict: OnConflict::Merge }).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(config in config()) {
            prop_assert_eq!(Config::decode(&config.encode()), Ok(config));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = Config::decode(&text);
            let _ = Config::decode(&format!("version 1\n{text}"));
        }
    }

    #[test]
    fn a_newer_version_is_refused_and_an_unknown_line_is_not() {
        assert_eq!(Config::decode("version 2\n"), Err(ConfigError::Version("2".into())));
        assert!(Config::decode("version 1\ncolour blue\ntrace 00\n").is_ok_and(|c| c.trace_id == "00"));
    }
}
