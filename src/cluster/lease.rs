//! Which replica does what only one should do: the holder of a Lease (`coordination.k8s.io/v1`), as `client-go`'s leader
//! election keeps it.
//!
//! No clock is compared with another machine's: a Lease counts as abandoned when it has not changed for [`TERM`] as seen
//! here. A holder that cannot renew stops acting after [`GIVE_UP`], before another may begin.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{sync::watch, time::timeout};

/// Who hears of a Lease.
pub trait Holder: Send + Sync {
    /// This replica holds the Lease from now on, or does no longer.
    fn leads(&self, leads: bool);
    /// Something failed, and is tried again.
    fn failed(&self, error: String);
}

/// How long a Lease is good without being renewed.
pub const TERM: Duration = Duration::from_secs(15);
/// When a holder that cannot renew stops acting.
const GIVE_UP: Duration = Duration::from_secs(10);
/// How often it is looked at, and renewed.
const EVERY: Duration = Duration::from_secs(2);

/// Keeps trying to hold the Lease.
#[derive(Debug)]
pub struct Keeper {
    api: Api<Lease>,
    name: String,
    identity: String,
    held: watch::Sender<bool>,
    /// The record last seen, and when it was first seen so.
    seen: Option<(Record, Instant)>,
    renewed: Option<Instant>,
}

/// What tells one state of a Lease from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    holder: String,
    renewed: Option<Timestamp>,
}

impl Keeper {
    /// A keeper for the Lease `name`; `identity` is this replica's own, the pod's name.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> (Self, watch::Receiver<bool>) {
        let (held, receiver) = watch::channel(false);
        let api = Api::namespaced(client, namespace);
        (Self { api, name: name.into(), identity: identity.into(), held, seen: None, renewed: None }, receiver)
    }

    /// Holds it whenever nobody else does, for as long as this is polled. `listener` hears of it.
    pub async fn run(mut self, listener: &dyn Holder) {
        loop {
            // An API server that does not answer must not keep us from giving up in time.
            match timeout(EVERY, self.turn()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => listener.failed(format!("the Lease {}: {error}", self.name)),
                Err(_) => listener.failed(format!("the Lease {}: no answer from the API server", self.name)),
            }
            let held = self.renewed.is_some_and(|at| at.elapsed() < GIVE_UP);
            if self.held.send_if_modified(|was| std::mem::replace(was, held) != held) {
                listener.leads(held);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn turn(&mut self) -> kube::Result<()> {
        let lease = match self.api.get_opt(&self.name).await? {
            Some(lease) => lease,
            None => self.api.create(&PostParams::default(), &self.empty()).await?,
        };
        let record = record(&lease);
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record.clone(), Instant::now()));
        }
        let abandoned = self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= TERM);
        if record.holder != self.identity {
            self.renewed = None;
            if !record.holder.is_empty() && !abandoned {
                return Ok(());
            }
        }
        let began = Instant::now();
        match self.api.replace(&self.name, &PostParams::default(), &self.taken(lease, &record)).await {
            Ok(lease) => {
                self.seen = Some((self::record(&lease), Instant::now()));
                self.renewed = Some(began);
                Ok(())
            }
            // Another replica was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn empty(&self) -> Lease {
        Lease { metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, spec: None }
    }

    fn taken(&self, mut lease: Lease, record: &Record) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut spec = lease.spec.take().unwrap_or_default();
        if record.holder != self.identity {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(TERM.as_secs()).ok(),
            renew_time: Some(now),
            ..spec
        });
        lease
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    Record {
        holder: spec.and_then(|s| s.holder_identity.clone()).unwrap_or_default(),
        renewed: spec.and_then(|s| s.renew_time.as_ref()).map(|at| at.0),
    }
}

/// Lets go of the Lease, so that the next holder need not wait for its term; as good as it can in a moment.
pub async fn release(client: Client, namespace: &str, name: &str, identity: &str) {
    let api: Api<Lease> = Api::namespaced(client, namespace);
    let Ok(Some(mut lease)) = api.get_opt(name).await else { return };
    if record(&lease).holder != identity {
        return;
    }
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = Some(String::new());
    }
    // If it fails, its term ends by itself.
    let _ = api.replace(name, &PostParams::default(), &lease).await;
}
