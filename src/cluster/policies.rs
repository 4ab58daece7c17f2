//! Policies as resources: a watch that feeds the store, and the statuses, which the holder of the Lease writes.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch},
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

use super::{Listener, registration::by_us};
use crate::{
    policy::{
        crd::{GROUP, NAME, PLURAL, VERSION},
        spec::{API_VERSION, KIND},
    },
    source::{resources::Change, store::PolicyStore},
    telemetry::events::rfc3339,
};

/// After a status that was not written.
const AGAIN: Duration = Duration::from_secs(2);
/// A generation's status is written once in so long: another release may write other ones, and would be woken by each of ours.
const ONCE: Duration = Duration::from_mins(1);

/// The resources of a cluster, and the store they go to.
#[derive(Clone)]
pub struct Policies {
    api: Api<DynamicObject>,
    store: Arc<PolicyStore>,
    /// A status may have to be written.
    changed: Arc<Notify>,
}

impl Policies {
    /// Nothing is read yet.
    pub fn new(client: Client, store: Arc<PolicyStore>) -> Self {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, KIND);
        let api = Api::all_with(client, &ApiResource::from_gvk_with_plural(&kind, PLURAL));
        Self { api, store, changed: Arc::new(Notify::new()) }
    }

    /// Feeds the store for as long as this is polled.
    pub async fn follow(self, listener: &dyn Listener) {
        let mut changes = pin!(watcher(self.api.clone(), Config::default()).default_backoff());
        while let Some(change) = changes.next().await {
            match change {
                Ok(Event::Init) => self.hear(Change::Listing, listener),
                Ok(Event::InitApply(object)) => self.hear(Change::Listed(plain(object)), listener),
                Ok(Event::InitDone) => self.hear(Change::AllListed, listener),
                Ok(Event::Apply(object)) => self.hear(Change::Put(plain(object)), listener),
                Ok(Event::Delete(object)) => {
                    self.hear(Change::Gone(object.metadata.name.unwrap_or_default()), listener);
                }
                Err(error) => {
                    if is_not_defined(&error) && self.store.awaits_resources() {
                        // There is none of a kind that is not defined: no reason to wait.
                        self.hear(Change::Listing, listener);
                        self.hear(Change::AllListed, listener);
                    }
                    listener.failed(format!("the policies ({NAME}): {error}"));
                }
            }
        }
    }

    fn hear(&self, change: Change, listener: &dyn Listener) {
        for polled in self.store.hear(change) {
            listener.policies(polled);
        }
        self.changed.notify_one();
    }

    /// Writes the statuses that say something else than they should, while the Lease is `held`.
    pub async fn publish(self, mut held: watch::Receiver<bool>, listener: &dyn Listener) {
        // When the status of which generation was written last.
        let mut written: BTreeMap<String, (i64, Instant)> = BTreeMap::new();
        loop {
            let mut failed = false;
            if *held.borrow_and_update() {
                let now = rfc3339(OffsetDateTime::now_utc());
                let outdated = self.store.outdated(&now);
                written.retain(|_, (_, at)| at.elapsed() < ONCE);
                for (name, status) in outdated {
                    if written.get(&name).is_some_and(|(generation, _)| *generation == status.observed_generation) {
                        failed = true;
                        continue;
                    }
                    written.insert(name.clone(), (status.observed_generation, Instant::now()));
                    let patch = Patch::Merge(json!({"status": status}));
                    match self.api.patch_status(&name, &by_us(), &patch).await {
                        Ok(_) => {}
                        // Gone by now: the watch will say so.
                        Err(kube::Error::Api(status)) if status.code == 404 => {}
                        Err(error) => {
                            failed = true;
                            listener.failed(format!("the status of {}/{name}: {error}", KIND.to_lowercase()));
                        }
                    }
                }
            }
            tokio::select! {
                () = self.changed.notified() => {}
                Ok(()) = held.changed() => {}
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
        }
    }
}

/// The resource as JSON, without what no policy reads.
fn plain(object: DynamicObject) -> Value {
    let DynamicObject { types: _, metadata, mut data } = object;
    let metadata = json!({"name": metadata.name, "uid": metadata.uid, "generation": metadata.generation});
    if let Value::Object(fields) = &mut data {
        fields.insert("apiVersion".into(), API_VERSION.into());
        fields.insert("kind".into(), KIND.into());
        fields.insert("metadata".into(), metadata);
    }
    data
}

/// Whether the API server knows no resource of this kind.
fn is_not_defined(error: &kube::runtime::watcher::Error) -> bool {
    use kube::runtime::watcher::Error;
    matches!(error, Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}
