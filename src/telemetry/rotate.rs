//! A log file that rotates by size: `log`, `log.1` (newest old one), up to `log.<keep>`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

/// Files of one name, and how much of them is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The newest file; older ones get `.1`, `.2`, ...
    pub path: PathBuf,
    /// Size at which a new file starts.
    pub max_bytes: u64,
    /// How many old files stay.
    pub keep: usize,
}

/// An append-only file that starts anew before it outgrows its size.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    kept: Kept,
    file: File,
    size: u64,
}

impl RotatingFile {
    /// Opens the newest for appending; with `keep` 0 a full file is simply emptied.
    pub(crate) fn open(kept: &Kept) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&kept.path)?;
        let size = file.metadata()?.len();
        Ok(Self { kept: kept.clone(), file, size })
    }

    /// Bytes that fit into one file.
    pub(crate) fn room(&self) -> usize {
        usize::try_from(self.kept.max_bytes).unwrap_or(usize::MAX)
    }

    /// Writes whole lines; they are never split over two files.
    pub(crate) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.size > 0 && self.size.saturating_add(length) > self.kept.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for n in (1..self.kept.keep).rev() {
            let older = self.numbered(n);
            if older.exists() {
                std::fs::rename(older, self.numbered(n + 1))?;
            }
        }
        if self.kept.keep > 0 {
            std::fs::rename(&self.kept.path, self.numbered(1))?;
        }
        self.file = OpenOptions::new().create(true).append(true).open(&self.kept.path)?;
        self.file.set_len(0)?;
        self.size = 0;
        Ok(())
    }

    fn numbered(&self, n: usize) -> PathBuf {
        let mut name = self.kept.path.clone().into_os_string();
        name.push(format!(".{n}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn keeps_the_newest_lines_in_order_and_no_more_files_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        let mut log = RotatingFile::open(&Kept { path: path.clone(), max_bytes: 20, keep: 2 }).unwrap();
        for n in 0..10 {
            log.write_lines(format!("line {n}..\n").as_bytes()).unwrap();
        }
        let read = |p: &Path| std::fs::read_to_string(p).unwrap();
        assert_eq!(read(&path), "line 8..\nline 9..\n");
        assert_eq!(read(&dir.path().join("events.log.1")), "line 6..\nline 7..\n");
        assert_eq!(read(&dir.path().join("events.log.2")), "line 4..\nline 5..\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn goes_on_in_the_file_it_finds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        std::fs::write(&path, "before\n").unwrap();
        let kept = Kept { path: path.clone(), max_bytes: 100, keep: 1 };
        RotatingFile::open(&kept).unwrap().write_lines(b"after\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
    }
}
