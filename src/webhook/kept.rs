//! What the server holds and keeps up to date while it runs. Reviews read it; files and the cluster write it.

use std::sync::Arc;

use crate::{
    breaker::gate::Gate,
    config::Config,
    policy::compile::Rules,
    source::{facts::Facts, pause::PauseSwitch, store::PolicyStore},
    webhook::{
        run::{Seams, StartError},
        tls::TlsStore,
    },
};

/// Handles of all of it; clones share.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// The operator's switch.
    pub pause: Arc<PauseSwitch>,
    /// What the breaker lets through.
    pub gate: Arc<Gate>,
    /// The labels of namespaces, and the other facts of this place.
    pub facts: Arc<Facts>,
    /// The certificate served.
    pub tls: Arc<TlsStore>,
}

impl Kept {
    /// What is known at the start, by files and arguments.
    ///
    /// # Errors
    /// Policies or certificates that cannot be loaded.
    pub fn open(config: &Config, seams: &Seams) -> Result<Self, StartError> {
        let cluster = config.cluster.as_ref();
        let context = seams.context.clone();
        let rules = cluster.filter(|c| c.policy_resources).map(|_| Rules { allow_env: context.allow_env.clone() });
        Ok(Self {
            policies: Arc::new(PolicyStore::open(config.policies.clone(), Arc::clone(&seams.loader), rules)?),
            pause: Arc::new(PauseSwitch::new(config.pause_file.clone())),
            gate: Arc::new(match cluster.and_then(|c| c.breaker.as_ref()) {
                Some(_) => Gate::awaiting(),
                None => Gate::default(),
            }),
            facts: Arc::new(Facts::new(context, cluster.is_some_and(|c| c.namespace_labels))),
            tls: Arc::new(TlsStore::open(config)?),
        })
    }
}
