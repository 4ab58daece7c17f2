//! Prometheus as Debian has it, with room for exemplars. Debian's knows nothing of Kubernetes, so it is told of the pods that their annotations
//! offer.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{ask, listening};
use crate::harness::{Cluster, namespace::Namespace, node::ADDRESS, ports, processes::Process};

/// Of pods that this namespace's release runs, and of the Collector.
pub struct Prometheus {
    port: u16,
    _process: Process,
}

impl Prometheus {
    /// Scrapes pods of `namespace` that are there, as job `pods`, and a Collector that shows metrics at that port as job `collector`.
    pub fn start(
        cluster: &Cluster,
        program: &Path,
        folder: &Path,
        namespace: &Namespace<'_>,
        collector: Option<u16>,
    ) -> Result<Self> {
        let folder = folder.join("prometheus");
        fs::create_dir_all(&folder)?;
        let offered: Vec<Value> = namespace.list("pods")?.iter().filter_map(offered).collect();
        ensure!(!offered.is_empty(), "no pod offers metrics");
        let pods = json!({
            "job_name": "pods",
            "static_configs": offered,
            "metric_relabel_configs": [
                // Whichever replica leads, it goes on with the same series: docs/traces.md.
                {"source_labels": ["__name__"], "regex": "agent_.*", "target_label": "instance", "replacement": "stepspan"},
            ],
        });
        let mut jobs = vec![pods];
        if let Some(port) = collector {
            jobs.push(json!({"job_name": "collector", "static_configs": [{"targets": [format!("{ADDRESS}:{port}")]}]}));
        }
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "scrape_configs": jobs,
            "rule_files": [format!("{}/*.yaml", rules().display())],
        });
        let path = folder.join("prometheus.yaml");
        fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
        let port = ports::free()?;
        let args = [
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--enable-feature=exemplar-storage".to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut process = cluster.spawn(&format!("prometheus-{port}"), program, &args, &[])?;
        listening(&mut process, "127.0.0.1", port)?;
        Ok(Self { port, _process: process })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The one number that an expression comes to now; 0 where there are no series.
    pub fn number(&self, expression: &str) -> Result<f64> {
        let answer = self.get("query", &[("query", expression)])?;
        let samples = answer["result"].as_array().with_context(|| answer.to_string())?;
        ensure!(samples.len() < 2, "{expression}: {answer}");
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        samples.first().map_or(Ok(0.0), |sample| value(sample).with_context(|| answer.to_string()))
    }

    /// Rules that could not be evaluated, with the reason.
    pub fn broken_rules(&self) -> Result<Vec<String>> {
        let answer = self.get("rules", &[])?;
        let groups = answer["groups"].as_array().with_context(|| answer.to_string())?;
        ensure!(!groups.is_empty(), "no rules: {answer}");
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let broken = rules.filter(|rule| rule["health"] == "err");
        Ok(broken.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect())
    }

    /// How many series of an expression have had a number in the last minutes, and how many samples that was to look at.
    pub fn drawn(&self, expression: &str, minutes: u64) -> Result<(usize, u64)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (from, to) = ((now - minutes * 60).to_string(), now.to_string());
        let parameters = [("query", expression), ("start", &from), ("end", &to), ("step", "5"), ("stats", "all")];
        let answer = self.get("query_range", &parameters)?;
        let series = answer["result"].as_array().with_context(|| answer.to_string())?;
        let is_number = |sample: &Value| sample[1].as_str().is_some_and(|value| value != "NaN");
        let with =
            series.iter().filter(|series| series["values"].as_array().is_some_and(|all| all.iter().any(is_number)));
        let samples = answer["stats"]["samples"]["totalQueryableSamples"].as_u64();
        Ok((with.count(), samples.with_context(|| answer["stats"].to_string())?))
    }

    /// The values of a label, of series of this selector.
    pub fn values(&self, label: &str, selector: &str) -> Result<BTreeSet<String>> {
        let answer = self.get(&format!("label/{label}/values"), &[("match[]", selector)])?;
        Ok(answer.as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect())
    }

    /// Names of metrics of a job that begin so.
    pub fn names(&self, job: &str, prefix: &str) -> Result<BTreeSet<String>> {
        self.values("__name__", &format!("{{job=\"{job}\",__name__=~\"{prefix}.*\"}}"))
    }

    /// Exemplars of the series of a selector, in the last hour: labels of the series, and those of the exemplar.
    pub fn exemplars(&self, selector: &str) -> Result<Vec<(Value, Value)>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (from, to) = ((now - 3_600).to_string(), (now + 60).to_string());
        let answer = self.get("query_exemplars", &[("query", selector), ("start", &from), ("end", &to)])?;
        let mut all = Vec::new();
        for series in answer.as_array().into_iter().flatten() {
            for exemplar in series["exemplars"].as_array().into_iter().flatten() {
                all.push((series["seriesLabels"].clone(), exemplar["labels"].clone()));
            }
        }
        Ok(all)
    }

    fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let pairs: Vec<String> =
            parameters.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        let mut answer = ask(self.port, &format!("/api/v1/{what}?{}", pairs.join("&")))?;
        ensure!(answer["status"] == "success", "{parameters:?}: {answer}");
        Ok(answer["data"].take())
    }
}

/// Where a pod offers metrics, by annotations as are the custom.
fn offered(pod: &Value) -> Option<Value> {
    let annotation = |name: &str| pod["metadata"]["annotations"][format!("prometheus.io/{name}")].as_str();
    let address = pod["status"]["podIP"].as_str()?;
    let target = format!("{address}:{}", annotation("port")?);
    (annotation("scrape")? == "true")
        .then(|| json!({"targets": [target], "labels": {"__metrics_path__": annotation("path")}}))
}

/// The chart's alerts and recording rules.
pub fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/stepspan/rules")
}
