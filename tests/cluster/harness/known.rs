//! What `scripts/cluster-tools` says it builds, and where.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// What the script names: versions (`kubernetes`, `argo`, ...) and paths (`cache`, `image`).
pub struct Known(BTreeMap<String, String>);

impl Known {
    pub fn ask() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster-tools");
        let output = Command::new(&script)
            .env("STEPSPAN_WHERE", "1")
            .output()
            .with_context(|| format!("cannot run {}", script.display()))?;
        ensure!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let entries = text.lines().filter_map(|line| line.split_once('='));
        Ok(Self(entries.map(|(key, value)| (key.into(), value.into())).collect()))
    }

    /// A version, or whatever else it names.
    pub fn entry(&self, key: &str) -> Result<&str> {
        self.0.get(key).map(String::as_str).with_context(|| format!("scripts/cluster-tools names no {key}"))
    }

    pub fn path(&self, key: &str) -> Result<PathBuf> {
        Ok(self.entry(key)?.into())
    }

    /// A program it builds, of the version it names `version`.
    pub fn program(&self, name: &str, version: &str) -> Result<PathBuf> {
        Ok(self.path("cache")?.join("bin").join(format!("{name}-{}", self.entry(version)?)))
    }
}
