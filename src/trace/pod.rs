//! What a step's pod says of it besides its Workflow: the values of its policy, and when it was scheduled, ready and started.

use serde::Deserialize as _;
use serde::de::MapAccess;
use serde_json::Value as Json;
use stepspan_contract::{Config, names};

use super::loose::{As, Each, Loose, skip, take};
use super::moments::Moments;
use super::span::Event;
use super::status::{Time, time};
use super::values::Values;
use crate::argo::names::NODE_ID_ANNOTATION;
use crate::identity::TraceParent;

/// Of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// The UID of the Workflow that owns it.
    pub workflow: String,
    /// The node that it is of.
    pub node_id: String,
    /// Its namespace, until it is known to be its Workflow's: one in another is not of it, whatever it says.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<Time>,
    /// What the shim was told; `None` where it was not injected.
    pub told: Option<Box<Told>>,
    /// Correlation by its labels.
    labels: Values,
    /// Scheduled, initialized, its containers started and ended: by time.
    moments: Moments,
    /// Nothing more is to be heard of it.
    pub has_ended: bool,
}

/// What is read of a pod's spec: the settings of its shims.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    settings: Vec<String>,
}

impl Loose for Spec {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        if key == "containers" {
            self.settings = take::<Each<Container>, _>(map)?.0.into_iter().filter_map(|one| one.settings).collect();
            return Ok(());
        }
        skip(map)
    }
}

#[derive(Default)]
struct Container {
    settings: Option<String>,
}

impl Loose for Container {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        if key == "env" {
            let env = take::<Each<Variable>, _>(map)?.0;
            self.settings = env.into_iter().find(|one| one.name == names::CONFIG_ENV).map(|one| one.value);
            return Ok(());
        }
        skip(map)
    }
}

#[derive(Default)]
struct Variable {
    name: String,
    value: String,
}

impl Loose for Variable {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: String, map: &mut A) -> Result<(), A::Error> {
        match key.as_str() {
            "name" => self.name = take(map)?,
            "value" => self.value = take(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// What admission decided, as the shim was told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Trace, node span, and whether it is sampled: `None` where another tracer decides that (`traceContext.mode: argo`).
    pub context: Option<TraceParent>,
    /// A failed step is exported even when not sampled.
    pub keep_failed: bool,
    /// A foreign trace that its policy links to.
    pub incoming: Option<Box<TraceParent>>,
    /// `seed`, `semconv` or `both`.
    pub names: String,
    /// Correlation and built-ins, by their seed names.
    pub values: Values,
}

impl Pod {
    /// Reads a pod as stored; `None` where it is no step's, or of no Workflow.
    pub fn read(pod: &Json) -> Option<Self> {
        let spec = As::<Spec>::deserialize(&pod["spec"]).unwrap_or_default();
        Self::of(&pod["metadata"], &spec.0, &pod["status"])
    }

    /// Of its parts; `None` where it is no step's, or of no Workflow.
    pub fn of(metadata: &Json, spec: &Spec, status: &Json) -> Option<Self> {
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        let workflow = owners.filter(|owner| owner["kind"] == "Workflow").find_map(|owner| owner["uid"].as_str())?;
        let node_id = metadata["annotations"][NODE_ID_ANNOTATION].as_str()?.to_owned();
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let (namespace, name, created) = (text("namespace"), text("name"), time(metadata, "creationTimestamp"));
        let context = metadata["annotations"][names::TRACE_CONTEXT_ANNOTATION].as_str().and_then(TraceParent::read);
        let has_ended = matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
        // Any author can write the settings: they count where admission says that it wrote them.
        let injected = metadata["annotations"][names::STATUS_ANNOTATION] == "injected";
        let told = if injected { told(spec, context).map(Box::new) } else { None };
        let labels = if told.is_some() { Values::default() } else { labelled(metadata) };
        let workflow = workflow.to_owned();
        let moments = Moments::read(status);
        Some(Self { workflow, node_id, namespace, name, created, told, labels, moments, has_ended })
    }

    /// A correlation value: what the shim was told; without a shim, what the labels say by the names that the default policy gives them.
    pub fn value(&self, key: &str) -> &str {
        self.values().get(key)
    }

    /// All of them.
    pub(super) fn values(&self) -> &Values {
        self.told.as_ref().map_or(&self.labels, |told| &told.values)
    }

    /// One of which nothing else is known, nor ever will be.
    pub(super) fn gone(told: Option<Box<Told>>, labels: Values) -> Self {
        Self { told, labels, has_ended: true, ..Self::default() }
    }

    /// When the last of its containers began: what came before was waiting.
    pub fn began(&self) -> Option<Time> {
        self.moments.began()
    }

    /// Scheduled, initialized, its containers started and ended: by time.
    pub fn events(&self) -> Vec<Event> {
        self.moments.events()
    }

    /// Whether it is in the namespace of its Workflow; that one's name is not needed any more then.
    pub fn settle(&mut self, namespace: &str) -> bool {
        if self.namespace == namespace {
            self.namespace = String::new();
        }
        self.namespace.is_empty()
    }

    /// What happened to it is told, and not needed any more.
    pub fn forget_events(&mut self) {
        self.moments = Moments::default();
    }
}

/// Keys, and the labels that the default policy gives them.
const LABELS: [(&str, &str); 4] = [("repo", "repo"), ("prNumber", "pr"), ("taskId", "taskId"), ("agent", "agent")];

fn labelled(metadata: &Json) -> Values {
    Values::of(LABELS.into_iter().filter_map(|(key, label)| Some((key, metadata["labels"][label].as_str()?))))
}

/// Out of the settings of the first container that has a shim. The kubelet halves `$$`, which the webhook doubled.
fn told(spec: &Spec, context: Option<TraceParent>) -> Option<Told> {
    let mut settings = spec.settings.iter();
    let config = settings.find_map(|settings| Config::decode(&settings.replace("$$", "$")).ok())?;
    // The other links are to attempts, in the same trace.
    let links = config.links.iter().filter_map(|link| TraceParent::read(link));
    let incoming = links.into_iter().find(|link| link.trace.as_str() != config.trace_id);
    Some(Told {
        context,
        keep_failed: config.keep_failed,
        incoming: incoming.map(Box::new),
        names: config.attribute_names,
        values: Values::of(config.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
    })
}
