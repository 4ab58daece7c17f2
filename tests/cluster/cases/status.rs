//! `stepspan status`: what it says of pods that were there before the webhook, that it injected, and that it missed.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::samples::sample;
use super::{Shared, trial};
use crate::harness::{
    Cluster,
    namespace::Namespace,
    stepspan::{PROGRAM, Stepspan},
};

const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/agent-steps/policy.yaml");

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![trial(cluster, "status::each_window_without_injection_has_its_reason".to_owned(), windows)]
}

fn windows(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("status", &json!({}))?;
    let sample = sample("steps")?;
    let before = steps(&namespace, &sample.run(&namespace)?)?;
    // In whole seconds, as Kubernetes tells when things were made.
    let pause = || std::thread::sleep(std::time::Duration::from_secs(2));
    pause();
    let mut webhook = Stepspan::start(cluster, &namespace, None)?;
    let injected = steps(&namespace, &sample.run(&namespace)?)?;
    pause();
    webhook.kill();
    let missed = steps(&namespace, &sample.run(&namespace)?)?;
    ensure!(before == injected && injected == missed && before > 1, "{before}, {injected} and {missed} pods");

    let (code, text) = ask(cluster, &namespace, &["-o", "json"])?;
    ensure!(code == Some(0), "{text}");
    let report: Value = serde_json::from_str(&text)?;
    let wanted = json!({"injected": injected, "missed": before + missed, "skipped": 0, "leftOut": 0});
    ensure!(report["total"] == wanted && report["namespaces"][namespace.name()] == wanted, "{report:#}");
    ensure!(report["coverage"] == 100 * injected / (before + injected + missed), "{report:#}");
    let windows = report["windows"].as_array().context("no windows")?;
    let said: Vec<_> = windows.iter().map(|window| (window["reason"].as_str(), window["pods"].as_u64())).collect();
    let wanted = [(Some("before-install"), Some(before as u64)), (Some("unanswered"), Some(missed as u64))];
    ensure!(said == wanted, "{report:#}");
    ensure!(windows[0]["to"].as_str() < windows[1]["from"].as_str(), "{report:#}");

    let (code, table) = ask(cluster, &namespace, &["--min-coverage", "90"])?;
    ensure!(code == Some(1) && table.contains("before-install") && table.contains("33 %"), "{code:?}: {table}");
    let (code, _) = ask(cluster, &namespace, &["--min-coverage", "33"])?;
    ensure!(code == Some(0), "33 % are 33 %");
    Ok(())
}

/// How many pods of steps a Workflow had.
fn steps(namespace: &Namespace<'_>, workflow: &Value) -> Result<usize> {
    Ok(namespace.pods(workflow)?.len())
}

fn ask(cluster: &Cluster, namespace: &Namespace<'_>, more: &[&str]) -> Result<(Option<i32>, String)> {
    let kubeconfig = cluster.dir().join("admin.kubeconfig");
    let name = namespace.name();
    let done = Command::new(PROGRAM)
        .args(["status", "-n", name, "--release-namespace", name, "--policy", BUILT_IN, "--kubeconfig"])
        .arg(kubeconfig)
        .args(more)
        .output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.code() != Some(2), "{said}");
    Ok((done.status.code(), String::from_utf8(done.stdout)?))
}
