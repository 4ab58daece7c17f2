//! Reading and writing of many pods, side by side in each round.
//!
//! `cargo bench --bench yaml -- pods.yaml`; without a file, of a thousand pods made here. Prints medians.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stepspan::yaml::{documents, write_stream};

const ROUNDS: usize = 21;

fn main() {
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let text = path.and_then(|path| std::fs::read(path).ok()).unwrap_or_else(thousand_pods);
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut pods = Vec::new();
    let mut out = Vec::new();
    for _ in 0..ROUNDS {
        times[0].push(timed(|| documents(text.as_slice()).flatten().map(|d| d.text.len()).sum::<usize>()));
        pods.clear();
        times[1].push(timed(|| {
            pods = documents(text.as_slice()).flatten().filter_map(|d| d.read().ok()).collect();
        }));
        times[2].push(timed(|| {
            out.clear();
            write_stream(&pods, &mut out).is_ok()
        }));
    }
    println!("{} documents, {} bytes in, {} bytes out", pods.len(), text.len(), out.len());
    for (name, mut times) in ["split", "split and read", "write"].into_iter().zip(times) {
        times.sort();
        println!("{name:>15}: median {:?}, best {:?}", times[ROUNDS / 2], times[0]);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn thousand_pods() -> Vec<u8> {
    let container = |name: &str| {
        let env: Vec<Value> =
            (0..12).map(|i| json!({"name": format!("ARGO_VARIABLE_{i}"), "value": i.to_string()})).collect();
        let mounts: Vec<Value> =
            (0..5).map(|i| json!({"mountPath": format!("/var/run/{i}"), "name": format!("volume-{i}")})).collect();
        json!({
            "name": name, "image": "quay.io/argoproj/argoexec:v3.7.3", "env": env, "volumeMounts": mounts,
            "command": ["/var/run/argo/argoexec", "emissary", "--loglevel", "info", "--", "sh", "-c"],
            "args": ["echo one\nif true; then\n  echo two: three\nfi\n"], "resources": {},
        })
    };
    let pods: Vec<Value> = (0..1000)
        .map(|i| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("pod-{i}"), "labels": {"workflows.argoproj.io/completed": "false"}},
                "spec": {"containers": [container("main"), container("wait")], "initContainers": [container("init")]},
            })
        })
        .collect();
    let mut out = Vec::new();
    // A `Vec` takes all.
    let _ = write_stream(&pods, &mut out);
    out
}
