//! The chart's Grafana dashboards, as far as they can be read without Grafana: every panel says what it shows, of data sources that can be
//! chosen, and stands in nobody's way.
//!
//! What Prometheus says of each query, `make test-backends` asks (`tests/cluster/backends/dashboards.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Of Grafana's 24 columns.
const COLUMNS: u64 = 24;
const KINDS: [&str; 9] = ["row", "stat", "timeseries", "heatmap", "bargauge", "table", "logs", "traces", "text"];

fn dashboards() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/stepspan/dashboards");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(all.len() > 1, "{all:?}");
    all
}

fn list<'v>(of: &'v Value, key: &str) -> &'v [Value] {
    of[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of[key].as_str().unwrap_or_default()
}

/// Panels that show something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter().filter(|panel| panel["type"] != "row")
}

#[test]
fn each_says_what_it_is() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert!(uids.insert(text(&dashboard, "uid").to_owned()), "{name}: its uid is another's");
        assert!(text(&dashboard, "uid").len() <= 40, "{name}: Grafana takes 40 characters");
        for key in ["title", "description"] {
            assert!(!text(&dashboard, key).is_empty(), "{name} has no {key}");
        }
        assert_eq!(dashboard["refresh"], "15s", "{name}");
        assert!(
            list(&dashboard, "tags").contains(&"stepspan".into()),
            "{name}: the dashboards link to one another by this tag"
        );
    }
}

#[test]
fn each_panel_says_what_it_shows_of_a_data_source_that_can_be_chosen() {
    for (name, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"], "list");
        let sources: BTreeSet<String> = variables
            .iter()
            .filter(|variable| variable["type"] == "datasource")
            .map(|variable| format!("${{{}}}", text(variable, "name")))
            .collect();
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard, "panels") {
            let title = text(panel, "title");
            assert!(KINDS.contains(&text(panel, "type")), "{name}: {title}: {}", panel["type"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}: its id is another's");
            assert!(!title.is_empty(), "{name}: panel {} has no title", panel["id"]);
        }
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            assert!(!text(panel, "description").is_empty(), "{name}: {title} has no description");
            assert!(!list(panel, "targets").is_empty(), "{name}: {title} asks for nothing");
            let mut names = BTreeSet::new();
            for target in list(panel, "targets") {
                assert!(names.insert(text(target, "refId")), "{name}: {title}: two queries of one name");
                assert_eq!(target["datasource"], panel["datasource"], "{name}: {title}");
            }
            let source = text(&panel["datasource"], "uid");
            assert!(sources.contains(source), "{name}: {title}: {source} is no variable");
        }
    }
}

#[test]
fn no_panel_lies_on_another() {
    for (name, dashboard) in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard, "panels") {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(x + w <= COLUMNS && w > 0 && h > 0, "{name}: {}", panel["title"]);
            for at in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(at), "{name}: {} lies on another", panel["title"]);
            }
        }
    }
}

/// Every variable narrows something, and whoever asks for one finds it.
#[test]
fn every_variable_is_used_and_there() {
    for (name, dashboard) in dashboards() {
        let known: BTreeSet<&str> =
            list(&dashboard["templating"], "list").iter().map(|variable| text(variable, "name")).collect();
        let whole = dashboard.to_string();
        let mut used = BTreeSet::new();
        for after in whole.split('$').skip(1) {
            let word = after.trim_start_matches('{');
            used.extend(
                word.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().filter(|word| !word.is_empty()),
            );
        }
        // Grafana's own, and the groups of label_replace.
        used.retain(|word| !word.starts_with("__") && word.parse::<u32>().is_err());
        // Grafana chooses by itself where exemplars lead to.
        let exemplars: BTreeSet<&str> = ["traces"].into();
        assert_eq!(&used | &exemplars, &known | &exemplars, "{name}");
    }
}

/// What is asked of every panel of steps.
#[test]
fn steps_can_be_narrowed_by_each_label() {
    let (_, steps) = dashboards().into_iter().find(|(name, _)| name == "agent-steps").unwrap();
    for panel in panels(&steps) {
        for target in list(panel, "targets").iter().filter(|target| text(target, "expr").contains("agent_step_")) {
            for label in ["repo", "prNumber", "agent", "workflowName", "taskId", "environment"] {
                assert!(
                    text(target, "expr").contains(&format!("{label}=~\"${label}\"")),
                    "{}: {label}",
                    panel["title"]
                );
            }
        }
    }
    let exemplars = panels(&steps).flat_map(|panel| list(panel, "targets")).filter(|target| target["exemplar"] == true);
    assert!(exemplars.count() >= 5, "points lead to traces");
}

/// The data sources of the example lead to one another, and what they ask for is what lines and exemplars have.
#[test]
fn data_sources_lead_to_one_another() {
    let read =
        |name: &str| fs::read_to_string(format!("{}/examples/grafana/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let sources: Value = stepspan::yaml::read(&read("datasources.yaml"), 1).unwrap();
    let list = list(&sources, "datasources");
    let uids: BTreeSet<&str> = list.iter().map(|source| text(source, "uid")).collect();
    assert_eq!(uids, ["jaeger", "loki", "prometheus"].into());
    let all = sources.to_string();
    let led: BTreeSet<&str> =
        all.split("\"datasourceUid\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(led, uids, "each is led to");
    let of = |uid: &str| &list.iter().find(|source| text(source, "uid") == uid).unwrap()["jsonData"];
    assert_eq!(of("prometheus")["exemplarTraceIdDestinations"][0]["name"], "trace_id");
    assert_eq!(of("loki")["derivedFields"][0]["matcherRegex"], "trace_id");
    // One who looks may not change: 1 is View, 2 Edit, 4 Admin in Grafana's HTTP API of folder permissions.
    let viewers: Value = serde_json::from_str(&read("viewers.json")).unwrap();
    let team: Vec<_> = self::list(&viewers, "items").iter().filter(|item| item["teamId"].is_u64()).collect();
    assert!(matches!(&team[..], [item] if item["permission"] == 1), "{viewers}");
}
