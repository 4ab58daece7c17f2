//! Workflows and pods as the API server gives them, of which only what is needed is kept while they are read.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;
use serde_json::Value;
use stepspan_contract::names;

use super::admitted::Admission;
use crate::trace::loose::As;
use crate::trace::pod::{Pod, Spec};
use crate::trace::status::Status;
use crate::trace::{Run, Unreadable};

/// A Workflow without its spec.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Workflow {
    metadata: ObjectMeta,
    #[serde(default)]
    status: As<Status>,
}

impl Workflow {
    /// Its run.
    ///
    /// # Errors
    /// Its nodes cannot be read.
    pub(super) fn run(mut self) -> Result<Run, Unreadable> {
        // Much, and nothing that is asked for.
        self.metadata.managed_fields = None;
        let metadata = serde_json::to_value(self.metadata).unwrap_or_default();
        Run::of(&metadata, self.status.0)
    }
}

/// A pod with what its spec says to shims.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StepPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: As<Spec>,
    #[serde(default)]
    status: Value,
}

impl StepPod {
    /// What admission wrote into it.
    pub(super) fn admission(&self) -> Admission {
        let annotations = self.metadata.annotations.as_ref();
        Admission::of(annotations.and_then(|all| all.get(names::STATUS_ANNOTATION)).map(String::as_str))
    }

    /// What it says of its step; `None` where it is of none.
    pub(super) fn step(mut self) -> Option<Pod> {
        self.metadata.managed_fields = None;
        let metadata = serde_json::to_value(self.metadata).unwrap_or_default();
        Pod::of(&metadata, &self.spec.0, &self.status)
    }
}

/// What the client asks for, and by what it follows versions.
macro_rules! resource {
    ($kind:ident, $group:literal, $version:literal, $name:literal, $plural:literal) => {
        impl Resource for $kind {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                $name.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(Workflow, "argoproj.io", "v1alpha1", "Workflow", "workflows");
resource!(StepPod, "", "v1", "Pod", "pods");
