//! The operator's switch: a file, or an annotation on the webhook configuration.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

/// Injection is off while the file exists, or the annotation says so.
#[derive(Debug, Default)]
pub struct PauseSwitch {
    file: Option<PathBuf>,
    by_file: AtomicBool,
    by_annotation: AtomicBool,
}

impl PauseSwitch {
    /// A switch on `file` too, where one is given. Looks at the file at once.
    pub fn new(file: Option<PathBuf>) -> Self {
        let switch = Self { file, ..Self::default() };
        switch.poll();
        switch
    }

    /// Whether injection is paused.
    pub fn paused(&self) -> bool {
        self.by_file.load(Ordering::Relaxed) || self.by_annotation.load(Ordering::Relaxed)
    }

    /// Looks at the file; the new state where it changed. A file that cannot be looked at leaves the state as it was.
    pub fn poll(&self) -> Option<bool> {
        let now = self.file.as_ref()?.try_exists().ok()?;
        self.set(&self.by_file, now)
    }

    /// Takes what the annotation says; the new state where it changed.
    pub fn annotated(&self, paused: bool) -> Option<bool> {
        self.set(&self.by_annotation, paused)
    }

    fn set(&self, one: &AtomicBool, now: bool) -> Option<bool> {
        let before = self.paused();
        one.store(now, Ordering::Relaxed);
        let after = self.paused();
        (before != after).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_pause_switch_follows_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("paused");
        let switch = PauseSwitch::new(Some(flag.clone()));
        assert!(!switch.paused());
        fs::write(&flag, "").unwrap();
        assert_eq!(switch.poll(), Some(true));
        assert_eq!((switch.poll(), switch.paused()), (None, true));
        fs::remove_file(&flag).unwrap();
        assert_eq!(switch.poll(), Some(false));
        assert!(!PauseSwitch::default().paused());
    }

    #[test]
    fn either_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("paused");
        let switch = PauseSwitch::new(Some(flag.clone()));
        assert_eq!(switch.annotated(true), Some(true));
        fs::write(&flag, "").unwrap();
        assert_eq!((switch.poll(), switch.annotated(false), switch.paused()), (None, None, true));
        fs::remove_file(&flag).unwrap();
        assert_eq!((switch.poll(), switch.paused()), (Some(false), false));
    }
}
