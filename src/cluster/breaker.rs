//! The breaker in the cluster: every replica follows what is stopped, and the holder of the Lease decides it.
//!
//! What is stopped stands in a ConfigMap, so that it outlives replicas and can be read, and changed, with kubectl. Pods are watched
//! by the holder alone, and only those that are pending or failed.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Pod};
use kube::{
    Api, Client,
    api::Patch,
    runtime::{
        WatchStreamExt,
        events::{self, EventType, Recorder, Reporter},
        watcher::{self, Config, Event, watch_object, watcher},
    },
};
use serde_json::json;
use time::OffsetDateTime;
use tokio::{sync::watch, time::timeout};

use super::{
    Known, Listener,
    registration::{FIELD_MANAGER, by_us},
};
use crate::{
    argo::names::WORKFLOW_LABEL,
    breaker::{
        EVERYWHERE, KEY, Phase, Stops,
        circuit::{Circuits, Turn},
        gate::Gate,
        in_words, symptom,
    },
    config::{Breaker, Cluster},
    telemetry::events::rfc3339,
};

/// Pending and failed ones: where our part does not start, the pod is either.
const PHASES: &str = "status.phase!=Running,status.phase!=Succeeded";
/// Pods are large, and looked at one by one.
const PAGE: u32 = 50;
/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// How many of our own writes are known again.
const OWN_WRITES: usize = 16;
/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest note of an Event, in characters (`events.k8s.io/v1`: 1 kB).
const MAX_NOTE: usize = 900;
const LONGEST_REST: Duration = Duration::from_mins(1);

/// What the ConfigMap says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    stops: Stops,
    /// The ConfigMap's `resourceVersion`.
    version: String,
}

/// Keeps `gate` at what the ConfigMap says, for as long as this is polled, and hands it to the judge.
pub async fn follow(
    client: Client,
    (namespace, name): (&str, &str),
    gate: &Gate,
    state: watch::Sender<Known<Stored>>,
    listener: &dyn Listener,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let mut changes = pin!(watch_object(api, name).default_backoff());
    while let Some(change) = changes.next().await {
        let map = match change {
            Ok(map) => map.unwrap_or_default(),
            Err(error) => {
                listener.failed(format!("the ConfigMap {namespace}/{name}: {error}"));
                continue;
            }
        };
        let text = map.data.unwrap_or_default().remove(KEY).unwrap_or_default();
        // Who empties it, or breaks it, closes all circuits.
        let stops = Stops::read(&text).unwrap_or_else(|error| {
            listener.failed(format!("the ConfigMap {namespace}/{name}: {KEY} is no list of circuits: {error}"));
            Stops::default()
        });
        let before = gate.stops();
        gate.set(stops.clone());
        if *before != stops {
            listener.stopped(&stops);
        }
        state.send_replace(Known::Is(Stored { stops, version: map.metadata.resource_version.unwrap_or_default() }));
    }
}

/// Decides what is stopped while it holds the Lease.
pub struct Judge {
    client: Client,
    config: Cluster,
    breaker: Breaker,
    held: watch::Receiver<bool>,
    stored: watch::Receiver<Known<Stored>>,
    /// Our image, as it stands in pods.
    image: String,
    recorder: Recorder,
    listener: Arc<dyn Listener>,
}

/// One term of a holder of the Lease.
struct Term {
    circuits: Circuits,
    /// What the ConfigMap says, as far as is known here.
    written: Stops,
    /// The `resourceVersion` it has, as far as is known here: a write by somebody else since then makes ours fail.
    version: String,
    /// Those of our own last writes: what comes by the watch under another is somebody else's.
    own: VecDeque<String>,
    /// What has turned and is not written yet.
    untold: Vec<Turn>,
    /// The pods of the list that is being told.
    listing: Option<BTreeSet<String>>,
    /// All pods have been listed once.
    listed: bool,
}

