//! Where a node is in its life, and what it stands for (`NodePhase`, `NodeType`, `WorkflowPhase` of Argo's `workflow_types.go`).

/// Where a Workflow or node is in its life (`WorkflowPhase`, `NodePhase`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Waits to run; what has no phase yet, too.
    #[default]
    Pending,
    /// Runs.
    Running,
    /// Ended without errors.
    Succeeded,
    /// Was not run: its `when` did not hold.
    Skipped,
    /// Was not run: its `depends` did not hold.
    Omitted,
    /// It, or something below it, ended with another exit code than 0.
    Failed,
    /// Anything else went wrong.
    Error,
}

impl Phase {
    pub(super) fn read(text: &str) -> Self {
        match text {
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Skipped" => Self::Skipped,
            "Omitted" => Self::Omitted,
            "Failed" => Self::Failed,
            "Error" => Self::Error,
            _ => Self::Pending,
        }
    }

    /// As Argo writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Skipped => "Skipped",
            Self::Omitted => "Omitted",
            Self::Failed => "Failed",
            Self::Error => "Error",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Failed, or in error.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }
}

/// What a node stands for (`NodeType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// A step with a pod.
    Pod,
    /// A member of a containerSet.
    Container,
    /// A `steps` template.
    Steps,
    /// One group of it.
    StepGroup,
    /// A `dag` template.
    Dag,
    /// A task that is a loop.
    TaskGroup,
    /// A step with a `retryStrategy`, around its attempts.
    Retry,
    /// A step that was not run.
    Skipped,
    /// A `suspend` template.
    Suspend,
    /// An `http` template.
    Http,
    /// A `plugin` template.
    Plugin,
    /// One that a later Argo has.
    #[default]
    Other,
}

impl Kind {
    const NAMES: [(&'static str, Self); 11] = [
        ("Pod", Self::Pod),
        ("Container", Self::Container),
        ("Steps", Self::Steps),
        ("StepGroup", Self::StepGroup),
        ("DAG", Self::Dag),
        ("TaskGroup", Self::TaskGroup),
        ("Retry", Self::Retry),
        ("Skipped", Self::Skipped),
        ("Suspend", Self::Suspend),
        ("HTTP", Self::Http),
        ("Plugin", Self::Plugin),
    ];

    pub(super) fn read(text: &str) -> Self {
        Self::NAMES.into_iter().find(|(name, _)| *name == text).map_or(Self::Other, |(_, kind)| kind)
    }

    /// As Argo writes it.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, kind)| *kind == self).map_or("Other", |(name, _)| name)
    }

    /// Whether it counts as a step: what has a container of its own.
    pub fn is_step(self) -> bool {
        matches!(self, Self::Pod | Self::Container)
    }
}
