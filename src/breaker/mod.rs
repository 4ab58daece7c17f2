//! The circuit breaker: our image is a dependency of every step, and where it cannot start, steps go on without it.
//!
//! Pods in which our init container cannot start ([`symptom`]) -> a [`circuit`] for each namespace and one for the cluster, which
//! the holder of the Lease keeps -> [`Stops`], written where every replica reads them -> the [`gate`] that a review passes.
//!
//! A circuit is closed (pods are injected), open (they are not), or in trial (each replica lets one pod through, and what becomes
//! of it decides). Everything but the gate is plain data and a given time.

pub mod circuit;
pub mod gate;
pub mod symptom;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

/// When the breaker opens, and when it tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As many pods of one namespace must be stuck.
    pub pods: usize,
    /// For so long.
    pub after: Duration,
    /// Stuck pods in as many namespaces, while none starts in any, open the circuit of the cluster.
    pub namespaces: usize,
    /// From opening to the first trial; doubled after each trial that fails.
    pub retry: Duration,
}

/// The longest time between two trials.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The key of the ConfigMap under which [`Stops`] stand.
pub const KEY: &str = "stopped";

/// Where nothing is injected. JSON, as it stands in the ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stops {
    /// Everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Stop>,
    /// By namespace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<String, Stop>,
    /// When a circuit last closed: pods from before may still be stuck, and count no more.
    #[serde(with = "moment::option", skip_serializing_if = "Option::is_none")]
    pub closed: Option<SystemTime>,
}

/// A circuit that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Open or in trial.
    pub phase: Phase,
    /// Since when it is in this phase.
    #[serde(with = "moment")]
    pub since: SystemTime,
    /// When the next trial begins.
    #[serde(with = "moment")]
    pub until: SystemTime,
    /// What was wrong, for people.
    pub reason: String,
}

/// How a circuit that is not closed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing is injected.
    Open,
    /// Each replica injects one pod.
    Trial,
}

impl Phase {
    /// The word for logs and messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Trial => "trial",
        }
    }
}

/// The scope of the cluster's circuit, where a namespace's is its name.
pub const EVERYWHERE: &str = "*";

/// A scope in words.
pub fn in_words(scope: &str) -> String {
    if scope == EVERYWHERE { "the whole cluster".to_owned() } else { format!("namespace {scope}") }
}

impl Stops {
    /// Reads the text of the ConfigMap; where there is none, nothing is stopped.
    ///
    /// # Errors
    /// It is no list of circuits.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        if text.is_empty() { Ok(Self::default()) } else { serde_json::from_str(text) }
    }

    /// What keeps us out of a namespace, with its scope: the cluster's circuit before the namespace's own.
    pub fn of<'a>(&'a self, namespace: &'a str) -> Option<(&'a str, &'a Stop)> {
        let own = || self.namespaces.get(namespace).map(|stop| (namespace, stop));
        self.cluster.as_ref().map(|stop| (EVERYWHERE, stop)).or_else(own)
    }

    /// Whether everything is injected everywhere.
    pub fn is_empty(&self) -> bool {
        self.cluster.is_none() && self.namespaces.is_empty()
    }

    /// All of them, with their scopes.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Stop)> {
        let cluster = self.cluster.iter().map(|stop| (EVERYWHERE, stop));
        cluster.chain(self.namespaces.iter().map(|(namespace, stop)| (namespace.as_str(), stop)))
    }
}

impl Stop {
    fn wait(&self) -> Duration {
        self.until.duration_since(self.since).unwrap_or_default()
    }
}

/// A time as RFC 3339, whole seconds.
mod moment {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    use crate::telemetry::events::rfc3339;

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(OffsetDateTime::from(*at)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(SystemTime::from).map_err(D::Error::custom)
    }

    pub(super) mod option {
        use std::time::SystemTime;

        use serde::{Deserializer, Serializer};

        #[expect(clippy::ref_option, reason = "as serde calls it")]
        pub(in super::super) fn serialize<S: Serializer>(at: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}
