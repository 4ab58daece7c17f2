//! The facts of this place that change while the server runs: labels of namespaces.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::context::Context;

/// A namespace's labels.
pub type Labels = BTreeMap<String, String>;

/// The context of the next review. Readers never wait; what was given at the start stays where the cluster says nothing else.
#[derive(Debug)]
pub struct Facts {
    current: ArcSwap<Context>,
    /// As it was given at the start, and who writes.
    given: Mutex<Context>,
    awaited: AtomicBool,
}

impl Facts {
    /// `awaited`: the namespaces are still to be listed.
    pub fn new(given: Context, awaited: bool) -> Self {
        let current = ArcSwap::from_pointee(given.clone());
        Self { current, given: Mutex::new(given), awaited: AtomicBool::new(awaited) }
    }

    /// The context now.
    pub fn current(&self) -> Arc<Context> {
        self.current.load_full()
    }

    /// Whether the first list of namespaces is still to come.
    pub fn awaits_namespaces(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// All namespaces there are.
    pub fn list(&self, namespaces: BTreeMap<String, Labels>) {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut context = given.clone();
        context.namespaces.extend(namespaces);
        self.current.store(Arc::new(context));
        self.awaited.store(false, Ordering::Relaxed);
    }

    /// One namespace's labels, or that it is gone.
    pub fn change(&self, namespace: &str, labels: Option<Labels>) {
        // Held while the copy is made: two changes at once would lose one.
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mut context = Context::clone(&self.current.load());
        match labels.or_else(|| given.namespaces.get(namespace).cloned()) {
            Some(labels) => drop(context.namespaces.insert(namespace.to_owned(), labels)),
            None => drop(context.namespaces.remove(namespace)),
        }
        self.current.store(Arc::new(context));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(team: &str) -> Labels {
        [("team".to_owned(), team.to_owned())].into()
    }

    #[test]
    fn the_cluster_s_word_counts_and_what_was_given_stays() {
        let given = Context { namespaces: [("ci".to_owned(), labels("given"))].into(), ..Context::default() };
        let facts = Facts::new(given, true);
        let team = |namespace: &str| facts.current().namespace_labels(namespace).map(|all| all["team"].clone());
        assert!(facts.awaits_namespaces());
        facts.list([("build".to_owned(), labels("a"))].into());
        assert!(!facts.awaits_namespaces());
        assert_eq!((team("ci").as_deref(), team("build").as_deref()), (Some("given"), Some("a")));
        facts.change("build", Some(labels("b")));
        facts.change("ci", Some(labels("live")));
        assert_eq!((team("ci").as_deref(), team("build").as_deref()), (Some("live"), Some("b")));
        facts.change("build", None);
        facts.change("ci", None);
        assert_eq!((team("ci").as_deref(), team("build")), (Some("given"), None));
    }
}
