//! The policies in force: files, reloaded when they change, and resources, as the watch tells of them.
//!
//! Invariants:
//! - Readers never wait: the set is behind an `ArcSwap`.
//! - A version that does not load never replaces one that did; files are tried once per content, not once per poll.
//! - Change is seen by content (a hash of names and bytes), so the symlink swap of a mounted ConfigMap counts and a
//!   touched file does not.
//! - A resource and a file of one name: the resource counts.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::{
    content,
    resources::{Change, InForce, Resources},
};
use crate::policy::{PolicySet, compile::Rules, spec::Status};

/// Loads and compiles the policy files, or says all that is wrong with them.
pub type Loader = Arc<dyn Fn() -> Result<PolicySet, String> + Send + Sync>;

/// One version of the policies.
#[derive(Debug)]
pub struct Loaded {
    /// What `review` gets.
    pub set: PolicySet,
    /// 1 for the first version, one more for each that followed.
    pub generation: u64,
    /// First 12 hex digits of the SHA-256 of files and resources, `embedded` or `none`: equal where two replicas serve the same.
    pub hash: String,
    /// The resources in force, each with its `metadata.generation`.
    pub resources: BTreeMap<String, i64>,
    /// When it was loaded.
    pub at: SystemTime,
}

/// The first version could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A path cannot be read.
    #[error("cannot read the policies at {path}: {why}; check the path given to --policy and its permissions")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The policies are wrong; the text names every mistake.
    #[error("{0}")]
    Invalid(String),
}

/// What a poll found.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled {
    /// The content is the one last seen.
    Unchanged,
    /// A new version is in force.
    Reloaded,
    /// The files are again those in force; an earlier error is gone.
    Recovered,
    /// The new content was refused; the old version stays. All errors are in the text.
    Refused(String),
}

/// The policies in force.
pub struct PolicyStore {
    paths: Vec<PathBuf>,
    loader: Loader,
    current: ArcSwap<Loaded>,
    known: Mutex<Known>,
}

struct Known {
    /// Hash of the content last tried, or the text of the error that kept it from being read.
    tried: String,
    error: Option<String>,
    /// What the files said when they were last good, and the hash of that content.
    files: (PolicySet, String),
    resources: Option<Resources>,
}

impl fmt::Debug for PolicyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyStore").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl PolicyStore {
    /// Loads the first version of the files. No path means the embedded default, which never changes. Resources are heard of
    /// where `resources` says under which rules.
    ///
    /// # Errors
    /// Files that cannot be read, or every mistake in them.
    pub fn open(paths: Vec<PathBuf>, loader: Loader, resources: Option<Rules>) -> Result<Self, LoadError> {
        let mut hash = hash(&paths)?;
        let files = loader().map_err(LoadError::Invalid)?;
        if paths.is_empty() && files.policies().is_empty() {
            "none".clone_into(&mut hash);
        }
        let known =
            Known { tried: hash.clone(), error: None, files: (files, hash), resources: resources.map(Resources::new) };
        let current = ArcSwap::from_pointee(known.loaded(1));
        Ok(Self { paths, loader, current, known: Mutex::new(known) })
    }

    /// The version in force.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Why what is written is not what is in force, a line for each mistake; `None` where it is.
    pub fn error(&self) -> Option<String> {
        let known = self.known();
        let both = [known.error.clone(), known.resources.as_ref().and_then(Resources::errors)];
        let told: Vec<String> = both.into_iter().flatten().collect();
        (!told.is_empty()).then(|| told.join("\n"))
    }

    /// Whether resources are to be heard of, and have not been listed yet.
    pub fn awaits_resources(&self) -> bool {
        self.known().resources.as_ref().is_some_and(|resources| !resources.listed())
    }

    /// Takes in what the watch tells of resources: what became of it, and of each version that was refused.
    pub fn hear(&self, change: Change) -> Vec<Polled> {
        let mut known = self.known();
        let Some(resources) = &mut known.resources else { return Vec::new() };
        let effect = resources.hear(change);
        let mut told: Vec<Polled> = effect.refused.into_iter().map(Polled::Refused).collect();
        if effect.changed {
            self.publish(&known);
            told.push(Polled::Reloaded);
        }
        told
    }

    /// The resources' statuses that have to be written; `now` is RFC 3339.
    pub fn outdated(&self, now: &str) -> Vec<(String, Status)> {
        self.known().resources.as_ref().map(|resources| resources.outdated(now)).unwrap_or_default()
    }

    /// Looks at the files, and loads them if their content changed. Reads files: not for the request path.
    pub fn poll(&self) -> Polled {
        if self.paths.is_empty() {
            return Polled::Unchanged;
        }
        let mut known = self.known();
        let hash = match hash(&self.paths) {
            Ok(hash) => hash,
            Err(error) => return known.refuse(error.to_string(), error.to_string()),
        };
        if hash == known.tried {
            return Polled::Unchanged;
        }
        if hash == known.files.1 {
            (known.tried, known.error) = (hash, None);
            return Polled::Recovered;
        }
        let loaded = (self.loader)();
        if self::hash(&self.paths).ok().as_ref() != Some(&hash) {
            // Written to while we read: the next poll sees the end of it.
            return Polled::Unchanged;
        }
        match loaded {
            Ok(set) => {
                (known.tried, known.error, known.files) = (hash.clone(), None, (set, hash));
                self.publish(&known);
                Polled::Reloaded
            }
            Err(error) => known.refuse(hash, error),
        }
    }

    fn publish(&self, known: &Known) {
        let generation = self.current.load().generation + 1;
        self.current.store(Arc::new(known.loaded(generation)));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn refuse(&mut self, tried: String, error: String) -> Polled {
        if self.tried == tried {
            return Polled::Unchanged;
        }
        (self.tried, self.error) = (tried, Some(error.clone()));
        Polled::Refused(error)
    }

    /// What is in force now.
    fn loaded(&self, generation: u64) -> Loaded {
        let (files, hash) = &self.files;
        let resources: BTreeMap<&str, &InForce> = self.resources.iter().flat_map(Resources::in_force).collect();
        let sets = std::iter::once(files).chain(resources.values().map(|version| &version.set));
        Loaded {
            set: PolicySet::combine(sets),
            generation,
            hash: hash_with(hash, &resources),
            resources: resources.iter().map(|(name, version)| ((*name).to_owned(), version.generation)).collect(),
            at: SystemTime::now(),
        }
    }
}

