//! The one list of reasons: the same word in the metric label, the audit annotation, the log, the status annotation
//! and the command line.

use std::fmt;

/// Why a pod, a container or a Workflow was not injected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// Not created by an Argo workflow: the label `workflows.argoproj.io/workflow` is absent.
    NotArgo,
    /// The operation is not CREATE.
    NotCreate,
    /// The review holds neither a Pod nor a Workflow.
    WrongKind,
    /// No policy matches.
    NoPolicy,
    /// The opt-out annotation of every matching policy says `false`.
    OptedOut,
    /// Injection is paused by the operator.
    Paused,
    /// Our image cannot start there: the circuit breaker is open.
    BreakerOpen,
    /// An artifact garbage collection pod of Argo.
    ArtifactGc,
    /// The agent pod that runs `http` and `plugin` templates.
    Agent,
    /// A `resource` template: the child is argoexec itself.
    Resource,
    /// A `data` template: the child is argoexec itself.
    Data,
    /// A template sidecar, not a step container.
    Sidecar,
    /// The policy's `containers` leaves this container out.
    ContainerExcluded,
    /// A Windows pod.
    Windows,
    /// The pod may land on an architecture our image does not have.
    Architecture,
    /// `[argoexec, emissary, flags, --]` could not be proven.
    PrefixNotProven,
    /// The pod already carries our shim: path after `--` and mount.
    AlreadyInjected,
    /// The container's own mounts or volumes stand where ours would.
    MountConflict,
    /// The container's argv or env refers to one of our private variables.
    ReservedReference,
    /// A correlation key that a policy requires has no value: `missing-<key>`.
    Missing(String),
    /// The self-check found that the patched pod could be refused.
    PatchUnsafe,
    /// The owning Workflow's UID, or the node's id, is not on the pod.
    NoIdentity,
    /// The body is not an AdmissionReview of `admission.k8s.io/v1`.
    Malformed,
    /// The body is longer than the limit.
    TooLarge,
    /// Evaluation stopped on an error of our own.
    Internal,
}

impl SkipReason {
    /// The word for metrics: a closed set, so `missing-<key>` is `missing`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotArgo => "not-argo",
            Self::NotCreate => "not-create",
            Self::WrongKind => "wrong-kind",
            Self::NoPolicy => "no-policy",
            Self::OptedOut => "opted-out",
            Self::Paused => "paused",
            Self::BreakerOpen => "breaker-open",
            Self::ArtifactGc => "artifact-gc",
            Self::Agent => "agent",
            Self::Resource => "resource",
            Self::Data => "data",
            Self::Sidecar => "sidecar",
            Self::ContainerExcluded => "container-excluded",
            Self::Windows => "windows",
            Self::Architecture => "architecture",
            Self::PrefixNotProven => "prefix-not-proven",
            Self::AlreadyInjected => "already-injected",
            Self::MountConflict => "mount-conflict",
            Self::ReservedReference => "reserved-reference",
            Self::Missing(_) => "missing",
            Self::PatchUnsafe => "patch-unsafe",
            Self::NoIdentity => "no-identity",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(f, "missing-{key}"),
            other => f.write_str(other.label()),
        }
    }
}
