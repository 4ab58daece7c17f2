//! What the server knows from the Kubernetes API, and what it writes there.
//!
//! Nothing of this is on the path of a review: watches fill the same stores that files fill ([`crate::source::store`],
//! [`crate::webhook::tls`]), and the request path only reads those.
//!
//! [`ask`] is for a person's questions (`doctor`, `explain`), [`step`] for one of them: how was this pod when Argo made it?
//!
//! [`keys`] and [`lease`] decide (no clock, no network of their own); [`certificate`] and [`registration`] watch and write.
//!
//! Invariants:
//! - An API server that is away takes nothing out of force: the last known state serves on.
//! - Every write is one that a second writer at the same moment makes fail (`resourceVersion`) or repeats (a patch that
//!   says the whole wanted value): the [`lease`] only keeps replicas from doing the same work.
//! - Each request for an object names it, so that rights can be given for that name alone.

pub mod ask;
pub mod breaker;
pub mod certificate;
pub mod client;
pub mod keys;
pub mod lease;
pub mod namespaces;
pub mod policies;
pub mod registration;
pub mod step;

use std::{fmt, sync::Arc};

use kube::Client;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    breaker::{Stops, circuit::Turn},
    config::Cluster,
    source::store::Polled,
    webhook::kept::Kept,
};
use breaker::Judge;
use certificate::Issuer;
use policies::Policies;
use registration::Registration;

/// What the server hears of the cluster.
pub trait Listener: lease::Holder {
    /// Another certificate is served, or was refused.
    fn certificate(&self, polled: Polled);
    /// Other policies are in force, or some were refused.
    fn policies(&self, polled: Polled);
    /// The keys were changed by this replica: how, in a word.
    fn issued(&self, step: &'static str);
    /// The webhook configuration changed.
    fn registered(&self, registration: &Registration);
    /// The namespaces have been listed.
    fn listed(&self);
    /// The breaker stops injection here and nowhere else.
    fn stopped(&self, stops: &Stops);
    /// This replica has turned a circuit of the breaker.
    fn turned(&self, turn: &Turn);
}

/// What is known of an object: nothing yet, that it is not there, or what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Known<T> {
    /// The API server has not answered yet.
    #[default]
    NotYet,
    /// It is not there.
    Absent,
    /// It is there.
    Is(T),
}

/// Watches and writes for as long as it is kept.
pub struct Connected {
    /// The webhook configuration.
    pub registration: watch::Receiver<Known<Registration>>,
    client: Client,
    config: Cluster,
    tasks: JoinSet<()>,
}

/// Begins to watch and, where it is on this replica, to write.
pub fn connect(client: Client, config: &Cluster, kept: &Kept, listener: &Arc<dyn Listener>) -> Connected {
    let mut tasks = JoinSet::new();
    let (registered, registration) = watch::channel(Known::NotYet);
    let (one, name, tell) = (client.clone(), config.registration.clone(), Arc::clone(listener));
    tasks.spawn(async move { registration::follow(one, &name, registered, &*tell).await });

    let (lease, held) = lease::Keeper::new(client.clone(), &config.namespace, &config.lease, &config.identity);
    let tell = Arc::clone(listener);
    tasks.spawn(async move { lease.run(&*tell).await });

    if config.namespace_labels {
        let (one, facts, tell) = (client.clone(), Arc::clone(&kept.facts), Arc::clone(listener));
        tasks.spawn(async move { namespaces::follow(one, &facts, &*tell).await });
    }
    if config.policy_resources {
        let policies = Policies::new(client.clone(), Arc::clone(&kept.policies));
        let (one, tell) = (policies.clone(), Arc::clone(listener));
        tasks.spawn(async move { one.follow(&*tell).await });
        let (held, tell) = (held.clone(), Arc::clone(listener));
        tasks.spawn(async move { policies.publish(held, &*tell).await });
    }
    if let Some(breaker) = &config.breaker {
        let (told, stored) = watch::channel(Known::NotYet);
        let (one, gate, tell) = (client.clone(), Arc::clone(&kept.gate), Arc::clone(listener));
        let (namespace, name) = (config.namespace.clone(), breaker.config_map.clone());
        tasks.spawn(async move { breaker::follow(one, (&namespace, &name), &gate, told, &*tell).await });
        let image = kept.facts.current().injector.image.clone();
        let judge = Judge::new(client.clone(), config, breaker, (held.clone(), stored), (image, Arc::clone(listener)));
        tasks.spawn(judge.run());
    }
    if let Some(keys) = &config.keys {
        let (told, secret) = watch::channel(Known::NotYet);
        let (one, from, tell) = (client.clone(), config.clone(), Arc::clone(listener));
        let (tls, keys) = (Arc::clone(&kept.tls), keys.clone());
        let follow = keys.clone();
        tasks.spawn(async move { certificate::follow(one, &from.namespace, &follow, &tls, told, &*tell).await });
        let (client, cluster, listener) = (client.clone(), config.clone(), Arc::clone(listener));
        let issuer = Issuer { client, cluster, keys, held, secret, registration: registration.clone(), listener };
        tasks.spawn(issuer.run());
    }
    Connected { registration, client, config: config.clone(), tasks }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Connected {
    /// Stops, and lets go of the Lease.
    pub async fn leave(mut self) {
        self.tasks.shutdown().await;
        lease::release(self.client, &self.config.namespace, &self.config.lease, &self.config.identity).await;
    }
}
