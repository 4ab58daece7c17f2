//! The chart on a real cluster: `helm install`, a workflow, `helm upgrade`, `helm uninstall`.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{Sample, expected, samples, trial};
use crate::{
    cases::Shared,
    harness::{Cluster, known::Known, namespace::Namespace, wait::until, webhook::CONFIGURATIONS},
};

const CHART: &str = "charts/stepspan";
/// As the chart names it.
const RELEASE: &str = "stepspan";
const LIMIT: Duration = Duration::from_mins(1);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    // How long the first trace takes is measured: nothing else runs meanwhile.
    vec![trial(
        cluster,
        "node::install::from_nothing_to_a_trace_and_back".into(),
        true,
        from_nothing_to_a_trace_and_back,
    )]
}

/// Helm as a platform engineer calls it.
struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Helm {
    fn new(cluster: &Cluster, namespace: &Namespace<'_>) -> Result<Self> {
        let kubeconfig = cluster.dir().join("admin.kubeconfig");
        let program = Known::ask()?.program("helm", "helm")?;
        Ok(Self { program, kubeconfig, namespace: namespace.name().to_owned() })
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args).args(["--namespace", &self.namespace, "--kubeconfig"]).arg(&self.kubeconfig);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "helm {}: {said}", args.join(" "));
        Ok(said)
    }
}

fn from_nothing_to_a_trace_and_back(cluster: &Cluster) -> Result<()> {
    let home = cluster.namespace("home", &json!({"pod-security.kubernetes.io/enforce": "restricted"}))?;
    let steps = cluster.namespace("installed", &json!({}))?;
    let helm = Helm::new(cluster, &home)?;
    let include = format!("namespaces.include={{{}}}", steps.name());
    let values = ["--set", &include, "--set", "collector.endpoint=http://otel-collector:4317"];
    let began = Instant::now();
    let install = [&["install", RELEASE, CHART, "--wait", "--timeout", "2m"], &values[..]].concat();
    let notes = helm.run(&install).with_context(|| state(&home))?;
    ensure!(notes.contains("kubectl get pods -l workflows.argoproj.io/workflow"), "the notes: {notes}");
    let ready = began.elapsed();
    until_in_force(&steps)?;

    let traced = traced(cluster, &steps, "first")?;
    eprintln!(
        "cluster: helm install was ready after {:.1} s, the first workflow traced after {:.1} s",
        ready.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );
    let name = format!("{RELEASE}-{}", home.name());
    let path = format!("{CONFIGURATIONS}/{name}");
    let bundles = || -> Result<Vec<Value>> {
        let configuration = cluster.api().get(&path)?.accepted()?;
        let webhooks = configuration["webhooks"].as_array().context("no webhooks")?;
        Ok(webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect())
    };
    let before = bundles()?;
    ensure!(before.iter().all(Value::is_string), "no CA: {before:?}");
    ensure!(
        home.list("pods")?.iter().all(|pod| !pod.to_string().contains("stepspan-init")),
        "the webhook injected itself"
    );

    // A render knows nothing of the bundle, and leaves it.
    let change = ["--set", "environment=prod"];
    helm.run(&[&["upgrade", RELEASE, CHART, "--wait", "--timeout", "2m"], &values[..], &change].concat())
        .with_context(|| state(&home))?;
    ensure!(bundles()? == before, "an upgrade changed the caBundle");
    ensure!(self::traced(cluster, &steps, "second")? == traced, "fewer spans after the upgrade");

    helm.run(&["uninstall", RELEASE, "--wait", "--timeout", "2m"])?;
    ensure!(cluster.api().get(&path)?.status == 404, "the webhook configuration is still there");
    let policies = cluster.api().get("/apis/stepspan.dev/v1alpha1/injectionpolicies")?;
    ensure!(policies.is_success(), "the definition of policies went with the release: {}", policies.message());
    let ended = workflow("third")?.run(&steps)?;
    let pods = steps.pods(&ended)?;
    ensure!(pods.iter().all(|pod| !pod.to_string().contains("stepspan")), "injected after the uninstall");
    Ok(())
}

/// A webhook that is ready is called a moment later: endpoint and packet filter rule have to reach the node.
fn until_in_force(namespace: &Namespace<'_>) -> Result<()> {
    let asked = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "probe"},
        "spec": {"entrypoint": "x", "templates": [{"name": "x", "container": {"image": "x"}}]}});
    until("the API server to call the webhook", LIMIT, || {
        let reply = namespace.create_object("workflows?dryRun=All", &asked)?.accepted()?;
        Ok(reply["spec"]["podMetadata"].is_object().then_some(()))
    })
}

fn workflow(name: &str) -> Result<Sample> {
    let dag = samples()?.into_iter().find(|sample| sample.stem == "dag").context("no dag")?;
    Ok(Sample { yaml: dag.yaml.replacen("name: review-pr", &format!("name: {name}"), 1), ..dag })
}

/// Runs a workflow, and gives how many spans it left: one for each of its pods.
fn traced(cluster: &Cluster, namespace: &Namespace<'_>, name: &str) -> Result<usize> {
    let ended = workflow(name)?.run(namespace)?;
    let pods = namespace.pods(&ended)?;
    let missed: Vec<_> = pods.iter().filter(|pod| !pod.to_string().contains("stepspan-init")).collect();
    ensure!(missed.is_empty(), "{} of {} pods were missed", missed.len(), pods.len());
    Ok(expected::arrived(cluster, &expected::trace_id(&ended)?, pods.len())?.len())
}

/// What an engineer would look at first.
fn state(home: &Namespace<'_>) -> String {
    let pods = home.list("pods").unwrap_or_default();
    let events = home.list("events").unwrap_or_default();
    let said = |event: &Value| format!("{}: {}", event["reason"], event["message"]);
    let pods: Vec<String> = pods.iter().map(|pod| pod["status"].to_string()).collect();
    format!("pods: {}\nevents: {}", pods.join("\n"), events.iter().map(said).collect::<Vec<_>>().join("\n"))
}
