//! What pages say of the chart: its installations render, and values are those that it has.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stepspan::yaml;

use super::{CHART, helm, text};
use crate::pages;

/// What `helm template` does not know, and what has nothing to do with what is rendered.
const OF_A_RELEASE: [&str; 3] = ["--reuse-values", "--install", "--rollback-on-failure"];

/// Calls of Helm on the chart, in blocks and within sentences, as a shell takes them apart.
fn installations() -> Vec<(PathBuf, Vec<String>)> {
    let mut all = Vec::new();
    for page in pages::pages() {
        let blocks = pages::commands(&page).into_iter().map(|(_, block)| block.replace("\\\n", " "));
        let lines: Vec<String> =
            blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).chain(spans(&page)).collect();
        for line in lines.iter().filter(|line| line.starts_with("helm ") && line.contains(CHART)) {
            let shell = format!("helm() {{ printf '%s\\n' \"$@\"; }}; {line}");
            let output = Command::new("bash").args(["-c", &shell]).output().unwrap();
            all.push((page.clone(), text(&output.stdout).lines().map(str::to_owned).collect()));
        }
    }
    all
}

/// What stands between backticks.
fn spans(page: &Path) -> Vec<String> {
    let outside = |line: &&str| !line.trim_start().starts_with("```");
    let text = pages::text(page);
    text.lines().filter(outside).flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn installations_of_the_pages_render() {
    let calls = installations();
    assert!(calls.len() > 2, "{calls:?}");
    for (page, mut args) in calls {
        args.retain(|arg| !OF_A_RELEASE.contains(&arg.as_str()));
        "template".clone_into(&mut args[0]);
        let output = helm(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{}: {args:?}: {}", page.display(), text(&output.stderr));
    }
}

/// `logs.enabled=true`, `watch.queue`, `certificates.mode: self`: whatever begins as a value of the chart is one.
#[test]
fn values_of_the_pages_are_there() {
    let read = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART).join("values.yaml")).unwrap();
    let values: Value = yaml::read(&read, 1).unwrap();
    let mut seen = 0;
    for page in pages::pages() {
        for span in spans(&page) {
            let key = span.split(['=', ':', ' ']).next().unwrap();
            let parts: Vec<&str> = key.split('.').collect();
            let is_key = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
            if parts.len() < 2 || !parts.iter().all(is_key) || !values[parts[0]].is_object() {
                continue;
            }
            let there = parts.iter().try_fold(&values, |at, part| at.get(part));
            assert!(there.is_some(), "{}: `{span}` is no value of the chart", page.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
