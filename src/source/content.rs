//! Whether files are other files than before: by content, never by time.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// A hash over names and bytes of all files at `paths`: a file itself, or the YAML and JSON files of a folder.
///
/// # Errors
/// The path that cannot be read, and why.
pub fn hash(paths: &[PathBuf]) -> Result<String, (PathBuf, io::Error)> {
    if paths.is_empty() {
        return Ok("embedded".into());
    }
    let mut hasher = Sha256::new();
    for path in paths {
        add(&mut hasher, path, true).map_err(|why| (path.clone(), why))?;
    }
    Ok(hex(&hasher.finalize()[..6]))
}

fn add(hasher: &mut Sha256, path: &Path, named: bool) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        entries.retain(|entry| !entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
        entries.sort();
        return entries.iter().try_for_each(|entry| add(hasher, entry, false));
    }
    let yaml = path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
    // A pipe in a folder would be waited for.
    if named || (yaml && metadata.is_file()) {
        let bytes = fs::read(path)?;
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Ok(())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