fn hash(paths: &[PathBuf]) -> Result<String, LoadError> {
    content::hash(paths).map_err(|(path, why)| LoadError::Unreadable { path, why })
}

fn hash_with(files: &str, resources: &BTreeMap<&str, &InForce>) -> String {
    if resources.is_empty() {
        return files.to_owned();
    }
    let mut hasher = Sha256::new();
    hasher.update(files);
    for (name, InForce { uid, generation, .. }) in resources {
        hasher.update(format!("\n{name} {uid} {generation}"));
    }
    content::hex(&hasher.finalize()[..6])
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;

    /// A loader that refuses files in which `broken` stands.
    fn store(dir: &Path) -> PolicyStore {
        let file = dir.join("p.yaml");
        let loader: Loader = Arc::new(move || match fs::read_to_string(&file) {
            Ok(text) if text.contains("broken") => Err(format!("{}:1: broken", file.display())),
            Ok(_) => Ok(PolicySet::default()),
            Err(error) => Err(error.to_string()),
        });
        PolicyStore::open(vec![dir.to_owned()], loader, Some(Rules::default())).unwrap()
    }

    #[test]
    fn a_broken_version_keeps_the_last_good_one_until_mended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        fs::write(&file, "one").unwrap();
        let store = store(dir.path());
        assert_eq!(store.poll(), Polled::Unchanged);
        fs::write(&file, "broken").unwrap();
        assert!(matches!(store.poll(), Polled::Refused(why) if why.contains("p.yaml:1")));
        assert_eq!(store.poll(), Polled::Unchanged, "tried once per content");
        assert_eq!((store.current().generation, store.error().is_some()), (1, true));
        fs::write(&file, "one").unwrap();
        assert_eq!(store.poll(), Polled::Recovered);
        assert_eq!((store.current().generation, store.error()), (1, None));
        fs::write(&file, "two").unwrap();
        assert_eq!(store.poll(), Polled::Reloaded);
        assert_eq!(store.current().generation, 2);
    }

    #[test]
    fn a_folder_that_vanished_is_an_error_that_heals() {
        let dir = tempfile::tempdir().unwrap();
        let policies = dir.path().join("policies");
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("p.yaml"), "one").unwrap();
        let store = store(&policies);
        fs::rename(&policies, dir.path().join("away")).unwrap();
        assert!(matches!(store.poll(), Polled::Refused(_)));
        assert_eq!(store.poll(), Polled::Unchanged);
        fs::rename(dir.path().join("away"), &policies).unwrap();
        assert_eq!(store.poll(), Polled::Recovered);
    }

    #[test]
    #[cfg(unix)]
    fn the_symlink_swap_of_a_mounted_config_map_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["one", "two"] {
            fs::create_dir(dir.path().join(format!("..{version}"))).unwrap();
            fs::write(dir.path().join(format!("..{version}/p.yaml")), version).unwrap();
        }
        let link = |version: &str| {
            let staged = dir.path().join("..data_tmp");
            std::os::unix::fs::symlink(format!("..{version}"), &staged).unwrap();
            fs::rename(staged, dir.path().join("..data")).unwrap();
        };
        link("one");
        std::os::unix::fs::symlink("..data/p.yaml", dir.path().join("p.yaml")).unwrap();
        let store = store(dir.path());
        link("two");
        assert_eq!(store.poll(), Polled::Reloaded);
    }

    #[test]
    fn files_and_resources_are_one_set_and_a_resource_counts_over_a_file() {
        let embedded: Loader = Arc::new(|| Ok(PolicySet::embedded(&Rules::default()).unwrap()));
        let store = PolicyStore::open(Vec::new(), embedded, Some(Rules::default())).unwrap();
        let resource = |name: &str, priority: i32| {
            json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "spec": {"priority": priority},
                "metadata": {"name": name, "uid": name, "generation": 3}})
        };
        assert!(store.awaits_resources());
        for change in [Change::Listing, Change::Listed(resource("other", 9)), Change::AllListed] {
            store.hear(change);
        }
        assert!(!store.awaits_resources());
        let named = || {
            let loaded = store.current();
            loaded.set.policies().iter().map(|p| (p.name.clone(), p.spec.priority)).collect::<Vec<_>>()
        };
        assert_eq!(named(), [("other".to_owned(), Some(9)), ("agent-steps".to_owned(), None)]);
        let before = store.current().hash.clone();
        assert_eq!(store.hear(Change::Put(resource("agent-steps", 20))), [Polled::Reloaded]);
        assert_eq!(named(), [("agent-steps".to_owned(), Some(20)), ("other".to_owned(), Some(9))]);
        assert_eq!(store.current().resources["agent-steps"], 3);
        assert_ne!(store.current().hash, before);
        store.hear(Change::Gone("agent-steps".to_owned()));
        assert_eq!(store.current().hash, before);
        store.hear(Change::Gone("other".to_owned()));
        assert_eq!((named(), store.current().hash.as_str()), (vec![("agent-steps".to_owned(), None)], "embedded"));
    }
}
