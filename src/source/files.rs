//! Policies from files and folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::policy::compile::Rules;
use crate::policy::load::PolicyFile;
use crate::policy::{LoadErrors, PolicyError, PolicySet};

/// Loads policies from files and folders (their `.yaml`, `.yml` and `.json` files, by name); the embedded default where none is named.
///
/// # Errors
/// Every mistake of every file, unreadable ones included.
pub fn load(paths: &[PathBuf], rules: &Rules) -> Result<PolicySet, LoadErrors> {
    if paths.is_empty() {
        return PolicySet::embedded(rules);
    }
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match read(path) {
            Ok(found) => files.extend(found),
            Err(error) => errors.push(PolicyError {
                file: path.display().to_string(),
                line: 0,
                column: 0,
                path: String::new(),
                message: format!("cannot be read: {error}"),
                hint: None,
            }),
        }
    }
    match PolicySet::from_files(&files, rules) {
        Ok(set) if errors.is_empty() => Ok(set),
        Ok(_) => Err(LoadErrors(errors)),
        Err(more) => Err(LoadErrors(errors.into_iter().chain(more.0).collect())),
    }
}

fn read(path: &Path) -> io::Result<Vec<PolicyFile>> {
    if !path.is_dir() {
        return Ok(vec![PolicyFile { name: path.display().to_string(), text: fs::read_to_string(path)? }]);
    }
    let mut names: Vec<PathBuf> = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    names.retain(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"));
    names.sort();
    names.into_iter().map(|p| Ok(PolicyFile { name: p.display().to_string(), text: fs::read_to_string(&p)? })).collect()
}
