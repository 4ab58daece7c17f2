//! The chart's alerts and recording rules in a real Prometheus.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stepspan::yaml;

use super::{
    place::Place,
    shown::{BackendTools, rules},
};
use crate::harness::{Cluster, wait::until};

const LIMIT: Duration = Duration::from_mins(1);

/// `promtool check rules`, and each alert firing and not, as `tests/rules` says.
pub fn as_promtool_says(_: &Cluster) -> Result<()> {
    let tools = BackendTools::locate()?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    for (words, folder) in [(["check", "rules"], rules()), (["test", "rules"], tests)] {
        let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        ensure!(files.len() > 1, "{files:?}");
        let output = Command::new(&tools.promtool).args(words).args(&files).output()?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// After a run: every rule can be evaluated, and every metric of ours that one asks for is there.
pub fn ask_for_what_is_there(place: &Place<'_>) -> Result<()> {
    let broken = place.prometheus.broken_rules()?;
    ensure!(broken.is_empty(), "{broken:#?}");
    let mut known = place.prometheus.names("pods", "stepspan")?;
    known.extend(place.prometheus.names("pods", "agent")?);
    let (mut asked, mut recorded) = (BTreeSet::new(), BTreeSet::new());
    for file in fs::read_dir(rules())? {
        let file: Value = yaml::read(&fs::read_to_string(file?.path())?, 1)?;
        for rule in
            file["groups"].as_array().into_iter().flatten().filter_map(|group| group["rules"].as_array()).flatten()
        {
            recorded.extend(rule["record"].as_str().map(str::to_owned));
            let text = rule["expr"].as_str().context("no expr")?;
            let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            asked.extend(
                words.filter(|word| word.starts_with("stepspan_") || word.starts_with("agent_")).map(str::to_owned),
            );
        }
    }
    let missing: Vec<_> = asked.difference(&known).collect();
    ensure!(asked.len() > 10 && missing.is_empty(), "nobody shows {missing:?}");
    for name in recorded.iter().filter(|name| name.starts_with("stepspan:")) {
        let value = until(&format!("{name} to be recorded"), LIMIT, || {
            Ok(Some(place.prometheus.number(name)?).filter(|value| *value > 0.0 || name.contains("errors")))
        })?;
        eprintln!("cluster: {name} {value}");
    }
    Ok(())
}

/// Waits until an alert fires.
pub fn fires(place: &Place<'_>, alert: &str, labels: &str) -> Result<()> {
    let expression = format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",{labels}}})");
    until(&format!("{alert} to fire"), LIMIT, || Ok((place.prometheus.number(&expression)? > 0.0).then_some(())))
}
