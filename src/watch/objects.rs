//! Workflows and pods as the API server gives them, of which only what is needed is kept while they are read.

use std::borrow::Cow;
use std::fmt;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use stepspan_contract::names;

use super::coverage::Seen;
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

/// A pod of a Workflow.
#[derive(Debug, Clone)]
pub(super) struct StepPod {
    metadata: ObjectMeta,
    spec: PodSpec,
    status: Value,
}

/// What is kept of a pod's spec.
#[derive(Debug, Clone)]
enum PodSpec {
    /// What it says to shims.
    Read(Spec),
    /// All of it, where admission wrote nothing into the pod: whether it was meant is to be judged.
    Whole(Value),
}

impl StepPod {
    /// What it says of its step, `None` where it is of none; and of its admission.
    pub(super) fn parts(mut self) -> (Option<Pod>, Seen) {
        self.metadata.managed_fields = None;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (uid, name) = (text(&self.metadata.uid), text(&self.metadata.name));
        let (namespace, status) = (text(&self.metadata.namespace), written(&self.metadata).map(str::to_owned));
        let metadata = serde_json::to_value(self.metadata).unwrap_or_default();
        let created = metadata["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        let (spec, whole) = match self.spec {
            PodSpec::Read(spec) => (spec, None),
            PodSpec::Whole(whole) => (As::<Spec>::deserialize(&whole).unwrap_or_default().0, Some(whole)),
        };
        let pod = Pod::of(&metadata, &spec, &self.status);
        let whole = whole.map(|spec| json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
        (pod, Seen { uid, namespace, name, created, status, whole: whole.unwrap_or_default() })
    }
}

/// What admission wrote into a pod.
fn written(metadata: &ObjectMeta) -> Option<&str> {
    metadata.annotations.as_ref()?.get(names::STATUS_ANNOTATION).map(String::as_str)
}

impl<'de> Deserialize<'de> for StepPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// The API server writes the metadata first, so that of most specs nothing but what is needed is ever in memory.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = StepPod;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a pod")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StepPod, A::Error> {
        let (mut metadata, mut spec, mut status) = (None::<ObjectMeta>, None, None);
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "metadata" => metadata = Some(map.next_value()?),
                "spec" if metadata.as_ref().is_some_and(|metadata| written(metadata).is_some()) => {
                    spec = Some(PodSpec::Read(map.next_value::<As<Spec>>()?.0));
                }
                "spec" => spec = Some(PodSpec::Whole(map.next_value()?)),
                "status" => status = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(StepPod {
            metadata: metadata.ok_or_else(|| Error::missing_field("metadata"))?,
            spec: spec.unwrap_or(PodSpec::Whole(Value::Null)),
            status: status.unwrap_or_default(),
        })
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
