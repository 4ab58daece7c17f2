//! The entries of a map while it is read: in order, no key twice, and found without walking through thousands.

use std::collections::HashMap;

/// Up to so many keys are searched from front to back.
const FEW: usize = 24;

/// Keys and values.
#[derive(Debug)]
pub(super) struct Entries<K, V> {
    list: Vec<(K, V)>,
    /// Where each key is; filled only where there are more than [`FEW`].
    places: Option<HashMap<String, usize>>,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self { list: Vec::new(), places: None }
    }
}

impl<K: AsRef<str>, V> Entries<K, V> {
    /// The entries, in order.
    pub(super) fn into_list(self) -> Vec<(K, V)> {
        self.list
    }

    /// The place of a key.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self.list.iter().position(|(known, _)| known.as_ref() == key),
        }
    }

    /// Sets a key, in the place it has or at the end. The key that was there, if one was.
    pub(super) fn set(&mut self, key: K, value: V) -> Option<K> {
        if let Some(entry) = self.position(key.as_ref()).and_then(|at| self.list.get_mut(at)) {
            return Some(std::mem::replace(entry, (key, value)).0);
        }
        if let Some(places) = &mut self.places {
            places.insert(key.as_ref().to_owned(), self.list.len());
        }
        self.list.push((key, value));
        if self.places.is_none() && self.list.len() > FEW {
            let places = self.list.iter().enumerate().map(|(at, (key, _))| (key.as_ref().to_owned(), at));
            self.places = Some(places.collect());
        }
        None
    }
}
