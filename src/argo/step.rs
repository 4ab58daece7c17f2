//! A pod seen as an Argo step: which of its containers are the step's, and where the user's argv begins.
//!
//! Everything here is read from the pod alone and borrowed from its raw JSON. What cannot be proven is not guessed:
//! a container whose emissary prefix is not exactly of the known form has no [`Container::user_argv`].

use std::borrow::Cow;

use super::names;
use super::node_name;
use super::template::Template;
use crate::json::Json;

/// What kind of pod Argo made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodKind {
    /// Runs a step's command.
    Step,
    /// A `resource` template: the child is `argoexec resource`.
    Resource,
    /// A `data` template: the child is `argoexec data`.
    Data,
    /// Runs `http` and `plugin` templates.
    Agent,
    /// Deletes artifacts.
    ArtifactGc,
}

/// How Argo brings its executor into the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// An init container copies it to `/var/run/argo`.
    InitContainer,
    /// An image volume at `/argo-bin` (4.1).
    InitLess,
}

/// Whose a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Argo's own (`wait`, `supervisor`, artifact plugins).
    Argo,
    /// `main`, or a member of a containerSet.
    Step,
    /// A sidecar of the template, or one that another webhook put in.
    Sidecar,
}

/// One entry of `spec.containers`.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// Index in `spec.containers`.
    pub index: usize,
    /// The container's name.
    pub name: &'a str,
    /// Whose it is.
    pub role: Role,
    /// The container as it came.
    pub raw: &'a Json<'a>,
    /// Index in `command` of what follows emissary's `--`; `None` where the prefix cannot be proven.
    pub user_argv: Option<usize>,
}

impl<'a> Container<'a> {
    /// The entries of `env`, in order, duplicates included.
    pub fn env(&self) -> &'a [Json<'a>] {
        array(self.raw, "env")
    }

    /// The entries of `volumeMounts`.
    pub fn mounts(&self) -> &'a [Json<'a>] {
        array(self.raw, "volumeMounts")
    }

    /// The entry of `env` that counts: the kubelet lets the last of several win.
    pub fn env_entry(&self, name: &str) -> Option<(usize, &'a Json<'a>)> {
        self.env().iter().enumerate().rev().find(|(_, e)| string(e, "name") == Some(name))
    }

    /// The command's words as strings.
    pub fn command(&self) -> impl Iterator<Item = &'a str> {
        array(self.raw, "command").iter().filter_map(Json::as_str)
    }
}

/// A pod of an Argo workflow.
#[derive(Debug)]
pub struct StepPod<'a> {
    /// The pod's raw JSON.
    pub raw: &'a Json<'a>,
    /// `metadata.name`; a pod made with `generateName` has none at admission.
    pub name: Option<&'a str>,
    /// The namespace of the request.
    pub namespace: &'a str,
    /// The owning Workflow's name.
    pub workflow_name: &'a str,
    /// The owning Workflow's UID.
    pub workflow_uid: Option<&'a str>,
    /// Argo's node id; agent pods have none.
    pub node_id: Option<&'a str>,
    /// Argo's node name.
    pub node_name: Option<&'a str>,
    /// The template's name, empty where it is not known.
    pub template: Cow<'a, str>,
    /// What kind of pod it is.
    pub kind: PodKind,
    /// The template is known to be a containerSet.
    pub container_set: bool,
    /// The template is known to be a daemon.
    pub daemon: bool,
    /// How the executor comes into the pod.
    pub layout: Layout,
    /// Made by a controller of 4.1 or later.
    pub argo_4_1: bool,
    /// All of `spec.containers`.
    pub containers: Vec<Container<'a>>,
}

