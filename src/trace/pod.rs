//! What a step's pod says of it besides its Workflow: the values of its policy, and when it was scheduled, ready and started.

use serde_json::Value as Json;
use stepspan_contract::{Config, names};

use super::span::{Event, Key, Value};
use super::status::{Time, time};
use crate::argo::names::NODE_ID_ANNOTATION;
use crate::identity::TraceParent;

/// The event of a container that starts.
const STARTED: &str = "container.started";

/// Of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// The UID of the Workflow that owns it.
    pub workflow: String,
    /// The node that it is of.
    pub node_id: String,
    /// Its name.
    pub name: String,
    /// What the shim was told; `None` where it was not injected.
    pub told: Option<Told>,
    /// Correlation by its labels.
    labels: Vec<(String, String)>,
    /// Scheduled, initialized, its containers started and ended: by time.
    pub events: Vec<Event>,
    /// Nothing more is to be heard of it.
    pub has_ended: bool,
}

/// What admission decided, as the shim was told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Trace, node span, and whether it is sampled: `None` where another tracer decides that (`traceContext.mode: argo`).
    pub context: Option<TraceParent>,
    /// A failed step is exported even when not sampled.
    pub keep_failed: bool,
    /// A foreign trace that its policy links to.
    pub incoming: Option<TraceParent>,
    /// `seed`, `semconv` or `both`.
    pub names: String,
    /// Correlation and built-ins, by their seed names.
    pub values: Vec<(String, String)>,
}

impl Pod {
    /// Reads a pod as stored; `None` where it is no step's, or of no Workflow.
    pub fn read(pod: &Json) -> Option<Self> {
        let metadata = &pod["metadata"];
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        let workflow = owners.filter(|owner| owner["kind"] == "Workflow").find_map(|owner| owner["uid"].as_str())?;
        let node_id = metadata["annotations"][NODE_ID_ANNOTATION].as_str()?.to_owned();
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let context = metadata["annotations"][names::TRACE_CONTEXT_ANNOTATION].as_str().and_then(TraceParent::read);
        let has_ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        // Any author can write the settings: they count where admission says that it wrote them.
        let injected = metadata["annotations"][names::STATUS_ANNOTATION] == "injected";
        let told = if injected { told(pod, context) } else { None };
        let labels = if told.is_some() { Vec::new() } else { labelled(metadata) };
        let workflow = workflow.to_owned();
        Some(Self { workflow, node_id, name, told, labels, events: events(&pod["status"]), has_ended })
    }

    /// A correlation value: what the shim was told; without a shim, what the labels say by the names that the default policy gives them.
    pub fn value(&self, key: &str) -> &str {
        let told = self.told.as_ref().map_or(&self.labels, |told| &told.values);
        told.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// When the last of its containers began: what came before was waiting.
    pub fn began(&self) -> Option<Time> {
        self.events.iter().filter(|event| event.name == STARTED).map(|event| event.at).max()
    }
}

/// Keys, and the labels that the default policy gives them.
const LABELS: [(&str, &str); 4] = [("repo", "repo"), ("prNumber", "pr"), ("taskId", "taskId"), ("agent", "agent")];

fn labelled(metadata: &Json) -> Vec<(String, String)> {
    let value = |label: &str| metadata["labels"][label].as_str().map(str::to_owned);
    LABELS.into_iter().filter_map(|(key, label)| Some((key.to_owned(), value(label)?))).collect()
}

/// Out of the settings of the first container that has a shim. The kubelet halves `$$`, which the webhook doubled.
fn told(pod: &Json, context: Option<TraceParent>) -> Option<Told> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut settings = containers.filter_map(|container| {
        let entry = container["env"].as_array()?.iter().find(|entry| entry["name"] == names::CONFIG_ENV)?;
        Config::decode(&entry["value"].as_str()?.replace("$$", "$")).ok()
    });
    let config = settings.next()?;
    // The other links are to attempts, in the same trace.
    let links = config.links.iter().filter_map(|link| TraceParent::read(link));
    let incoming = links.into_iter().find(|link| link.trace.as_str() != config.trace_id);
    Some(Told {
        context,
        keep_failed: config.keep_failed,
        incoming,
        names: config.attribute_names,
        values: config.attributes,
    })
}

fn events(status: &Json) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |at, name, attributes| {
        if let Some(at) = at {
            events.push(Event { at, name, attributes });
        }
    };
    for condition in status["conditions"].as_array().into_iter().flatten().filter(|c| c["status"] == "True") {
        let name = match condition["type"].as_str() {
            Some("PodScheduled") => "pod.scheduled",
            Some("Initialized") => "pod.initialized",
            _ => continue,
        };
        add(time(condition, "lastTransitionTime"), name, Vec::new());
    }
    let lists = [&status["initContainerStatuses"], &status["containerStatuses"]];
    for container in lists.into_iter().filter_map(Json::as_array).flatten() {
        let named =
            |name: &str| (Key::from(name.to_owned()), Value::from(container["name"].as_str().unwrap_or_default()));
        let ended = &container["state"]["terminated"];
        let began = if ended.is_object() { ended } else { &container["state"]["running"] };
        add(time(began, "startedAt"), STARTED, vec![named("k8s.container.name")]);
        let mut attributes = vec![named("k8s.container.name")];
        if let Some(code) = ended["exitCode"].as_i64() {
            attributes.push((Key::from("process.exit.code"), Value::Int(code)));
        }
        if let Some(reason) = ended["reason"].as_str() {
            attributes.push((Key::from("reason"), Value::from(reason)));
        }
        add(time(ended, "finishedAt"), "container.ended", attributes);
    }
    events.sort_by_key(|event| event.at);
    events
}
