//! The rules: what each is called, how bad it is, and what it is about. docs/lint.md has a section for each.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Likely not what was meant.
    Warning,
    /// Does not do what it says.
    Error,
}

impl Severity {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in reports and in comments that allow it; a section of docs/lint.md.
    pub id: &'static str,
    /// How bad its findings are, where they do not say otherwise.
    pub severity: Severity,
    /// What it finds, in a sentence.
    pub finds: &'static str,
}

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $finds:literal;)*) => {
        $(#[doc = $finds] pub static $name: Rule = Rule { id: $id, severity: Severity::$severity, finds: $finds };)*
        /// All rules, in the order of docs/lint.md.
        pub static ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    INVALID "invalid" Error "The policy does not load: not YAML, an unknown field, a wrong type or a value that can't be.";
    UNREACHABLE_POLICY "unreachable-policy" Error "No pod can satisfy `match`.";
    SHADOWED_POLICY "shadowed-policy" Warning "Policies before it say all that it says, wherever it matches.";
    EQUAL_PRIORITY "equal-priority" Warning "Two policies of one priority contradict each other: their names decide.";
    MATCH_ALL "match-all" Warning "The policy takes every pod of Argo in every namespace, and leaves nothing out.";
    NEVER_TRUE "never-true" Error "A condition can be true on no pod of Argo as it is admitted.";
    UNGUARDED_KEY "unguarded-key" Warning "An expression reads a key that may be missing, without asking for it.";
    INVALID_LABEL "invalid-label" Error "A selector asks for a value that no label can have.";
    LABEL_CONFLICT "label-conflict" Warning "Two entries write one label or annotation.";
    UNREACHABLE_SOURCE "unreachable-source" Warning "A source is never asked: one before it always has a value.";
    REQUIRED_WITHOUT_SOURCE "required-without-source" Error "A required value has no source: nothing is ever injected.";
    UNKNOWN_PLACEHOLDER "unknown-placeholder" Warning "The span's name asks for a correlation key that no policy has.";
    SECRET "secret" Error "A secret stands in the policy, or would be put into spans and labels.";
    BARE_HOST "bare-host" Info "The endpoint's host has no dot: it resolves only in the step's own namespace.";
    PROTOCOL_PORT "protocol-port" Warning "The endpoint's port is the one of the other OTLP protocol.";
    CONTAINER_SCOPE "container-scope" Warning "Argo 4.1's executor reads OTEL_* variables that stand in a container's env.";
    FAIL_CLOSED "fail-closed" Warning "Something missing keeps pods from starting.";
    ALLOW_COMMENT "allow-comment" Warning "A `stepspan-lint: allow` comment that names no rule, gives no reason or allows nothing.";
}

/// The rule of this name.
pub fn named(id: &str) -> Option<&'static Rule> {
    ALL.iter().copied().find(|rule| rule.id == id)
}