impl<'a> StepPod<'a> {
    /// Reads a pod; `None` where no Argo workflow made it.
    pub fn read(raw: &'a Json<'a>, namespace: &'a str) -> Option<Self> {
        let workflow_name = label(raw, names::WORKFLOW_LABEL)?;
        let spec = raw.get("spec")?;
        let template_text = template_text(spec);
        let template = template_text.and_then(Template::read).unwrap_or_default();
        let layout = if array(spec, "initContainers").iter().any(|c| string(c, "name") == Some("init")) {
            Layout::InitContainer
        } else {
            Layout::InitLess
        };
        let kind = kind(raw, spec, &template);
        let containers = containers(spec, template_text, &template);
        let name = string(&raw["metadata"], "name").filter(|n| !n.is_empty());
        let container_set = template.container_set.is_some();
        let daemon = template.daemon.unwrap_or_default();
        let template = match template.name {
            empty if empty.is_empty() => Cow::Borrowed(template_of_pod_name(name, workflow_name)),
            known => known,
        };
        Some(Self {
            raw,
            name,
            namespace,
            workflow_name,
            workflow_uid: workflow_uid(raw, spec).filter(|uid| is_id(uid)),
            node_id: node_id(raw, spec).filter(|id| is_id(id)),
            node_name: annotation(raw, names::NODE_NAME_ANNOTATION).filter(|name| !name.is_empty()),
            template,
            kind,
            container_set,
            daemon,
            layout,
            argo_4_1: layout == Layout::InitLess && kind != PodKind::Agent
                || annotation(raw, names::TRACE_ID_ANNOTATION).is_some(),
            containers,
        })
    }

    /// The step containers, in the pod's order.
    pub fn steps(&self) -> impl Iterator<Item = &Container<'a>> {
        self.containers.iter().filter(|c| c.role == Role::Step)
    }

    /// The step's name: the last part of the node's name, or the template's where the node is the whole Workflow.
    pub fn step_name(&self) -> Option<&str> {
        let from_node = self.node_name.filter(|n| *n != self.workflow_name).and_then(|n| {
            let rest = n.strip_prefix(self.workflow_name).unwrap_or(n);
            node_name::step_name(rest)
        });
        from_node.or_else(|| Some(&*self.template).filter(|t| !t.is_empty()))
    }

    /// A label of the pod.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        label(self.raw, key)
    }

    /// An annotation of the pod.
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        annotation(self.raw, key)
    }
}

fn containers<'a>(spec: &'a Json<'a>, template_text: Option<&str>, template: &Template<'_>) -> Vec<Container<'a>> {
    let all = array(spec, "containers");
    let has_main = all.iter().any(|c| string(c, "name") == Some(names::MAIN_CONTAINER));
    // An offloaded template cannot be asked for its members: without a `main`, what has the prefix is a member.
    let unknown_set = template_text.is_none_or(|t| t == names::OFFLOADED) && !has_main;
    let role = |name: &str, proven: bool| match &template.container_set {
        _ if names::is_argo_container(name) => Role::Argo,
        Some(set) if set.contains(name) => Role::Step,
        None if name == names::MAIN_CONTAINER || (unknown_set && proven) => Role::Step,
        _ => Role::Sidecar,
    };
    let read = |(index, raw): (usize, &'a Json<'a>)| {
        let name = string(raw, "name").unwrap_or_default();
        let user_argv = user_argv(array(raw, "command"));
        Container { index, name, role: role(name, user_argv.is_some()), raw, user_argv }
    };
    all.iter().enumerate().map(read).collect()
}

