//! Where a step is meant to differ with us, and what there is of ours in it.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{expected, parity, trial};
use crate::{
    cases::Shared,
    harness::{
        Cluster,
        ids::trace_id,
        namespace::{Namespace, describe},
        stepspan::Stepspan,
    },
};

const BUSYBOX: &str = "localhost/busybox:1";
/// As the webhook names it.
const IMAGE: &str = concat!("stepspan/stepspan:", env!("CARGO_PKG_VERSION"));

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named =
        |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("node::different::{name}"), false, body);
    vec![
        named("parts_of_a_script_are_spans_below_the_step_s", parts_of_a_script_are_spans_below_the_step_s),
        named("the_image_runs_both_its_programs", the_image_runs_both_its_programs),
        named("a_command_that_is_not_there_ends_with_127", a_command_that_is_not_there_ends_with_127),
    ]
}

fn workflow(image: &str, command: &Value) -> String {
    let spec = json!({"serviceAccountName": "workflow", "entrypoint": "step", "templates": [{
        "name": "step",
        "container": {"image": image, "imagePullPolicy": "IfNotPresent", "command": command},
    }]});
    format!("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: different}}\nspec: {spec}\n")
}

fn parts_of_a_script_are_spans_below_the_step_s(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("parts", &json!({}))?;
    let _stepspan = Stepspan::start(cluster, &namespace, Some(&parity::patient_policy()))?;
    let script =
        "\"$STEPSPAN\" run --name build -- true && \"$STEPSPAN\" run --name test -- sh -c 'exit 4'; test $? = 4";
    let ended = run(&namespace, (BUSYBOX, &json!(["sh", "-c", script])), "Succeeded")?;
    let trace = trace_id(&ended)?;
    let spans = expected::arrived(cluster, &trace, 3)?;
    let of = |name: &str| spans.iter().find(|span| span.name() == name).with_context(|| format!("no span {name}"));
    let step = &of("step/step")?.span;
    for (name, failed) in [("build", false), ("test", true)] {
        let part = of(name)?;
        ensure!(part.span["parentSpanId"] == step["spanId"], "{name} is not below the step: {:#}", part.span);
        ensure!((part.span["status"]["code"] == 2) == failed, "{name}: {:#}", part.span["status"]);
        ensure!(part.attributes()["workflowName"] == "different", "{name}: {:#}", part.attributes());
    }
    Ok(())
}

/// The init container runs one of them in every injected pod; here the other one is the step.
fn the_image_runs_both_its_programs(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("image", &json!({}))?;
    let _stepspan = Stepspan::start(cluster, &namespace, None)?;
    let ended = run(&namespace, (IMAGE, &json!(["/bin/stepspan", "schema"])), "Succeeded")?;
    let pods = namespace.pods(&ended)?;
    let pod = pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).context("no pod")?;
    let log = cluster.node()?.logs(namespace.name(), pod, "main")?;
    ensure!(log.contains("InjectionPolicy (stepspan.dev/v1alpha1)"), "no schema:\n{log}");
    Ok(())
}

/// Argo's executor ends with 64 where it does not find the command. Behind the shim it finds one, and the shim ends as a shell
/// would (docs/shim.md). The step fails either way.
fn a_command_that_is_not_there_ends_with_127(cluster: &Cluster) -> Result<()> {
    for (stem, with, code) in [("not-found", false, "64"), ("not-found-traced", true, "127")] {
        let namespace = cluster.namespace(stem, &json!({}))?;
        let _stepspan = if with { Some(Stepspan::start(cluster, &namespace, None)?) } else { None };
        let ended = run(&namespace, (BUSYBOX, &json!(["no-such-program"])), "Failed")?;
        let nodes = ended["status"]["nodes"].as_object().context("no nodes")?;
        let exit = &nodes.values().next().context("no node")?["outputs"]["exitCode"];
        ensure!(exit == code, "exit code {exit} instead of {code}\n{}", describe(&ended));
    }
    Ok(())
}

fn run(namespace: &Namespace<'_>, (image, command): (&str, &Value), phase: &str) -> Result<Value> {
    namespace.run(&workflow(image, command), phase)
}
