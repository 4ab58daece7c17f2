//! What a server logs, and where.

use std::path::PathBuf;

use clap::ValueEnum;

use super::units::size;
use crate::telemetry::{
    events::{Level, Target},
    rotate::Kept,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logs")]
pub(super) struct Log {
    /// How much to log; `debug` has what is none of our business too
    #[arg(long = "log-level", value_name = "LEVEL", default_value = "info")]
    level: LogLevel,
    /// Log to this file too, beside stderr
    #[arg(long = "log-file", value_name = "PATH")]
    file: Option<PathBuf>,
    /// Size at which a new log file is begun
    #[arg(long = "log-max-size", value_name = "SIZE", default_value = "10MiB", value_parser = size, requires = "file")]
    max_size: usize,
    /// How many old log files to keep (.1 is the newest)
    #[arg(long = "log-keep", value_name = "N", default_value_t = 3, requires = "file")]
    keep: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl Log {
    pub(super) fn level(&self) -> Level {
        match self.level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
        }
    }

    pub(super) fn target(self) -> Target {
        match self.file {
            None => Target::Stderr,
            Some(path) => Target::Both(Kept { path, max_bytes: self.max_size as u64, keep: self.keep }),
        }
    }
}
