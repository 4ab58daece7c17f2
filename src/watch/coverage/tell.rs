//! Windows as Events: one about the pod when a window begins, one about the pod by which it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{self, EventType, Recorder, Reporter};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Seen;
use super::windows::Window;
use crate::cluster::lease::Holder as _;
use crate::coverage::judge::Cause;
use crate::telemetry::events::{Event, Level};
use crate::watch::health::Health;
use crate::watch::tasks::AbortOnDrop;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// A namespace in which windows come and go has an Event of a reason this often.
const REST: Duration = Duration::from_mins(5);
/// And one of what is over.
const OVER_REST: Duration = Duration::from_mins(1);
/// Events that wait to be written; more are told by the log alone.
const WAITING: usize = 64;

/// Who tells.
pub(super) struct Teller {
    events: mpsc::Sender<(events::Event, ObjectReference)>,
    _publisher: AbortOnDrop,
    /// When a window was told, by namespace.
    told: BTreeMap<String, BTreeMap<Cause, Instant>>,
    over: BTreeMap<String, Over>,
    health: Arc<Health>,
}

/// Windows of a namespace that are over.
#[derive(Default)]
struct Over {
    windows: BTreeMap<Cause, Window>,
    /// The pod that was injected last.
    again: ObjectReference,
    told: Option<Instant>,
}

impl Teller {
    pub(super) fn new(client: Client, identity: String, health: Arc<Health>) -> Self {
        let reporter = Reporter { controller: "stepspan-watch".into(), instance: Some(identity) };
        let (events, told) = mpsc::channel(WAITING);
        let publisher = AbortOnDrop::spawn(publish(Recorder::new(client, reporter), told, Arc::clone(&health)));
        Self { events, _publisher: publisher, told: BTreeMap::new(), over: BTreeMap::new(), health }
    }

    /// Pods are missed; told of the first in a while.
    pub(super) fn open(&mut self, window: &Window) {
        let told = self.told.entry(window.namespace.clone()).or_default();
        if told.get(&window.cause).is_some_and(|told| told.elapsed() < REST) {
            return;
        }
        told.insert(window.cause, Instant::now());
        let [name, uid] = &window.example;
        let payload = json!({"namespace": window.namespace, "reason": window.cause.word(), "pod": name});
        let why = window.cause.hint();
        self.health.events.emit(&Event { level: Level::Warn, ..Event::error("not-injected", payload, why) });
        let note = format!("this step's command has no span, {}: {why}", window.cause.word());
        self.tell(event(EventType::Warning, "NotInjected", note), pod(&window.namespace, name, uid));
    }

    /// A later pod was injected: told at once, or together with what is over soon after.
    pub(super) fn over(&mut self, windows: Vec<Window>, again: &Seen) {
        let over = self.over.entry(again.namespace.clone()).or_default();
        over.again = pod(&again.namespace, &again.name, &again.uid);
        for window in windows {
            match over.windows.get_mut(&window.cause) {
                Some(known) => known.join(window),
                None => drop(over.windows.insert(window.cause, window)),
            }
        }
        self.tell_over();
    }

    /// Tells of what is over, where that has waited long enough.
    pub(super) fn tell_over(&mut self) {
        let mut due = Vec::new();
        for over in self.over.values_mut().filter(|over| !over.windows.is_empty()) {
            if over.told.is_none_or(|told| told.elapsed() > OVER_REST) {
                over.told = Some(Instant::now());
                due.push((std::mem::take(&mut over.windows), over.again.clone()));
            }
        }
        for (windows, again) in due {
            for Window { namespace, cause, pods, from, to, .. } in windows.values() {
                let reason = cause.word();
                let payload = json!({"namespace": namespace, "reason": reason, "pods": pods, "from": from, "to": to});
                self.health.events.emit(&Event::info("injected-again", payload));
            }
            self.tell(event(EventType::Normal, "InjectedAgain", note(windows.values())), again);
        }
    }

    fn tell(&self, event: events::Event, about: ObjectReference) {
        if self.events.try_send((event, about)).is_err() {
            self.health.failed("an Event of pods that are not injected: too many wait".to_owned());
        }
    }
}

/// Writes Events, one after the other.
async fn publish(recorder: Recorder, mut told: mpsc::Receiver<(events::Event, ObjectReference)>, health: Arc<Health>) {
    while let Some((event, about)) = told.recv().await {
        let why = match timeout(PATIENCE, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        health.failed(format!("an Event of pods that are not injected: {why}"));
    }
}

/// What is over, in one sentence.
fn note<'w>(windows: impl Iterator<Item = &'w Window>) -> String {
    let each = windows.map(|Window { cause, pods, from, to, .. }| {
        let counted = if *pods == 1 { "1 pod was".to_owned() } else { format!("{pods} pods were") };
        format!("{counted} not injected from {from} to {to}, {}; ", cause.word())
    });
    each.chain(["since this one, pods of steps are injected again".to_owned()]).collect()
}

fn event(kind: EventType, reason: &str, note: String) -> events::Event {
    events::Event { type_: kind, reason: reason.into(), note: Some(note), action: "Inject".into(), secondary: None }
}

fn pod(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: Some(name.into()),
        namespace: Some(namespace.into()),
        uid: Some(uid.into()),
        ..ObjectReference::default()
    }
}
