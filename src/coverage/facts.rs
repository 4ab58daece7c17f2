//! What is known of the cluster.

use serde_json::Value;

use super::judge::{Cause, labels};
use crate::cluster::ask::{ALL, Answer, Asker, Kind, Refusal};
use crate::context::Context;
use crate::doctor::breaker::{Breakers, config_map};
use crate::doctor::install::{Install, context_of};
use crate::doctor::policies::of_cluster;
use crate::doctor::rules::{Place, namespace_selected};
use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::source::facts::Labels;

/// Webhook configurations, policies, and what has stopped injection.
#[derive(Debug)]
pub struct Facts {
    /// Our webhook configurations.
    pub installs: Vec<Install>,
    /// What their circuit breakers have stopped.
    pub breakers: Breakers,
    /// The policies in force.
    pub policies: PolicySet,
    /// What goes into pods besides; with the labels of namespaces.
    pub context: Context,
}

impl Facts {
    /// Asks about the one install whose objects the chart has named so.
    ///
    /// # Errors
    /// The API server does not answer, or a right is missing.
    pub async fn of_install(ask: &Asker, namespace: &str, name: &str) -> Answer<Self> {
        let registration = format!("{name}-{namespace}");
        let (breaker, files) = (config_map(name), format!("{name}-policies"));
        let map = |map| ask.get(Kind::CONFIG_MAPS, Some(namespace), map);
        let (configuration, breaker, context, files, resources, namespaces) = tokio::join!(
            ask.get(Kind::WEBHOOKS, None, &registration),
            map(&breaker),
            map(name),
            map(&files),
            ask.list(Kind::POLICIES, None, "", ALL),
            ask.list_metadata(Kind::NAMESPACES, "", ALL),
        );
        let installs: Vec<_> =
            present(configuration)?.iter().filter_map(|it| Install::of(it, Some(namespace))).collect();
        let service = (namespace.to_owned(), name.to_owned());
        let breakers = present(breaker)?.map(|map| (service, Ok(map))).into_iter().collect();
        let context = present(context)?.and_then(|map| context_of(&[map])).unwrap_or_default();
        let files: Vec<_> = present(files)?.into_iter().collect();
        // The chart gives the right where resources are policies.
        let resources = match resources {
            Err(Refusal::Absent | Refusal::Forbidden(_)) => Vec::new(),
            other => other?,
        };
        let (policies, _) = of_cluster(&files, &resources, &Rules { allow_env: context.allow_env.clone() });
        let named = |object: &Value| Some((object["metadata"]["name"].as_str()?.to_owned(), labels(object)));
        let namespaces = namespaces?.iter().filter_map(named).collect();
        Ok(Self { installs, breakers, policies: policies.set, context: Context { namespaces, ..context } })
    }

    /// What keeps pods of a namespace from being injected now, though the webhook is asked of them.
    pub fn stopped(&self, namespace: &str) -> Option<Cause> {
        let asked = || self.installs.iter().filter(|install| self.asks(install, namespace));
        if asked().any(Install::paused) {
            return Some(Cause::Paused);
        }
        asked().any(|install| self.breakers.stop(install, namespace).is_some()).then_some(Cause::BreakerOpen)
    }

    /// Whether an install is asked of pods there.
    fn asks(&self, install: &Install, namespace: &str) -> bool {
        let none = Labels::new();
        let labels = self.context.namespaces.get(namespace).unwrap_or(&none);
        install.pods().is_some_and(|webhook| namespace_selected(webhook, Place { namespace, labels, pod: &none }))
    }
}

/// `None` for what is not there.
fn present(answer: Answer<Value>) -> Answer<Option<Value>> {
    match answer {
        Err(Refusal::Absent) => Ok(None),
        other => other.map(Some),
    }
}
