//! Labels of namespaces, by a watch of nothing but metadata.

use std::{collections::BTreeMap, pin::pin};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};

use super::Listener;
use crate::source::facts::{Facts, Labels};

/// Keeps `facts` up to date for as long as this is polled.
pub async fn follow(client: Client, facts: &Facts, listener: &dyn Listener) {
    let mut changes =
        pin!(watcher(Api::<PartialObjectMeta<Namespace>>::all(client), Config::default()).default_backoff());
    let mut listing = BTreeMap::new();
    let entry = |namespace: PartialObjectMeta<Namespace>| -> (String, Labels) {
        (namespace.name_any(), namespace.metadata.labels.unwrap_or_default())
    };
    while let Some(change) = changes.next().await {
        match change {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(namespace)) => listing.extend([entry(namespace)]),
            Ok(Event::InitDone) => {
                facts.list(std::mem::take(&mut listing));
                listener.listed();
            }
            Ok(Event::Apply(namespace)) => {
                let (name, labels) = entry(namespace);
                facts.change(&name, Some(labels));
            }
            Ok(Event::Delete(namespace)) => facts.change(&namespace.name_any(), None),
            Err(error) => listener.failed(format!("the namespaces: {error}")),
        }
    }
}
