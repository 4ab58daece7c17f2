//! The folder of one run; it goes with the run, and what a killed run left is swept up by the next.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result};

/// In the environment of a process that goes on with the folder of the one that started it.
pub const INHERITED: &str = "STEPSPAN_RUN_DIR";

/// `<cache>/run/<pid>`: named by the test's process, so that a later run can sweep up after a crash.
pub struct RunDir {
    path: PathBuf,
    kept: PathBuf,
    /// Whether somebody else removes it.
    inherited: bool,
}

impl RunDir {
    pub fn create(cache: &Path) -> Result<Self> {
        let kept = cache.join("failed-run-logs");
        if let Some(path) = env::var_os(INHERITED) {
            return Ok(Self { path: path.into(), kept, inherited: true });
        }
        let runs = cache.join("run");
        fs::create_dir_all(&runs)?;
        for entry in fs::read_dir(&runs)?.flatten() {
            let owner = Path::new("/proc").join(entry.file_name());
            if !owner.exists() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = runs.join(process::id().to_string());
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("logs")).with_context(|| path.display().to_string())?;
        Ok(Self { path, kept, inherited: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    pub fn keep_logs(&self) {
        let _ = fs::remove_dir_all(&self.kept);
        if fs::rename(self.logs(), &self.kept).is_ok() {
            eprintln!("cluster: the logs of the failed run are in {}", self.kept.display());
        }
    }

    pub fn remove(&self) {
        if !self.inherited {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        self.remove();
    }
}
