//! The chart's dashboards, filled by a real run: every query of every panel has data, under every filter, at a stated cost.

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    check::{argo_counts, counted, node},
    place::{Place, Teller},
    rules,
};
use crate::{
    cases::watch::text,
    harness::{Cluster, ids::trace_id, namespace::describe, wait::until, webhook::CONFIGURATIONS},
};

const LIMIT: Duration = Duration::from_mins(2);
const AGENTS: &str = include_str!("workflows/agents.yaml");
const LABELS: [&str; 6] = ["repo", "prNumber", "agent", "workflowName", "taskId", "environment"];
/// How much of the past is drawn.
const MINUTES: u64 = 5;
/// What one look at all panels of a dashboard may take here, of one run: ten times what was measured.
const MOST_SAMPLES: u64 = 30_000_000;

pub fn have_data_under_every_filter(cluster: &Cluster) -> Result<()> {
    let place = Place::furnished(cluster, "dashboards", &Teller::Watch)?;
    let steps = &place.release.steps;
    missed(cluster, &place)?;
    let ended = steps.run(AGENTS, "Succeeded")?;
    counted(&place.prometheus, "pods", "shop", argo_counts(&[&ended])).with_context(|| describe(&ended))?;
    for (name, dashboard) in dashboards()? {
        let cost = look(&place, &name, &dashboard, &BTreeMap::new())?;
        eprintln!("cluster: dashboard {name}: {cost} samples for the last {MINUTES} minutes");
        ensure!(cost < MOST_SAMPLES, "{name} looks at {cost} samples");
        for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
            // What is asked of Jaeger is asked below.
            if variable["type"] == "query" && variable["name"] != "workflow" {
                filtered(&place, &name, &dashboard, text(&variable["name"])?)?;
            }
        }
        searches(&place, &name, &dashboard, &ended)?;
    }
    rules::ask_for_what_is_there(&place)?;
    place.end()
}

/// What is asked of Jaeger leads to the run, by whatever it is asked.
fn searches(place: &Place<'_>, name: &str, dashboard: &Value, ended: &Value) -> Result<()> {
    let step = node(ended, "deploy")?;
    let trace = trace_id(ended)?;
    let chosen = [
        ("$workflow", "agents"),
        ("$status", "Succeeded"),
        ("$runId", text(&ended["metadata"]["uid"])?),
        ("$jobId", text(&step["id"])?),
        ("$traceId", &trace),
    ];
    let fill = |asked: &Value| {
        let asked = asked.as_str().unwrap_or_default().to_owned();
        chosen.iter().fold(asked, |asked, (variable, value)| asked.replace(variable, value))
    };
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    for panel in panels.filter(|panel| panel["datasource"]["type"] == "jaeger") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let found = if target["queryType"] == "search" {
                let operation = Some(fill(&target["operation"])).filter(|name| !name.is_empty());
                let asked = fill(&target["tags"]);
                let (key, value) = asked.split_once('=').context("tags")?;
                place.jaeger.search(text(&target["service"])?, operation.as_deref(), &json!({key: value}))?
            } else {
                let asked = fill(&target["query"]);
                if place.jaeger.knows(&asked)? { vec![asked] } else { Vec::new() }
            };
            ensure!(found.contains(&trace), "{name}: {}: {target} finds {found:?}", panel["title"]);
        }
    }
    Ok(())
}

