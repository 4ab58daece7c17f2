//! The serving keys in their Secret: every replica reads and serves them, one makes and rotates them.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use tokio::sync::watch;

use super::{
    Known, Listener,
    keys::{Keys, Life, Step},
    registration::{self, FIELD_MANAGER, Registration},
};
use crate::{
    config::{Cluster, KeysSecret},
    webhook::{
        authority::{self, Pair},
        tls::{self, TlsStore},
    },
};

/// After a failure, and while nothing else says when.
const AGAIN: Duration = Duration::from_secs(2);
/// A long rest is looked at now and then: clocks jump. No pause after failures is longer either.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// Serves whatever the Secret holds, for as long as this is polled, and hands it to the issuer.
pub async fn follow(
    client: Client,
    namespace: &str,
    kept: &KeysSecret,
    tls: &TlsStore,
    state: watch::Sender<Known<Secret>>,
    listener: &dyn Listener,
) {
    let api: Api<Secret> = Api::namespaced(client, namespace);
    let name = &kept.secret;
    let mut changes = pin!(watch_object(api, name).default_backoff());
    while let Some(change) = changes.next().await {
        match change {
            Ok(Some(secret)) => {
                if let Some(pair) = keys(&secret, kept).current {
                    listener.certificate(tls.offer(pair));
                }
                state.send_replace(Known::Is(secret));
            }
            Ok(None) => drop(state.send_replace(Known::Absent)),
            Err(error) => listener.failed(format!("the Secret {namespace}/{name}: {error}")),
        }
    }
}

/// Makes and rotates the keys while it holds the Lease.
pub struct Issuer {
    /// The API server.
    pub client: Client,
    /// Our objects' names.
    pub cluster: Cluster,
    /// What is to be made.
    pub keys: KeysSecret,
    /// Whether it is on us.
    pub held: watch::Receiver<bool>,
    /// What the Secret holds.
    pub secret: watch::Receiver<Known<Secret>>,
    /// What the API server trusts.
    pub registration: watch::Receiver<Known<Registration>>,
    /// Who is told.
    pub listener: Arc<dyn Listener>,
}

impl Issuer {
    /// Looks at the keys whenever something about them changes, or a step is due.
    pub async fn run(mut self) {
        // The bundle that every webhook trusts, and since when that has been seen.
        let mut trusted: Option<(String, Instant)> = None;
        // What fails for want of a right fails until a person comes.
        let mut pause = AGAIN;
        loop {
            let turned = if *self.held.borrow_and_update() { self.turn(&mut trusted).await } else { Ok(LONGEST_REST) };
            let rest = match turned {
                Ok(rest) => {
                    pause = AGAIN;
                    rest
                }
                Err(error) => {
                    self.listener.failed(error);
                    let next = (pause * 2).min(LONGEST_REST);
                    std::mem::replace(&mut pause, next)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                Ok(()) = self.held.changed() => {}
                Ok(()) = self.secret.changed() => {}
                Ok(()) = self.registration.changed() => {}
            }
        }
    }

    /// One look, at most one write of each object; for how long to rest after it, or what failed.
    async fn turn(&mut self, trusted: &mut Option<(String, Instant)>) -> Result<Duration, String> {
        let secret = self.secret.borrow_and_update().clone();
        let registration = self.registration.borrow_and_update().clone();
        let kept = match &secret {
            Known::NotYet => return Ok(AGAIN),
            Known::Absent => Keys::default(),
            Known::Is(secret) => keys(secret, &self.keys),
        };
        let of_bundle = |error| format!("the caBundle of {}: {error}", self.cluster.registration);
        self.trust(&kept, &registration, trusted).await.map_err(of_bundle)?;
        let (life, now) = (Life::of(self.keys.life), SystemTime::now());
        let step = kept.step(life, trusted.as_ref().map(|(_, since)| since.elapsed()), now);
        if let Step::Rest(rest) = step {
            return Ok(rest.clamp(Duration::from_millis(100), LONGEST_REST));
        }
        match self.write(&secret, &kept, &step, now).await {
            Ok(()) => self.listener.issued(step.label()),
            // Another replica was faster: its version comes by the watch.
            Err(Failure::Api(kube::Error::Api(status))) if status.code == 409 => {}
            Err(error) => return Err(format!("the Secret {}: {error}", self.keys.secret)),
        }
        Ok(AGAIN)
    }

    /// Makes the webhooks trust what the keys need, and keeps since when they do.
    async fn trust(
        &self,
        kept: &Keys,
        registration: &Known<Registration>,
        trusted: &mut Option<(String, Instant)>,
    ) -> kube::Result<()> {
        let (Some(bundle), Known::Is(registration)) = (kept.bundle(), registration) else {
            *trusted = None;
            return Ok(());
        };
        if registration.trusts(&bundle) {
            if trusted.as_ref().is_none_or(|(seen, _)| *seen != bundle) {
                *trusted = Some((bundle, Instant::now()));
            }
            return Ok(());
        }
        *trusted = None;
        registration::trust(&self.client, &self.cluster.registration, registration, &bundle).await?;
        self.listener.issued("trust");
        Ok(())
    }

    async fn write(&self, secret: &Known<Secret>, kept: &Keys, step: &Step, now: SystemTime) -> Result<(), Failure> {
        let (names, life) = (&self.keys.names, self.keys.life);
        let fresh = if step.makes() { Some(authority::issue(names, life, now)?) } else { None };
        let data: BTreeMap<_, _> =
            kept.after(step, fresh).write().into_iter().map(|(name, value)| (name, ByteString(value))).collect();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.cluster.namespace);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match secret {
            Known::Is(secret) => {
                // With the resourceVersion it was read under: a second writer fails.
                let secret = Secret { data: Some(data), ..secret.clone() };
                api.replace(&self.keys.secret, &parameters, &secret).await?;
            }
            Known::Absent | Known::NotYet => {
                let metadata = ObjectMeta { name: Some(self.keys.secret.clone()), ..ObjectMeta::default() };
                api.create(&parameters, &Secret { metadata, data: Some(data), ..Secret::default() }).await?;
            }
        }
        Ok(())
    }
}

/// What the Secret holds; a pair for other names than ours, or one whose parts are not of each other, counts as none.
fn keys(secret: &Secret, wanted: &KeysSecret) -> Keys {
    let data = secret.data.iter().flatten().map(|(name, ByteString(value))| (name.clone(), value.clone()));
    let fits = |pair: &Pair| wanted.names.iter().all(|name| pair.is_for(name)) && tls::is_whole(pair);
    let Keys { current, next, old_ca } = Keys::read(&data.collect());
    // Replicas go on with the pair they served before a hand was laid on it: its CA stays in the bundle.
    let served = current.as_ref().filter(|pair| tls::is_signed_by_its_ca(pair)).map(|pair| pair.ca.clone());
    let current = current.filter(fits);
    let old_ca = if current.is_none() { served.or(old_ca) } else { old_ca };
    Keys { current, next: next.filter(fits), old_ca }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("a certificate for these names cannot be made: {0}")]
    Names(#[from] rcgen::Error),
}
