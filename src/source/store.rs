//! The policies in force, reloaded when their files change.
//!
//! Invariants:
//! - Readers never wait: the set is behind an `ArcSwap`.
//! - A version that does not load never replaces one that did; it is tried once per content, not once per poll.
//! - Change is seen by content (a hash of names and bytes), so the symlink swap of a mounted ConfigMap counts and a
//!   touched file does not.

use std::{
    fmt::{self, Write},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::policy::PolicySet;

/// Loads and compiles all policies, or says all that is wrong with them.
pub type Loader = Arc<dyn Fn() -> Result<PolicySet, String> + Send + Sync>;

/// One version of the policies.
#[derive(Debug)]
pub struct Loaded {
    /// What `review` gets.
    pub set: PolicySet,
    /// 1 for the first version, one more for each that followed.
    pub generation: u64,
    /// First 12 hex digits of the SHA-256 of the files, or `embedded`.
    pub hash: String,
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
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Hash of the content last tried, or the text of the error that kept it from being read.
    tried: String,
    error: Option<String>,
}

impl fmt::Debug for PolicyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyStore").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl PolicyStore {
    /// Loads the first version. No path means the embedded default, which never changes.
    pub fn open(paths: Vec<PathBuf>, loader: Loader) -> Result<Self, LoadError> {
        let hash = content_hash(&paths)?;
        let set = loader().map_err(LoadError::Invalid)?;
        let current = ArcSwap::from_pointee(Loaded { set, generation: 1, hash: hash.clone(), at: SystemTime::now() });
        Ok(Self { paths, loader, current, seen: Mutex::new(Seen { tried: hash, error: None }) })
    }

    /// The version in force.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Why the files on disk are not the version in force; `None` where they are.
    pub fn error(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// Looks at the files, and loads them if their content changed. Reads files: not for the request path.
    pub fn poll(&self) -> Polled {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = match content_hash(&self.paths) {
            Ok(hash) => hash,
            Err(error) => return seen.refuse(error.to_string(), error.to_string()),
        };
        if hash == seen.tried {
            return Polled::Unchanged;
        }
        let current = self.current.load();
        if hash == current.hash {
            *seen = Seen { tried: hash, error: None };
            return Polled::Recovered;
        }
        let loaded = (self.loader)();
        if content_hash(&self.paths).ok().as_ref() != Some(&hash) {
            // Written to while we read: the next poll sees the end of it.
            return Polled::Unchanged;
        }
        match loaded {
            Ok(set) => {
                let generation = current.generation + 1;
                self.current.store(Arc::new(Loaded { set, generation, hash: hash.clone(), at: SystemTime::now() }));
                *seen = Seen { tried: hash, error: None };
                Polled::Reloaded
            }
            Err(error) => seen.refuse(hash, error),
        }
    }
}

impl Seen {
    fn refuse(&mut self, tried: String, error: String) -> Polled {
        if self.tried == tried {
            return Polled::Unchanged;
        }
        *self = Self { tried, error: Some(error.clone()) };
        Polled::Refused(error)
    }
}

/// A hash over names and bytes of all files at `paths`: a file itself, or the YAML and JSON files of a folder.
fn content_hash(paths: &[PathBuf]) -> Result<String, LoadError> {
    if paths.is_empty() {
        return Ok("embedded".into());
    }
    let mut hasher = Sha256::new();
    for path in paths {
        hash_path(&mut hasher, path, true).map_err(|why| LoadError::Unreadable { path: path.clone(), why })?;
    }
    Ok(hex(&hasher.finalize()[..6]))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hash_path(hasher: &mut Sha256, path: &Path, named: bool) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        entries.retain(|entry| !entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
        entries.sort();
        return entries.iter().try_for_each(|entry| hash_path(hasher, entry, false));
    }
    let yaml = path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
    if named || yaml {
        let bytes = fs::read(path)?;
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loader that refuses files in which `broken` stands.
    fn store(dir: &Path) -> PolicyStore {
        let file = dir.join("p.yaml");
        let loader: Loader = Arc::new(move || match fs::read_to_string(&file) {
            Ok(text) if text.contains("broken") => Err(format!("{}:1: broken", file.display())),
            Ok(_) => Ok(PolicySet::default()),
            Err(error) => Err(error.to_string()),
        });
        PolicyStore::open(vec![dir.to_owned()], loader).unwrap()
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
}
