//! The OpenTelemetry variables of a step container, and what becomes of each where the step has its own.
//!
//! What admission can see is settled here. What it cannot see (`envFrom`, `valueFrom` in a merge) and what must not reach Argo's
//! executor (from 4.1) is written as a rule for the shim, which sees the real values.

use std::borrow::Cow;

use stepspan_contract::env::{Group, group, list_has_key, merge_lists};
use stepspan_contract::{EnvRule, OnConflict, names};

use crate::argo::{Container, StepPod};
use crate::json::Json;
use crate::policy::effective::Effective;
use crate::policy::spec::{Preset, Scope};
use crate::text::{list_value, unexpanded};

/// Stands for the pod's name until it is known how it is written; never in a value from outside, which has no control characters.
const POD_NAME: &str = "\u{1}";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// The variable whose list may hold `service.name`.
pub const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// What is done with a container's environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnvPlan {
    /// Entries to append, in order.
    pub append: Vec<Json<'static>>,
    /// Entries to replace, by index.
    pub replace: Vec<(usize, Json<'static>)>,
    /// Variables the shim settles.
    pub rules: Vec<EnvRule>,
}

/// What becomes of a variable of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The container gets it.
    Added,
    /// It takes the place of the container's own.
    Replaced,
    /// The container's own stays.
    Kept,
    /// The container sets another of its group, so that the whole group is the container's.
    GroupKept,
    /// A `skip` drops its whole group.
    GroupDropped,
    /// The shim settles it, as it sees the real values.
    ByShim,
}

impl Settled {
    /// As `explain` and tests name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Kept => "kept",
            Self::GroupKept => "group-kept",
            Self::GroupDropped => "group-dropped",
            Self::ByShim => "by-shim",
        }
    }
}

/// A variable of ours, and what becomes of it in one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its name.
    pub name: String,
    /// Our value, as the policies have it.
    pub value: String,
    /// What becomes of it.
    pub settled: Settled,
}

/// Settles the variables of one container.
pub fn plan(policy: &Effective, pod: &StepPod<'_>, container: &Container<'_>) -> EnvPlan {
    let mut plan = EnvPlan::default();
    each(policy, pod, container, &mut plan, |_, _| {});
    plan
}

/// The same, for whoever wants to know why.
pub fn decisions(policy: &Effective, pod: &StepPod<'_>, container: &Container<'_>) -> Vec<Decision> {
    let mut all = Vec::new();
    each(policy, pod, container, &mut EnvPlan::default(), |ours, settled| {
        let value = ours.value.replace(POD_NAME, pod.name.unwrap_or("the pod's name"));
        all.push(Decision { name: ours.name.to_string(), value, settled });
    });
    all
}

fn each(
    policy: &Effective,
    pod: &StepPod<'_>,
    container: &Container<'_>,
    plan: &mut EnvPlan,
    mut told: impl FnMut(&Ours<'_>, Settled),
) {
    let theirs = Theirs::of(container);
    let to_shim = match policy.scope {
        Scope::Container => false,
        Scope::Step => true,
        Scope::Auto => pod.argo_4_1,
    } || theirs.from_outside;
    let ours = variables(policy, pod);
    let groups = Groups {
        dropped: ours.iter().filter_map(|v| theirs.drops(v)).collect(),
        deferred: ours
            .iter()
            .filter(|v| theirs.refers_to(&v.name))
            .filter_map(|v| group(&v.name))
            .chain(theirs.hides_service().then_some(Group::Service))
            .collect(),
    };
    for variable in &ours {
        let entry =
            |value: &str| Json::object([("name", variable.name.clone().into()), ("value", literal(pod, value).into())]);
        told(variable, settle(variable, &theirs, &groups, to_shim, entry, plan));
    }
}

/// A value for a variable's text, where the kubelet expands `$(VAR)`.
pub fn literal(pod: &StepPod<'_>, value: &str) -> String {
    let text = unexpanded(value);
    match (text.contains(POD_NAME), pod.name) {
        (false, _) => text.into_owned(),
        (true, Some(name)) => text.replace(POD_NAME, name),
        (true, None) => text.replace(POD_NAME, &format!("$({})", names::POD_NAME_ENV)),
    }
}

/// A variable of ours.
struct Ours<'a> {
    name: Cow<'static, str>,
    value: Cow<'a, str>,
    on_conflict: OnConflict,
}

/// The nine baseline variables and what the policy sets besides.
fn variables<'a>(policy: &'a Effective, pod: &StepPod<'_>) -> Vec<Ours<'a>> {
    let mut all = Vec::with_capacity(12);
    if policy.preset == Preset::Otel {
        let attributes = format!(
            "service.name={},deployment.environment={},k8s.namespace={},k8s.pod.name={POD_NAME}",
            list_value(&policy.service_name),
            list_value(&policy.environment),
            list_value(pod.namespace),
        );
        let keep: [(&'static str, Cow<'a, str>); 9] = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", policy.endpoint.as_str().into()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", policy.protocol.as_str().into()),
            (SERVICE_NAME, policy.service_name.as_str().into()),
            (RESOURCE_ATTRIBUTES, attributes.into()),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".into()),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5".into()),
            ("OTEL_METRICS_EXPORTER", "otlp".into()),
            ("OTEL_LOGS_EXPORTER", "none".into()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000".into()),
        ];
        all.extend(keep.into_iter().map(|(name, value)| Ours {
            name: name.into(),
            value,
            on_conflict: if name == RESOURCE_ATTRIBUTES { OnConflict::Merge } else { OnConflict::Keep },
        }));
        if policy.ca_bundle.is_some() {
            let (name, value) = ("OTEL_EXPORTER_OTLP_CERTIFICATE".into(), names::CA_PATH.into());
            all.push(Ours { name, value, on_conflict: OnConflict::Keep });
        }
    }
    for set in &policy.set {
        let (value, on_conflict) = (set.value.as_str().into(), set.on_conflict);
        match all.iter_mut().find(|v| v.name == set.name) {
            // A merge adds to the preset's list; its own keys win.
            Some(preset) if on_conflict == OnConflict::Merge => {
                preset.value = merge_lists(&set.value, &preset.value).into();
            }
            Some(preset) => (preset.value, preset.on_conflict) = (value, on_conflict),
            None => all.push(Ours { name: set.name.clone().into(), value, on_conflict }),
        }
    }
    all
}

