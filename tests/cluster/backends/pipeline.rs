//! The pipeline of `examples/pipeline`, and all that is seen of it: one trace, Argo's counts, lines, links. With `$STEPSPAN_DEMO` the same is shown to
//! whoever has called `make demo-cluster`, in the end in a shell that has all of it at hand.

use std::{
    env, fs,
    io::{IsTerminal, stderr, stdin},
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stepspan::yaml;

use super::{
    check::{argo_counts, counted, whole},
    logs,
    place::{Place, Teller},
    shown::Loki,
};
use crate::{
    cases::watch::text,
    harness::{Cluster, ids::trace_id, namespace::describe, stepspan::PROGRAM, wait::until},
};

const LIMIT: Duration = Duration::from_mins(2);
const PIPELINE: &str = include_str!("../../../examples/pipeline/pipeline.yaml");
const RUN: &str = include_str!("../../../examples/pipeline/run.yaml");
/// Six runs of steps, one of them a second attempt; three parts of `verify`, one of `test`.
const COMMANDS: usize = 10;
/// A folder: what is shown is shown to somebody, and pages are put there.
const DEMO: &str = "STEPSPAN_DEMO";

pub fn agents_from_end_to_end(cluster: &Cluster) -> Result<()> {
    say("the chart: webhook, watch, logs, links");
    let place = Place::furnished(cluster, "demo", &Teller::Watch)?;
    let steps = &place.release.steps;
    let loki = Loki::start(cluster, &place.tools.loki, &place.folder)?;
    logs::collect(&place, &loki, &[format!("links.namespaces={{{}}}", steps.name())])?;
    say("the pipeline: examples/pipeline");
    let of_node = "image: localhost/busybox:1\n        imagePullPolicy: IfNotPresent";
    steps.create_template(&yaml::read(&PIPELINE.replace("image: busybox:1.37", of_node), 1)?)?;
    let ended = steps.run(RUN, "Succeeded")?;

    whole(&place.jaeger, &ended, COMMANDS).with_context(|| describe(&ended))?;
    counted(&place.prometheus, "pods", "shop/api", argo_counts(&[&ended]))?;
    has_links(&ended)?;
    has_lines(&loki, &ended)?;
    let waterfall = traced(&place, &ended, "table")?;
    for word in ["checkout", "verify", "test", "deploy", "look"] {
        ensure!(waterfall.contains(word), "no {word} in\n{waterfall}");
    }
    if let Some(folder) = env::var_os(DEMO) {
        show(&place, &loki, &ended, Path::new(&folder))?;
    }
    place.end()
}

/// Progress, for whoever looks.
fn say(what: &str) {
    if env::var_os(DEMO).is_some() {
        eprintln!("demo-cluster: {what}");
    }
}

fn has_links(ended: &Value) -> Result<()> {
    let outputs = ended["status"]["outputs"]["parameters"].as_array().with_context(|| describe(ended))?;
    for (name, value) in [
        ("prHtmlUrl", "https://github.com/shop/api/pull/412"),
        ("actionsRunUrl", "https://github.com/shop/api/actions/runs/77"),
        ("previewUrl", "https://pr-412.preview.example"),
        ("traceId", &trace_id(ended)?),
    ] {
        ensure!(outputs.iter().any(|it| it["name"] == name && it["value"] == value), "{name}: {outputs:#?}");
    }
    Ok(())
}

/// What the agents said, found by repository and pull request, each line in the Workflow's trace.
fn has_lines(loki: &Loki, ended: &Value) -> Result<()> {
    let trace = trace_id(ended)?;
    let mut lines = Vec::new();
    until("the lines of all steps", LIMIT, || {
        lines = loki.lines("{service_name=\"agent-steps\"} | repo=\"shop/api\" | prNumber=\"412\"")?;
        let said = |words: &str| lines.iter().any(|line| line.text.contains(words));
        let all = ["checked out", "no findings", "was not warm", "ok 2", "deployed https", "the preview shows"];
        Ok(all.iter().all(|words| said(words)).then_some(()))
    })
    .with_context(|| format!("{lines:#?}"))?;
    ensure!(lines.iter().all(|line| line.of("trace_id") == trace), "{lines:#?}");
    Ok(())
}

/// What `stepspan trace` prints of the run.
fn traced(place: &Place<'_>, ended: &Value, format: &str) -> Result<String> {
    let output = Command::new(PROGRAM)
        .args(["trace", text(&ended["metadata"]["name"])?, "-n", place.release.steps.name(), "-o", format])
        .args(["--color", if env::var_os(DEMO).is_some() && stderr().is_terminal() { "always" } else { "never" }])
        .arg("--kubeconfig")
        .arg(place.cluster.dir().join("admin.kubeconfig"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// To somebody at a terminal: the waterfall, where the rest is, and a shell from which all of it can be reached.
fn show(place: &Place<'_>, loki: &Loki, ended: &Value, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let page = folder.join("trace.html");
    fs::write(&page, traced(place, ended, "html")?)?;
    let (name, trace) = (text(&ended["metadata"]["name"])?, trace_id(ended)?);
    eprintln!("\n{}", traced(place, ended, "table")?);
    for output in ended["status"]["outputs"]["parameters"].as_array().into_iter().flatten() {
        eprintln!("{:<14} {}", text(&output["name"])?, text(&output["value"])?);
    }
    let query = "{service_name=\"agent-steps\"} | prNumber=\"412\"";
    let (jaeger, prometheus) = (place.jaeger.url(), place.prometheus.url());
    eprintln!("\nthe same as a page   {}", page.display());
    eprintln!("in Jaeger            curl -s {jaeger}/api/traces/{trace} | jq '.data[0].spans | length'");
    eprintln!(
        "in Prometheus        curl -s '{prometheus}/api/v1/query?query=agent_step_duration_ms_count' | jq .data.result"
    );
    eprintln!(
        "in Loki              curl -sG {}/loki/api/v1/query_range --data-urlencode 'query={query}' | jq .data.result",
        loki.url()
    );
    eprintln!("in the cluster       kubectl get pods; argo get {name}; stepspan status");
    if !stdin().is_terminal() {
        say("no terminal: it ends here. At one, a shell inside can ask all of that");
        return Ok(());
    }
    let programs = folder.join("bin");
    let _ = fs::remove_dir_all(&programs);
    fs::create_dir_all(&programs)?;
    for (name, program) in
        [("kubectl", place.tools.kubectl.as_path()), ("argo", &place.tools.argo), ("stepspan", Path::new(PROGRAM))]
    {
        symlink(program, programs.join(name))?;
    }
    let mut config: Value = serde_json::from_slice(&fs::read(place.cluster.dir().join("admin.kubeconfig"))?)?;
    config["contexts"][0]["context"]["namespace"] = place.release.steps.name().into();
    let kubeconfig = folder.join("kubeconfig");
    fs::write(&kubeconfig, config.to_string())?;
    eprintln!("\nThis shell is inside of it, all of that can be typed here. `exit` ends the cluster.");
    Command::new("bash")
        .env("PATH", format!("{}:{}", programs.display(), env::var("PATH")?))
        .env("KUBECONFIG", kubeconfig)
        .status()
        .map(drop)
        .context("no shell")
}
