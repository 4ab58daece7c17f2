//! Reviews that are recorded while they are answered, and what becomes of them when nobody can write.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stepspan::{config::Config, record::Record, telemetry::rotate::Kept};

use crate::rig::{Rig, until};

/// For so long the end of the server waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// The review of a recorded pod, as the API server sent it.
fn body() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/steps-1-pod.json")).unwrap()
}

async fn recording(max_bytes: u64, keep: usize) -> (Rig, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    let rig = Rig::with(|config: &mut Config| config.record = Some(Kept { path, max_bytes, keep })).await;
    (rig, folder)
}

fn lines(folder: &tempfile::TempDir, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_steps_are_recorded_and_nothing_else() {
    let (rig, folder) = recording(1 << 20, 1).await;
    let mut dry_run: Value = serde_json::from_slice(&body()).unwrap();
    dry_run["request"]["dryRun"] = json!(true);
    let mut foreign: Value = serde_json::from_slice(&body()).unwrap();
    foreign["request"]["object"]["metadata"]["labels"] = json!({});
    let workflow = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/steps-0-workflow.json")).unwrap();
    let others =
        [serde_json::to_vec(&dry_run).unwrap(), serde_json::to_vec(&foreign).unwrap(), workflow, b"{".to_vec()];
    for other in &others {
        rig.post("/mutate", other).await;
    }
    assert_eq!(rig.post("/mutate", &body()).await.status, 200);
    until(async || rig.webhook.metrics().records_written.get() == 1).await;
    let lines = lines(&folder, "r.jsonl");
    assert_eq!(lines.len(), 1);
    let record = Record::read(lines[0].as_bytes()).unwrap();
    // The rig has no policy.
    assert_eq!((record.step.as_str(), record.was.says().as_str()), ("fix-bug/coder", "skipped: no-policy"));
    let text = rig.ops("/metrics").await;
    assert!(String::from_utf8_lossy(&text.body).contains("stepspan_records_total 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_rotate_and_what_was_queued_is_written_at_the_end() {
    let (rig, folder) = recording(10_000, 2).await;
    for _ in 0..20 {
        rig.post("/mutate", &body()).await;
    }
    let metrics = std::sync::Arc::clone(rig.webhook.metrics());
    let began = Instant::now();
    rig.webhook.drain().await;
    assert!(metrics.records_written.get() == 20 || began.elapsed() >= PATIENCE, "the end waits for the writer");
    until(async || metrics.records_written.get() == 20).await;
    assert_eq!(metrics.records_dropped.get(), 0);
    for name in ["r.jsonl", "r.jsonl.1", "r.jsonl.2"] {
        let lines = lines(&folder, name);
        assert!(!lines.is_empty() && lines.iter().all(|line| Record::read(line.as_bytes()).is_ok()), "{name}");
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() <= 10_000, "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// A full disk: the file is a device that takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_costs_records_and_no_answer() {
    let full = Kept { path: "/dev/full".into(), max_bytes: 1 << 30, keep: 0 };
    let rig = Rig::with(|config: &mut Config| config.record = Some(full)).await;
    for _ in 0..5 {
        assert_eq!(rig.post("/mutate", &body()).await.status, 200);
    }
    until(async || rig.webhook.metrics().records_dropped.get() == 5).await;
    let told = rig.events("record", 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(rig.events("record", 1).await.len(), 1, "told once: {told:?}");
    assert!(told[0]["error"].as_str().unwrap().contains("No space left"), "{told:?}");
}