impl Judge {
    /// Nothing is read yet.
    pub fn new(
        client: Client,
        config: &Cluster,
        breaker: &Breaker,
        (held, stored): (watch::Receiver<bool>, watch::Receiver<Known<Stored>>),
        (image, listener): (String, Arc<dyn Listener>),
    ) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: Some(config.identity.clone()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, config: config.clone(), breaker: breaker.clone(), held, stored, image, recorder, listener }
    }

    /// Judges whenever it holds the Lease, for as long as this is polled.
    pub async fn run(mut self) {
        loop {
            let stored = self.stored.borrow_and_update().clone();
            let held = *self.held.borrow_and_update();
            if let (true, Known::Is(Stored { stops, version })) = (held, stored) {
                let circuits = Circuits::new(self.breaker.settings.clone(), stops.clone());
                let (own, untold) = (VecDeque::new(), Vec::new());
                self.term(Term { circuits, written: stops, version, own, untold, listing: None, listed: false }).await;
            }
            tokio::select! {
                Ok(()) = self.held.changed() => {}
                Ok(()) = self.stored.changed() => {}
                () = tokio::time::sleep(LONGEST_REST) => {}
            }
        }
    }

    /// From getting the Lease to losing it.
    async fn term(&mut self, mut term: Term) {
        let config = Config::default().labels(WORKFLOW_LABEL).fields(PHASES).page_size(PAGE);
        let mut changes = pin!(watcher(Api::<Pod>::all(self.client.clone()), config).default_backoff());
        while *self.held.borrow_and_update() {
            let now = now();
            // Before all pods are known, a circuit in trial would look as good as mended.
            if term.listed {
                let turns = term.circuits.turn(now);
                term.untold.extend(turns);
            }
            let mut rest = AGAIN;
            if self.write(&mut term).await {
                self.tell(&std::mem::take(&mut term.untold)).await;
                rest = term.circuits.rest(now).filter(|_| term.listed).unwrap_or(LONGEST_REST).min(LONGEST_REST);
            }
            tokio::select! {
                Some(change) = changes.next() => {
                    let turns = self.hear(change, &mut term).await;
                    term.untold.extend(turns);
                }
                Ok(()) = self.stored.changed() => {
                    let stored = self.stored.borrow_and_update().clone();
                    if let Known::Is(Stored { stops, version }) = stored {
                        term.overrule(stops, version);
                    }
                }
                Ok(()) = self.held.changed() => {}
                // A moment more: times are in whole seconds.
                () = tokio::time::sleep(rest + Duration::from_millis(50)) => {}
            }
        }
    }

    /// Takes in what the watch tells of pods.
    async fn hear(&self, change: Result<Event<Pod>, watcher::Error>, term: &mut Term) -> Vec<Turn> {
        match change {
            Ok(Event::Init) => term.listing = Some(BTreeSet::new()),
            Ok(Event::InitApply(pod)) => {
                term.listing.get_or_insert_default().extend(pod.metadata.uid.clone());
                return term.see(&pod, &self.image);
            }
            Ok(Event::InitDone) => {
                term.listed = true;
                let listed = term.listing.take().unwrap_or_default();
                term.circuits.keep(|uid| listed.contains(uid));
            }
            Ok(Event::Apply(pod)) => return term.see(&pod, &self.image),
            Ok(Event::Delete(pod)) => return self.left(&pod, term).await,
            Err(error) => self.listener.failed(format!("the pods of workflows: {error}")),
        }
        Vec::new()
    }

    /// A pod is gone, or it runs now: that is no longer among those watched, and good news where something is stopped or about to be.
    async fn left(&self, pod: &Pod, term: &mut Term) -> Vec<Turn> {
        let Some(seen) = symptom::of(pod, &self.image) else { return Vec::new() };
        if term.circuits.stops().of(&seen.namespace).is_none() && !term.circuits.is_in_doubt() {
            term.circuits.gone(&seen.uid);
            return Vec::new();
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &seen.namespace);
        match timeout(PATIENCE, api.get_opt(&seen.name)).await {
            Ok(Ok(Some(pod))) if pod.metadata.uid.as_ref() == Some(&seen.uid) => term.see(&pod, &self.image),
            // The next trial will tell.
            _ => {
                term.circuits.gone(&seen.uid);
                Vec::new()
            }
        }
    }

    /// Writes what is stopped, where that is something else than before; whether it stands there.
    async fn write(&self, term: &mut Term) -> bool {
        let stops = term.circuits.stops();
        if *stops == term.written {
            return true;
        }
        let text = if *stops == Stops::default() {
            String::new()
        } else {
            serde_json::to_string_pretty(stops).unwrap_or_default()
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.config.namespace);
        let metadata = json!({"resourceVersion": term.version});
        let patch = Patch::Merge(json!({"metadata": metadata, "data": {KEY: text}}));
        // A Lease that was lost meanwhile is another's to act under.
        if !*self.held.borrow() {
            return false;
        }
        match timeout(PATIENCE, api.patch(&self.breaker.config_map, &by_us(), &patch)).await {
            Ok(Ok(map)) => {
                term.written = stops.clone();
                term.version = map.metadata.resource_version.unwrap_or_default();
                term.own.push_back(term.version.clone());
                if term.own.len() > OWN_WRITES {
                    term.own.pop_front();
                }
                true
            }
            // Somebody else wrote: what, comes by the watch.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => false,
            Ok(Err(error)) => {
                self.listener.failed(format!("the ConfigMap {}: {error}", self.breaker.config_map));
                false
            }
            Err(_) => false,
        }
    }

    /// Tells of circuits that turned: by an Event on the namespace or the webhook configuration, and on a pod that is stuck.
    async fn tell(&self, turns: &[Turn]) {
        for turn in turns {
            self.listener.turned(turn);
            let about = match &turn.namespace {
                // In the namespace itself, where `kubectl get events` is asked.
                Some(name) => ObjectReference { namespace: Some(name.clone()), ..reference("v1", "Namespace", name) },
                None => reference(
                    "admissionregistration.k8s.io/v1",
                    "MutatingWebhookConfiguration",
                    &self.config.registration,
                ),
            };
            let of_pod = turn.pod.as_ref().map(|pod| ObjectReference {
                namespace: Some(pod.namespace.clone()),
                uid: Some(pod.uid.clone()),
                ..reference("v1", "Pod", &pod.name)
            });
            for about in std::iter::once(about).chain(of_pod) {
                if let Ok(Err(error)) = timeout(PATIENCE, self.recorder.publish(&event(turn), &about)).await {
                    self.listener.failed(format!("an Event of the breaker: {error}"));
                }
            }
        }
    }
}

