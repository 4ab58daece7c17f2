//! Folders of sample workflows.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// The files of a folder below `tests/cluster`, by name: stem and text.
pub fn read(folder: &str) -> Result<Vec<(String, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
        files.push((stem, fs::read_to_string(&path)?));
    }
    files.sort();
    Ok(files)
}