/// Proves `[/var/run/argo/argoexec | /argo-bin/bin/argoexec, emissary, flags..., --, ...]` and gives the index after `--`.
///
/// Every word between `emissary` and `--` must be a flag or a flag's value, so that a `--` of the user's own is never taken.
pub(crate) fn user_argv(command: &[Json<'_>]) -> Option<usize> {
    let mut words = command.iter().map(Json::as_str);
    let executor = words.next()??;
    if !matches!(executor, "/var/run/argo/argoexec" | "/argo-bin/bin/argoexec") || words.next()?? != "emissary" {
        return None;
    }
    let mut value_follows = false;
    for (index, word) in words.enumerate() {
        match word? {
            // The executor's parser would take it as the value of the flag before it, even if it is `--`.
            word if value_follows && word.starts_with("--") => return None,
            _ if value_follows => value_follows = false,
            "--" => return Some(index + 3),
            flag if flag.starts_with("--") => value_follows = !flag.contains('='),
            _ => return None,
        }
    }
    None
}

fn kind(raw: &Json<'_>, spec: &Json<'_>, template: &Template<'_>) -> PodKind {
    match label(raw, names::COMPONENT_LABEL) {
        Some("agent") => return PodKind::Agent,
        Some("artifact-gc") => return PodKind::ArtifactGc,
        _ => {}
    }
    if template.resource.is_some() {
        return PodKind::Resource;
    }
    if template.data.is_some() {
        return PodKind::Data;
    }
    let main = array(spec, "containers").iter().find(|c| string(c, "name") == Some(names::MAIN_CONTAINER));
    let child = main.and_then(|c| {
        let command = array(c, "command");
        command.get(user_argv(command)?..)
    });
    match child {
        Some([first, second, ..]) if *first == "argoexec" && *second == "resource" => PodKind::Resource,
        Some([first, second, ..]) if *first == "argoexec" && *second == "data" => PodKind::Data,
        _ => PodKind::Step,
    }
}

fn template_text<'a>(spec: &'a Json<'a>) -> Option<&'a str> {
    let init = array(spec, "initContainers").iter().find(|c| string(c, "name") == Some("init"));
    let own = array(spec, "containers").iter().filter(|c| string(c, "name").is_some_and(names::is_argo_container));
    let any = array(spec, "containers").iter();
    init.into_iter().chain(own).chain(any).find_map(|c| env_value(c, names::TEMPLATE_ENV))
}

fn env_value<'a>(container: &'a Json<'a>, name: &str) -> Option<&'a str> {
    array(container, "env").iter().rev().find(|e| string(e, "name") == Some(name)).and_then(|e| string(e, "value"))
}

fn workflow_uid<'a>(raw: &'a Json<'a>, spec: &'a Json<'a>) -> Option<&'a str> {
    let owner = array(&raw["metadata"], "ownerReferences").iter().find(|o| string(o, "kind") == Some("Workflow"));
    let from_owner = owner.and_then(|o| string(o, "uid")).filter(|uid| !uid.is_empty());
    let all = || array(spec, "initContainers").iter().chain(array(spec, "containers"));
    from_owner.or_else(|| all().find_map(|c| env_value(c, names::WORKFLOW_UID_ENV))).filter(|uid| !uid.is_empty())
}

/// Whether an id can be one of Argo's. It goes whole into a variable, where control characters could not stand: with a NUL there no
/// container starts. So an id that would have to be cut counts as none.
fn is_id(text: &str) -> bool {
    text.len() <= crate::text::MAX_ENV && !text.chars().any(char::is_control)
}

fn node_id<'a>(raw: &'a Json<'_>, spec: &'a Json<'_>) -> Option<&'a str> {
    let mut all = array(spec, "initContainers").iter().chain(array(spec, "containers"));
    let annotated = annotation(raw, names::NODE_ID_ANNOTATION).filter(|id| !id.is_empty());
    annotated.or_else(|| all.find_map(|c| env_value(c, names::NODE_ID_ENV)).filter(|id| !id.is_empty()))
}

/// The template in a pod name of the form `workflow-template-hash` (Argo's pod names v2), empty where it is not.
fn template_of_pod_name<'a>(pod: Option<&'a str>, workflow: &str) -> &'a str {
    let rest = pod.and_then(|p| p.strip_prefix(workflow)).and_then(|p| p.strip_prefix('-'));
    let hashed = rest.and_then(|r| r.rsplit_once('-'));
    match hashed {
        Some((template, hash)) if !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_digit()) => template,
        _ => "",
    }
}

fn label<'a>(raw: &'a Json<'a>, key: &str) -> Option<&'a str> {
    string(raw.get("metadata")?.get("labels")?, key)
}

fn annotation<'a>(raw: &'a Json<'a>, key: &str) -> Option<&'a str> {
    string(raw.get("metadata")?.get("annotations")?, key)
}

fn string<'a>(value: &'a Json<'a>, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn array<'a>(value: &'a Json<'a>, key: &str) -> &'a [Json<'a>] {
    value.get(key).and_then(Json::as_array).unwrap_or(&[])
}
