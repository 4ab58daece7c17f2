//! The few facts of `ARGO_TEMPLATE` that a review needs, without building the rest of it.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A template as its controller wrote it into the pod. Fields follow `Template` of Argo's `workflow_types.go`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Template<'a> {
    /// The template's name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Members, where the template is a containerSet.
    #[serde(borrow)]
    pub container_set: Option<ContainerSet<'a>>,
    /// Ended by Argo once nobody needs it any more.
    pub daemon: Option<bool>,
    /// A `resource` template.
    pub resource: Option<IgnoredAny>,
    /// A `data` template.
    pub data: Option<IgnoredAny>,
}

/// A containerSet's members.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerSet<'a> {
    #[serde(borrow)]
    containers: Vec<Member<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl ContainerSet<'_> {
    /// Whether the set has a member of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|member| member == name)
    }

    /// The names of its members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|member| &*member.name)
    }
}

impl<'a> Template<'a> {
    /// Reads the variable's value; `None` where it is not a template (such as the word `offloaded`).
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
