//! Windows as Events: one about the pod when a window begins, one about the namespace when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{self, EventType, Recorder, Reporter};
use serde_json::json;
use tokio::time::timeout;

use super::windows::Window;
use crate::cluster::lease::Holder as _;
use crate::coverage::judge::Cause;
use crate::telemetry::events::{Event, Level};
use crate::watch::health::Health;

/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// A namespace in which windows come and go has an Event of a reason this often.
const REST: Duration = Duration::from_mins(5);

/// Who tells.
pub(super) struct Teller {
    recorder: Recorder,
    /// When a window was told, by namespace.
    told: BTreeMap<String, BTreeMap<Cause, Instant>>,
    health: Arc<Health>,
}

impl Teller {
    pub(super) fn new(client: Client, identity: String, health: Arc<Health>) -> Self {
        let reporter = Reporter { controller: "stepspan-watch".into(), instance: Some(identity) };
        Self { recorder: Recorder::new(client, reporter), told: BTreeMap::new(), health }
    }

    /// Pods are missed; told of the first in a while.
    pub(super) async fn open(&mut self, window: &Window) {
        let told = self.told.entry(window.namespace.clone()).or_default();
        if told.get(&window.cause).is_some_and(|told| told.elapsed() < REST) {
            return;
        }
        told.insert(window.cause, Instant::now());
        let [name, uid] = &window.example;
        let payload = json!({"namespace": window.namespace, "reason": window.cause.word(), "pod": name});
        let why = window.cause.hint();
        self.health.events.emit(&Event { level: Level::Warn, ..Event::error("not-injected", payload, why) });
        let about = ObjectReference { uid: Some(uid.clone()), ..reference("Pod", name, &window.namespace) };
        let note = format!("this step's command has no span, {}: {why}", window.cause.word());
        self.publish(event(EventType::Warning, "NotInjected", note), about).await;
    }

    /// A later pod was injected.
    pub(super) async fn over(&self, window: &Window) {
        let Window { namespace, cause, pods, from, to, .. } = window;
        let cause = cause.word();
        let payload = json!({"namespace": namespace, "reason": cause, "pods": pods, "from": from, "to": to});
        self.health.events.emit(&Event::info("injected-again", payload));
        let counted = if *pods == 1 { "1 pod was".to_owned() } else { format!("{pods} pods were") };
        let note = format!("{counted} not injected from {from} to {to}, {cause}; pods of steps are injected again");
        // In the namespace itself, where `kubectl get events` is asked.
        self.publish(event(EventType::Normal, "InjectedAgain", note), reference("Namespace", namespace, namespace))
            .await;
    }

    async fn publish(&self, event: events::Event, about: ObjectReference) {
        if let Ok(Err(error)) = timeout(PATIENCE, self.recorder.publish(&event, &about)).await {
            self.health.failed(format!("an Event of pods that are not injected: {error}"));
        }
    }
}

fn event(kind: EventType, reason: &str, note: String) -> events::Event {
    events::Event { type_: kind, reason: reason.into(), note: Some(note), action: "Inject".into(), secondary: None }
}

fn reference(kind: &str, name: &str, namespace: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some(kind.into()),
        name: Some(name.into()),
        namespace: Some(namespace.into()),
        ..ObjectReference::default()
    }
}
