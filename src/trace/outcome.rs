//! How a run or a node ended: for counts, and by the names of the semantic conventions.

use serde::{Deserialize, Serialize};

use super::phase::Phase;

/// How a step ended, for counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Succeeded.
    Success,
    /// Failed.
    Failure,
    /// Error.
    Error,
    /// Ended by stop or terminate.
    Cancelled,
}

impl Outcome {
    /// Of what has ended and was run.
    pub fn of(phase: Phase, message: &str) -> Option<Self> {
        match phase {
            Phase::Succeeded => Some(Self::Success),
            Phase::Failed | Phase::Error if is_stopped(message) => Some(Self::Cancelled),
            Phase::Failed => Some(Self::Failure),
            Phase::Error => Some(Self::Error),
            Phase::Pending | Phase::Running | Phase::Skipped | Phase::Omitted => None,
        }
    }

    /// As metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What `cicd.pipeline.result` and `cicd.pipeline.task.run.result` say (semantic conventions 1.37); `None` before the end.
pub fn result(phase: Phase, message: &str) -> Option<&'static str> {
    match phase {
        Phase::Skipped | Phase::Omitted => Some("skip"),
        _ if phase.is_bad() && is_late(message) => Some("timeout"),
        _ => Outcome::of(phase, message).map(|outcome| match outcome {
            Outcome::Cancelled => "cancellation",
            other => other.as_str(),
        }),
    }
}

/// `error.type` of what went wrong: a reason of the kubelet's or of Argo's, the exit code, else the phase.
pub fn error_type(phase: Phase, message: &str, exit_code: Option<i64>) -> String {
    let said = |words: &str| message.contains(words);
    let word = match () {
        () if is_stopped(message) => "Cancelled",
        () if is_late(message) => "DeadlineExceeded",
        () if said("OOMKilled") => "OOMKilled",
        () if said("evicted") || said("Evicted") || said("was low on resource") => "Evicted",
        () if said("pod deleted") => "PodDeleted",
        () if message == DELETED => "WorkflowDeleted",
        () if said("ErrImagePull") || said("ImagePullBackOff") || said("InvalidImageName") => "ImagePull",
        () => match exit_code.filter(|code| *code != 0) {
            Some(code) => return code.to_string(),
            None => phase.as_str(),
        },
    };
    word.to_owned()
}

/// What `stepspan watch` says of what ran when its Workflow was deleted.
pub const DELETED: &str = "the Workflow was deleted";

/// What the controller writes where somebody ended the Workflow (`workflow/controller/exec_control.go`, `operator.go`).
fn is_stopped(message: &str) -> bool {
    message.starts_with("workflow shutdown with strategy:") || message.starts_with("Stopped with strategy ")
}

/// What the controller, its executor and the kubelet write where `activeDeadlineSeconds` or a `timeout` is over.
fn is_late(message: &str) -> bool {
    message.contains("exceeded its deadline") || message.contains("longer than the specified deadline")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_argo_are_understood() {
        // Each as the 3.7.3 controller wrote it.
        for (phase, message, code, outcome, said, kind) in [
            (Phase::Succeeded, "", Some(0), Some("success"), Some("success"), ""),
            (Phase::Failed, "main: Error (exit code 7)", Some(7), Some("failure"), Some("failure"), "7"),
            (
                Phase::Failed,
                "main: OOMKilled (exit code 137)",
                Some(137),
                Some("failure"),
                Some("failure"),
                "OOMKilled",
            ),
            (Phase::Error, "pod deleted", None, Some("error"), Some("error"), "PodDeleted"),
            (Phase::Failed, "Step exceeded its deadline", None, Some("failure"), Some("timeout"), "DeadlineExceeded"),
            (
                Phase::Failed,
                "Pod was active on the node longer than the specified deadline",
                Some(143),
                Some("failure"),
                Some("timeout"),
                "DeadlineExceeded",
            ),
            (
                Phase::Failed,
                "workflow shutdown with strategy:  Terminate",
                None,
                Some("cancelled"),
                Some("cancellation"),
                "Cancelled",
            ),
            (Phase::Failed, "Stopped with strategy 'Stop'", None, Some("cancelled"), Some("cancellation"), "Cancelled"),
            (Phase::Error, "the Workflow was deleted", None, Some("error"), Some("error"), "WorkflowDeleted"),
            // As the kubelet writes it, which the controller hands on.
            (
                Phase::Failed,
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi.",
                Some(137),
                Some("failure"),
                Some("failure"),
                "Evicted",
            ),
            (
                Phase::Failed,
                "ImagePullBackOff: Back-off pulling image \"localhost/none:1\"",
                None,
                Some("failure"),
                Some("failure"),
                "ImagePull",
            ),
            (Phase::Failed, "child 'wf-1' failed", None, Some("failure"), Some("failure"), "Failed"),
            (Phase::Skipped, "when 'false' evaluated false", None, None, Some("skip"), ""),
            (Phase::Running, "", None, None, None, ""),
        ] {
            assert_eq!(Outcome::of(phase, message).map(Outcome::as_str), outcome, "{message}");
            assert_eq!(result(phase, message), said, "{message}");
            if phase.is_bad() {
                assert_eq!(error_type(phase, message, code), kind, "{message}");
            }
        }
    }
}