/// A step while injection is paused: what was missed, and when, is shown too.
fn missed(cluster: &Cluster, place: &Place<'_>) -> Result<()> {
    let registrations = cluster.api().list(CONFIGURATIONS)?;
    let ours = registrations
        .iter()
        .filter_map(|it| it["metadata"]["name"].as_str())
        .find(|name| name.ends_with(place.release.home.name()));
    let path = format!("{CONFIGURATIONS}/{}", ours.context("no webhook configuration")?);
    let pause = |paused: Value| {
        let annotation = json!({"metadata": {"annotations": {"stepspan.dev/paused": paused}}});
        cluster.api().merge_patch(&path, &annotation)?.accepted().map(drop)
    };
    pause("true".into())?;
    until("the pause to be shown", LIMIT, || {
        Ok((place.prometheus.number("max(stepspan_paused)")? > 0.5).then_some(()))
    })?;
    place.release.steps.run(&AGENTS.replace("412", "411").replace("\"20\"", "\"1\""), "Succeeded")?;
    pause(Value::Null)?;
    let told = || place.prometheus.number("count(stepspan_watch_missed_to_timestamp_seconds)");
    until("what was missed to be shown", LIMIT, || Ok((told()? > 0.5).then_some(())))?;
    until("the pause to be over", LIMIT, || Ok((place.prometheus.number("max(stepspan_paused)")? < 0.5).then_some(())))
}

/// Each value that a variable can have narrows the panels to it, and they are not empty; one that nobody has makes them so.
fn filtered(place: &Place<'_>, name: &str, dashboard: &Value, variable: &str) -> Result<()> {
    let values = place.prometheus.values(variable, "agent_step_duration_ms_count{repo=\"shop\",prNumber=\"412\"}")?;
    ensure!(!values.is_empty(), "no step has a {variable}");
    for value in values {
        look(place, name, dashboard, &BTreeMap::from([(variable, value.as_str())]))?;
    }
    let nobody = BTreeMap::from([(variable, "nobody")]);
    let panels = queries(dashboard, "prometheus", &nobody);
    let narrowed = panels.iter().filter(|(_, query)| query.contains("\"nobody\""));
    for (title, query) in narrowed {
        let (series, _) = place.prometheus.drawn(query, MINUTES)?;
        ensure!(series == 0, "{name}: {title} has {series} series of {variable} nobody: {query}");
    }
    Ok(())
}

/// Asks everything that a dashboard asks; how many samples that was.
fn look(place: &Place<'_>, name: &str, dashboard: &Value, chosen: &BTreeMap<&str, &str>) -> Result<u64> {
    let mut cost = 0;
    for (title, query) in queries(dashboard, "prometheus", chosen) {
        let (mut series, mut samples) = (0, 0);
        until(&format!("data in {name}: {title} with {chosen:?}"), LIMIT, || {
            (series, samples) = place.prometheus.drawn(&query, MINUTES)?;
            if series == 0 {
                thread::sleep(Duration::from_secs(1));
            }
            Ok((series > 0).then_some(()))
        })
        .with_context(|| query.clone())?;
        cost += samples;
    }
    Ok(cost)
}

/// The queries of all panels of this kind of data source, by their titles, with what is chosen in the place of variables.
pub fn queries(dashboard: &Value, source: &str, chosen: &BTreeMap<&str, &str>) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let mut all = Vec::new();
    for panel in panels.filter(|panel| panel["datasource"]["type"] == source) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut query = target["expr"].as_str().unwrap_or_default().to_owned();
            for (variable, value) in [("$__rate_interval", "15s"), ("$__range", "5m"), ("$__interval", "5s")] {
                query = query.replace(variable, value);
            }
            for label in LABELS {
                query = query.replace(&format!("${label}"), chosen.get(label).unwrap_or(&".*"));
            }
            query = query.replace("$traceId", chosen.get("traceId").unwrap_or(&""));
            all.push((panel["title"].as_str().unwrap_or_default().to_owned(), query));
        }
    }
    all
}

pub fn dashboards() -> Result<Vec<(String, Value)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/stepspan/dashboards");
    let read = |path: &Path| {
        let dashboard = serde_json::from_slice(&fs::read(path)?)?;
        Ok((path.file_stem().context("no name")?.to_string_lossy().into_owned(), dashboard))
    };
    fs::read_dir(folder)?.map(|entry| read(&entry?.path())).collect()
}
