//! Loki, everything in one process and on a disk of the run's, asked through the query API that Grafana uses.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{ask, listening};
use crate::harness::{Cluster, node::ADDRESS, ports, processes::Process};

pub struct Loki {
    port: u16,
    _process: Process,
}

/// A line as it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    /// Labels of the stream and structured metadata, dots as underscores.
    pub of: Value,
}

impl Line {
    pub fn of(&self, key: &str) -> &str {
        self.of[key].as_str().unwrap_or_default()
    }
}

impl Loki {
    /// As Loki's own documentation starts one on a single machine; it tells nobody of itself.
    pub fn start(cluster: &Cluster, program: &Path, folder: &Path) -> Result<Self> {
        let folder = folder.join("loki");
        fs::create_dir_all(&folder)?;
        let (port, grpc) = (ports::free()?, ports::free()?);
        let config = json!({
            "auth_enabled": false,
            "server": {
                "http_listen_address": "0.0.0.0", "http_listen_port": port,
                "grpc_listen_address": "127.0.0.1", "grpc_listen_port": grpc,
                "log_level": "warn",
            },
            "common": {
                "path_prefix": folder, "replication_factor": 1, "instance_addr": "127.0.0.1",
                "ring": {"instance_addr": "127.0.0.1", "kvstore": {"store": "inmemory"}},
                "storage": {"filesystem": {"chunks_directory": folder.join("chunks"), "rules_directory": folder.join("rules")}},
            },
            "schema_config": {"configs": [{
                "from": "2024-01-01", "store": "tsdb", "object_store": "filesystem", "schema": "v13",
                "index": {"prefix": "index_", "period": "24h"},
            }]},
            "analytics": {"reporting_enabled": false},
        });
        let path = folder.join("loki.yaml");
        fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        let config = format!("-config.file={}", path.display());
        let mut process = cluster.spawn(&format!("loki-{port}"), program, &[&config], &[])?;
        listening(&mut process, "127.0.0.1", port)?;
        Ok(Self { port, _process: process })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where pods and processes send logs to, by OTLP over HTTP.
    pub fn otlp(&self) -> String {
        format!("http://{ADDRESS}:{}/otlp", self.port)
    }

    /// All lines of the last hour that a `LogQL` query finds, in the order of their times.
    pub fn lines(&self, query: &str) -> Result<Vec<Line>> {
        const MOST: usize = 5_000;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let path =
            format!("/loki/api/v1/query_range?query={encoded}&limit={MOST}&start={}&end={}", now - 3_600, now + 60);
        let answer = ask(self.port, &path)?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        let mut all: Vec<(String, Line)> = Vec::new();
        for stream in answer["data"]["result"].as_array().with_context(|| answer.to_string())? {
            for value in stream["values"].as_array().into_iter().flatten() {
                let text = |at: usize| value[at].as_str().unwrap_or_default().to_owned();
                all.push((text(0), Line { text: text(1), of: stream["stream"].clone() }));
            }
        }
        ensure!(all.len() < MOST, "{query}: {MOST} lines or more");
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(all.into_iter().map(|(_, line)| line).collect())
    }
}
