//! Every Collector configuration that is shipped, as the real Collector takes it. What they do, `make test-backends` tries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::known::Known;

fn configurations() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = fs::read_dir(root.join("examples/collector")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = examples.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    all.push(root.join("charts/stepspan/logs/collector.yaml"));
    assert!(all.len() >= 4, "{all:?}");
    all
}

/// What the Collector says of a configuration that it refuses.
fn refusal(config: &Path) -> Option<String> {
    let program = Known::ask().and_then(|known| known.program("otelcol", "otelcol")).unwrap();
    assert!(program.exists(), "{} is not there; build it with: scripts/cluster-tools api", program.display());
    let output = Command::new(program)
        .arg("validate")
        .arg(format!("--config={}", config.display()))
        // What its manifest gives it.
        .envs([("K8S_NODE_NAME", "node"), ("LOGS_ENDPOINT", "http://loki:3100/otlp")])
        .envs([("KAFKA_PASSWORD", "x"), ("ELASTICSEARCH_API_KEY", "x")])
        .output()
        .unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_collector_accepts_what_is_shipped() {
    for config in configurations() {
        assert_eq!(refusal(&config), None, "{}", config.display());
    }
}

#[test]
fn it_refuses_what_is_misspelt() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.yaml");
    let text = fs::read_to_string(&configurations()[0]).unwrap();
    fs::write(&broken, text.replacen("endpoint:", "endpiont:", 1)).unwrap();
    assert!(refusal(&broken).is_some_and(|why| why.contains("endpiont")));
}
