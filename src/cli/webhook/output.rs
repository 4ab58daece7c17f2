//! What the server writes besides its log: traces, records.

use std::path::PathBuf;

use crate::{
    cli::units::{ratio, size},
    config::Trace,
    telemetry::rotate::Kept,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Traces")]
pub(super) struct Traces {
    /// Send a span for each review to this OTLP/gRPC endpoint
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    #[arg(long, help = TRACE_HELP)]
    trace: bool,
    /// Share of reviews traced where the API server does not decide
    #[arg(long, value_name = "0..1", default_value_t = 1.0, value_parser = ratio)]
    trace_ratio: f64,
}

const TRACE_HELP: &str =
    "Send a span for each review to $OTEL_EXPORTER_OTLP_ENDPOINT, or to http://localhost:4317 where that is unset";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Recording {
    /// Record each review of a step's pod in this file, reduced to what decisions are made of, for `stepspan replay`
    #[arg(long, value_name = "PATH")]
    record: Option<PathBuf>,
    /// Size at which a new file of records is begun
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size, requires = "record")]
    record_max_size: usize,
    /// How many old files of records to keep (.1 is the newest)
    #[arg(long, value_name = "N", default_value_t = 3, requires = "record")]
    record_keep: usize,
}

impl Traces {
    pub(super) fn trace(&self) -> Option<Trace> {
        let from_env = || std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
        let asked = || self.trace.then(|| from_env().unwrap_or_else(|| "http://localhost:4317".into()));
        let endpoint = self.otlp_endpoint.clone().or_else(asked)?;
        Some(Trace { endpoint, ratio: self.trace_ratio })
    }
}

impl Recording {
    pub(super) fn kept(self) -> Option<Kept> {
        self.record.map(|path| Kept { path, max_bytes: self.record_max_size as u64, keep: self.record_keep })
    }
}