/// Groups of ours that are treated as one.
struct Groups {
    /// By a `skip`.
    dropped: Vec<Group>,
    /// To the shim, since the container refers to a member (if only that one went, the shim would take the others for the
    /// step's), or since only the shim sees whether the step has one.
    deferred: Vec<Group>,
}

fn settle(
    ours: &Ours<'_>,
    theirs: &Theirs<'_>,
    groups: &Groups,
    to_shim: bool,
    entry: impl Fn(&str) -> Json<'static>,
    plan: &mut EnvPlan,
) -> Settled {
    let own_group = group(&ours.name);
    let existing = theirs.entry(&ours.name);
    if let Some(group) = own_group.filter(|_| ours.on_conflict != OnConflict::Override) {
        if groups.dropped.contains(&group) {
            return Settled::GroupDropped;
        }
        if theirs.sets_group(group) {
            return if existing.is_some() { Settled::Kept } else { Settled::GroupKept };
        }
    }
    let value = if ours.name == RESOURCE_ATTRIBUTES && theirs.sets_group(Group::Service) {
        without_key(&ours.value, "service.name")
    } else {
        Cow::Borrowed(&*ours.value)
    };
    let deferred = || theirs.refers_to(&ours.name) || own_group.is_some_and(|g| groups.deferred.contains(&g));
    match (existing, ours.on_conflict) {
        (Some(_), OnConflict::Keep | OnConflict::Skip) => Settled::Kept,
        (Some((index, _)), OnConflict::Override) if !to_shim => {
            plan.replace.push((index, entry(&value)));
            Settled::Replaced
        }
        (None, _) if !to_shim && !deferred() => {
            plan.append.push(entry(&value));
            Settled::Added
        }
        _ => {
            plan.rules.push(EnvRule {
                name: ours.name.clone().into_owned(),
                value: value.into_owned(),
                on_conflict: ours.on_conflict,
            });
            Settled::ByShim
        }
    }
}

fn without_key<'a>(list: &'a str, key: &str) -> Cow<'a, str> {
    let kept: Vec<&str> = list.split(',').filter(|pair| !list_has_key(pair, key)).collect();
    Cow::Owned(kept.join(","))
}

/// The container's own environment.
struct Theirs<'a> {
    container: &'a Container<'a>,
    from_outside: bool,
    texts: Vec<&'a str>,
}

impl<'a> Theirs<'a> {
    fn of(container: &'a Container<'a>) -> Self {
        let from_outside = container.raw["envFrom"].as_array().is_some_and(|sources| !sources.is_empty());
        Self { container, from_outside, texts: references(container) }
    }

    fn entry(&self, name: &str) -> Option<(usize, &'a Json<'a>)> {
        self.container.env_entry(name)
    }

    fn sets(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Whether the step sets a member of a group; `service.name` in a literal list is one of the service group.
    fn sets_group(&self, wanted: Group) -> bool {
        let in_list = || {
            let list = self.entry(RESOURCE_ATTRIBUTES).and_then(|(_, e)| e.get("value")?.as_str());
            list.is_some_and(|l| list_has_key(l, "service.name"))
        };
        self.container.env().iter().filter_map(|e| group(e.get("name")?.as_str()?)).any(|g| g == wanted)
            || (wanted == Group::Service && in_list())
    }

    /// Whether a list that admission cannot see may hold `service.name`.
    fn hides_service(&self) -> bool {
        self.entry(RESOURCE_ATTRIBUTES).is_some_and(|(_, entry)| entry.get("valueFrom").is_some())
    }

    /// The group that a `skip` of ours drops.
    fn drops(&self, ours: &Ours<'_>) -> Option<Group> {
        (ours.on_conflict == OnConflict::Skip && self.sets(&ours.name)).then(|| group(&ours.name))?
    }

    /// Whether `$(NAME)` stands in argv or env: defining NAME on the container would change what it says.
    fn refers_to(&self, name: &str) -> bool {
        !self.texts.is_empty() && self.texts.iter().any(|t| t.contains(&format!("$({name})")))
    }
}

/// All texts of a container in which the kubelet expands references, if they have any.
pub fn references<'a>(container: &Container<'a>) -> Vec<&'a str> {
    let raw = container.raw;
    let words = ["command", "args"].into_iter().flat_map(|f| raw[f].as_array().into_iter().flatten());
    let values = container.env().iter().filter_map(|e| e.get("value"));
    words
        .chain(values)
        .filter_map(Json::as_str)
        .filter(|t| memchr::memmem::find(t.as_bytes(), b"$(").is_some())
        .collect()
}
