//! A Workflow as the API server gives it, of which only what is needed is kept while it is read.

use std::borrow::Cow;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;

use crate::trace::loose::As;
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

impl Resource for Workflow {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Workflow".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "workflows".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
