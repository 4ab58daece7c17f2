//! A progress bar on stderr, for long work only.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work has no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far the work is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When to show the bar; `None` when it is shown or never will be.
    show: Option<Instant>,
    /// What is counted: `pods`.
    things: &'static str,
}

impl Progress {
    /// A bar over so many bytes, if they are known. None is shown beside output that is itself on the terminal, nor where stderr
    /// is none (indicatif sees to that).
    pub fn new(total: Option<u64>, things: &'static str, output_is_shown: bool) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = match total {
            Some(_) => "{bar:30.cyan/dim} {percent:>3} %  {msg}  {eta} left",
            None => "{spinner:.cyan} {bytes}  {msg}  {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        Self { bar, show: (!output_is_shown).then(|| Instant::now() + PATIENCE), things }
    }

    /// So many bytes more are done, so many things in all.
    pub fn advance(&mut self, bytes: usize, done: usize) {
        self.bar.inc(bytes as u64);
        if self.show.is_some_and(|at| Instant::now() >= at) {
            self.show = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{done} {}", self.things));
        }
    }

    /// Does something that writes to stderr without the bar in its way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