impl Term {
    fn see(&mut self, pod: &Pod, image: &str) -> Vec<Turn> {
        symptom::of(pod, image).map(|seen| self.circuits.see(seen, now())).unwrap_or_default()
    }

    /// Takes what somebody else has written: an operator, or another holder.
    fn overrule(&mut self, stops: Stops, version: String) {
        if self.own.contains(&version) {
            return;
        }
        self.version = version;
        if stops != self.written {
            self.untold.clear();
            self.written = stops.clone();
            self.circuits.overrule(stops, now());
        }
    }
}

fn event(turn: &Turn) -> events::Event {
    let whose = in_words(turn.namespace.as_deref().unwrap_or(EVERYWHERE));
    let (kind, reason, note) = match &turn.now {
        None => (
            EventType::Normal,
            "InjectionResumed",
            format!("the init container starts again: pods of {whose} are injected"),
        ),
        Some(stop) => {
            let until = rfc3339(OffsetDateTime::from(stop.until));
            match stop.phase {
                Phase::Open => {
                    let note = format!(
                        "the init container of stepspan cannot start in {}; new pods of {whose} go without it, next trial at {until}",
                        stop.reason
                    );
                    (EventType::Warning, "InjectionPaused", note)
                }
                Phase::Trial => {
                    (EventType::Normal, "InjectionTried", format!("each replica injects one pod of {whose}"))
                }
            }
        }
    };
    let note = Some(note.chars().take(MAX_NOTE).collect());
    events::Event { type_: kind, reason: reason.into(), note, action: "Inject".into(), secondary: None }
}

fn reference(version: &str, kind: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(version.into()),
        kind: Some(kind.into()),
        name: Some(name.into()),
        ..ObjectReference::default()
    }
}

/// Whole seconds, as they are written.
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
