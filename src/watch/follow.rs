//! Two watches: Workflows, and the pods of their steps. Lists come page by page; what is not needed of an object is dropped as it comes.

use std::pin::pin;
use std::time::Instant;

use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, Resource as _};
use tokio::sync::mpsc;

use super::coverage::Sight;
use super::objects::{StepPod, Workflow};
use crate::cluster::lease::Holder;
use crate::doctor::survey::OF_WORKFLOWS;
use crate::trace::pod::Pod;
use crate::trace::{Run, Unreadable};

/// Workflows in one page of a list: one may be a megabyte.
const PAGE: u32 = 50;
/// Pods in one page: some 20 KiB each.
const PODS_PAGE: u32 = 250;

/// What has changed.
#[derive(Debug)]
pub(super) enum Change {
    /// All Workflows are listed from here on.
    Listing,
    /// They have been.
    Listed,
    /// A Workflow is so; reading it was done at that time.
    Workflow(Box<Run>, Instant),
    /// A Workflow, by UID, then by namespace and name, whose nodes cannot be read.
    Unreadable(String, [String; 2], Unreadable),
    /// A Workflow was deleted.
    WorkflowGone(String),
    /// All pods are listed from here on.
    PodsListing,
    /// They have been.
    PodsListed,
    /// A pod of a Workflow is so.
    Pod(Box<Pod>),
    /// A pod of a Workflow was deleted, and was so before.
    PodGone(Box<Pod>),
    /// Pods are not heard of until they are again: what they say in between comes then.
    PodsLost,
}

/// Follows Workflows until nobody listens any more.
pub(super) async fn workflows(client: Client, only: Option<&str>, changes: mpsc::Sender<Change>, holder: &dyn Holder) {
    let api: Api<Workflow> = match only {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut events = pin!(watcher(api, Config::default().page_size(PAGE)).default_backoff());
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(Event::Init) => Change::Listing,
            Ok(Event::InitDone) => Change::Listed,
            Ok(Event::InitApply(object) | Event::Apply(object)) => workflow(object),
            Ok(Event::Delete(object)) => Change::WorkflowGone(object.meta().uid.clone().unwrap_or_default()),
            Err(error) => {
                holder.failed(format!("the Workflows: {error}"));
                continue;
            }
        };
        if changes.send(change).await.is_err() {
            return;
        }
    }
}

/// Follows the pods of Workflows until nobody listens any more.
pub(super) async fn pods(
    client: Client,
    only: Option<&str>,
    (changes, sights): (mpsc::Sender<Change>, mpsc::Sender<Sight>),
    holder: &dyn Holder,
) {
    let api: Api<StepPod> = match only {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = Config::default().page_size(PODS_PAGE).labels(OF_WORKFLOWS);
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let (heard, sight) = match event {
            Ok(Event::InitApply(object) | Event::Apply(object)) => pod(object, false),
            Ok(Event::Delete(object)) => pod(object, true),
            Ok(Event::Init) => (Some(Change::PodsListing), Sight::Listing),
            Ok(Event::InitDone) => (Some(Change::PodsListed), Sight::Listed),
            Err(error) => {
                holder.failed(format!("the pods: {error}"));
                if changes.send(Change::PodsLost).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if let Some(change) = heard
            && changes.send(change).await.is_err()
        {
            return;
        }
        if sights.send(sight).await.is_err() {
            return;
        }
    }
}

fn workflow(object: Workflow) -> Change {
    let name = |part: &Option<String>| part.clone().unwrap_or_default();
    let metadata = object.meta();
    let called = [name(&metadata.namespace), name(&metadata.name)];
    let uid = name(&metadata.uid);
    match object.run() {
        Ok(run) => Change::Workflow(Box::new(run), Instant::now()),
        Err(why) => Change::Unreadable(uid, called, why),
    }
}

/// What it says of a step, where it is one's, and of admission.
fn pod(object: StepPod, is_gone: bool) -> (Option<Change>, Sight) {
    let (pod, seen) = object.parts();
    let sight = if is_gone { Sight::Gone(seen.uid) } else { Sight::Pod(Box::new(seen)) };
    let change = if is_gone { Change::PodGone } else { Change::Pod };
    (pod.map(|pod| change(Box::new(pod))), sight)
}
