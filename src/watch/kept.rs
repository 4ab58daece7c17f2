//! What the ledger keeps of a Workflow's pods, for whoever watches when they are gone: under what their steps count, and in which trace they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of one Workflow, few pods differ in what is kept of them ([`crate::trace::kept`]); what is more is not kept.
const KINDS: usize = 64;

/// The pods of one Workflow, by the numbers of their nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptPods {
    #[serde(rename = "k")]
    kinds: Vec<String>,
    #[serde(rename = "p")]
    pods: BTreeMap<u32, usize>,
}

impl KeptPods {
    /// Whether one was looked at.
    pub fn has(&self, node: u32) -> bool {
        self.pods.contains_key(&node)
    }

    /// What is kept of one.
    pub fn of(&self, node: u32) -> Option<&str> {
        self.kinds.get(*self.pods.get(&node)?).map(String::as_str)
    }

    /// Keeps one.
    pub fn keep(&mut self, node: u32, text: String) {
        let at = self.kinds.iter().position(|kind| *kind == text).unwrap_or_else(|| {
            if self.kinds.len() < KINDS {
                self.kinds.push(text);
                return self.kinds.len() - 1;
            }
            KINDS
        });
        self.pods.insert(node, at);
    }

    /// Its node has begun anew, with another pod.
    pub fn remove(&mut self, node: u32) {
        self.pods.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_are_alike_are_kept_once() {
        let mut kept = KeptPods::default();
        for (node, text) in [(1, "a"), (2, "b"), (3, "a")] {
            kept.keep(node, text.into());
        }
        assert_eq!((kept.of(1), kept.of(2), kept.of(3), kept.of(4)), (Some("a"), Some("b"), Some("a"), None));
        assert_eq!(kept.kinds.len(), 2);
        kept.remove(1);
        assert!(!kept.has(1));
        for node in 10..100 {
            kept.keep(node, node.to_string());
        }
        assert_eq!(kept.kinds.len(), KINDS);
        assert!(kept.has(99) && kept.of(99).is_none());
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<KeptPods>(&text).unwrap(), kept);
    }
}
