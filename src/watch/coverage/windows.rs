//! Times in which pods of a namespace were missed.

use std::collections::BTreeMap;

use crate::coverage::judge::Cause;

/// Pods of one namespace that were missed for one reason: none was injected between them. Times as Kubernetes writes them: they can be
/// compared as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::watch) struct Window {
    pub(super) namespace: String,
    pub(super) cause: Cause,
    /// How many.
    pub(super) pods: u64,
    /// When the first was created.
    pub(super) from: String,
    /// When the last was.
    pub(super) to: String,
    /// The name and UID of the last.
    pub(super) example: [String; 2],
}

impl Window {
    /// Another one of the same reason, which was over before it was told.
    pub(super) fn join(&mut self, other: Self) {
        self.pods += other.pods;
        self.from = other.from.min(std::mem::take(&mut self.from));
        self.to = other.to.max(std::mem::take(&mut self.to));
    }
}

/// A pod that was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) namespace: String,
    pub(super) created: String,
    pub(super) cause: Cause,
    /// Its name and UID.
    pub(super) pod: [String; 2],
}

/// Those that go on.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: BTreeMap<String, BTreeMap<Cause, Window>>,
    /// When the newest that was injected was created, by namespace.
    injected: BTreeMap<String, String>,
}

impl Windows {
    /// Whether a pod was injected in a namespace that was created then or later.
    pub(super) fn was_injected_since(&self, namespace: &str, created: &str) -> bool {
        self.injected.get(namespace).is_some_and(|last| last.as_str() >= created)
    }

    /// A pod was missed; its window where that is new, or has more than that: `None` where the window is over.
    pub(super) fn missed(&mut self, missed: Missed) -> Option<&Window> {
        let Missed { namespace, created, cause, pod } = missed;
        if self.was_injected_since(&namespace, &created) {
            return None;
        }
        let window = self.open.entry(namespace.clone()).or_default().entry(cause).or_insert_with(|| Window {
            namespace,
            cause,
            pods: 0,
            from: created.clone(),
            to: created.clone(),
            example: pod.clone(),
        });
        window.pods += 1;
        if created < window.from {
            window.from.clone_from(&created);
        }
        if created >= window.to {
            (window.to, window.example) = (created, pod);
        }
        Some(window)
    }

    /// A pod was injected: gives the windows that this ends.
    pub(super) fn injected(&mut self, namespace: &str, created: &str) -> Vec<Window> {
        match self.injected.get_mut(namespace) {
            Some(last) if last.as_str() >= created => return Vec::new(),
            Some(last) => created.clone_into(last),
            None => drop(self.injected.insert(namespace.to_owned(), created.to_owned())),
        }
        let Some(open) = self.open.get_mut(namespace) else { return Vec::new() };
        let over = open.extract_if(.., |_, window| window.to.as_str() < created).map(|(_, window)| window).collect();
        if open.is_empty() {
            self.open.remove(namespace);
        }
        over
    }

    /// All that go on.
    pub(super) fn open(&self) -> impl Iterator<Item = &Window> {
        self.open.values().flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> String {
        format!("2026-11-23T10:{minute:02}:00Z")
    }

    fn missed(namespace: &str, minute: u32) -> Missed {
        let pod = [format!("step-{minute}"), format!("uid-{minute}")];
        Missed { namespace: namespace.into(), created: at(minute), cause: Cause::Unanswered, pod }
    }

    #[test]
    fn a_window_goes_on_until_a_later_pod_is_injected() {
        let mut windows = Windows::default();
        assert_eq!(windows.injected("ci", &at(1)), []);
        assert_eq!(windows.missed(missed("ci", 1)), None, "in the same second as one that was injected");
        assert_eq!(windows.missed(missed("ci", 4)).map(|window| window.pods), Some(1));
        assert_eq!(windows.missed(missed("ci", 3)).map(|window| window.pods), Some(2));
        assert_eq!(windows.missed(missed("builds", 3)).map(|window| window.pods), Some(1));
        // Heard of again, an earlier one, and one of the same second.
        for minute in [1, 2, 4] {
            assert_eq!(windows.injected("ci", &at(minute)), []);
        }
        assert_eq!(windows.open().count(), 2);
        let over = windows.injected("ci", &at(5));
        let wanted = Window {
            namespace: "ci".into(),
            cause: Cause::Unanswered,
            pods: 2,
            from: at(3),
            to: at(4),
            example: ["step-4".into(), "uid-4".into()],
        };
        assert_eq!(over.as_slice(), std::slice::from_ref(&wanted));
        let mut both = wanted.clone();
        both.join(Window { pods: 3, from: at(1), to: at(2), ..wanted });
        assert_eq!((both.pods, both.from, both.to), (5, at(1), at(4)));
        assert_eq!(windows.open().map(|window| window.namespace.as_str()).collect::<Vec<_>>(), ["builds"]);
        assert_eq!(windows.missed(missed("ci", 5)), None, "it was created before");
        assert_eq!(windows.missed(missed("ci", 6)).map(|window| window.pods), Some(1));
    }
}
