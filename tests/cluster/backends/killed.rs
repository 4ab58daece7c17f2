//! Steps that are ended in every way there is: each is an error with its reason, whether its shim could speak or not; counters are Argo's.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    check::{NAMES, argo_counts, commands_in, counted, node, of_node, whole},
    place::{Place, Teller},
    shown::Span,
};
use crate::{
    cases::watch::text,
    harness::{
        Cluster,
        ids::trace_id,
        namespace::{Namespace, describe},
        wait::until,
    },
    node::harm::{KNOWN, beside, kill, pod_of, process},
};

const LIMIT: Duration = Duration::from_mins(4);
pub const HARM: &str = include_str!("workflows/harm.yaml");
/// Steps that end only when somebody ends them, and how long they would sleep.
const WAITING: [(&str, &str); 6] = [
    ("told-to-end", "98771"),
    ("killed", "98772"),
    ("all-killed", "98773"),
    ("deleted", "98774"),
    ("evicted", "98775"),
    ("lost", "98776"),
];
/// Of them, and of all steps, those whose shim cannot say a word.
pub const SILENT: [&str; 2] = ["all-killed", "lost"];

pub fn each_is_told_as_what_it_was(cluster: &Cluster) -> Result<()> {
    let place = Place::furnished(cluster, "killed", &Teller::Watch)?;
    let submitted = place.release.steps.submit(HARM)?;
    do_harm(&place.release.steps)?;
    let ended = place.release.steps.wait_end(&submitted)?;
    // Of 11 runs (three attempts) all but the silent ones tell of themselves.
    let spans = whole(&place.jaeger, &ended, 11 - SILENT.len()).with_context(|| describe(&ended))?;
    each_has_its_reason(&ended, &spans)?;
    attempts_are_linked(&ended, &spans)?;
    let events = &of_node(&spans, &ended, node(&ended, "fine")?)?.events;
    for name in ["pod.scheduled", "pod.initialized", "container.started", "container.ended"] {
        ensure!(events.iter().any(|event| event == name), "no {name} in {events:?}");
    }
    prometheus_has_the_same(&place, &ended)?;
    place.end()
}

/// Ends them, each in its way, once all of them run and the controller knows it.
pub fn do_harm(namespace: &Namespace<'_>) -> Result<()> {
    until("the controller to know that all run", LIMIT, || {
        let workflow = namespace.api().get(&namespace.path("workflows/harm"))?.accepted()?;
        let runs = |name: &str| node(&workflow, name).is_ok_and(|node| node["phase"] == "Running");
        Ok(WAITING.iter().all(|(name, _)| runs(name)).then_some(()))
    })?;
    thread::sleep(KNOWN);
    let command = |step: &str| {
        let (_, seconds) = WAITING.iter().find(|(name, _)| *name == step).context("no such step")?;
        until("the command to run", LIMIT, || process(seconds))
    };
    kill(command("told-to-end")?, Signal::TERM)?;
    kill(command("killed")?, Signal::KILL)?;
    for step in SILENT {
        let processes = beside(command(step)?)?;
        // Held first, all of them: none sees another's end, or hears that it is to end.
        for id in &processes {
            kill(*id, Signal::STOP)?;
        }
        // A node that is lost says nothing more of its pods: they are taken from the list by force.
        if step == "lost" {
            let path = namespace.path(&format!("pods/{}", pod_of(namespace, step)?));
            namespace.api().delete(&format!("{path}?gracePeriodSeconds=0"))?.accepted()?;
        }
        for id in processes {
            kill(id, Signal::KILL)?;
        }
    }
    let deleted = namespace.path(&format!("pods/{}", pod_of(namespace, "deleted")?));
    namespace.api().delete(&format!("{deleted}?gracePeriodSeconds=5"))?.accepted()?;
    let pod = pod_of(namespace, "evicted")?;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod},
        "deleteOptions": {"gracePeriodSeconds": 5}});
    namespace.create_object(&format!("pods/{pod}/eviction"), &eviction)?.accepted()?;
    until("their pods to be gone", LIMIT, || {
        let there = |step: &&str| pod_of(namespace, step).is_ok();
        Ok((!["deleted", "evicted", "lost"].iter().any(there)).then_some(()))
    })?;
    // The controller may have heard of it before it looks for them; it would look again twenty minutes later.
    let touched = json!({"metadata": {"annotations": {"test.stepspan.dev/touched": "true"}}});
    namespace.api().merge_patch(&namespace.path("workflows/harm"), &touched)?.accepted().map(drop)
}

fn each_has_its_reason(workflow: &Value, spans: &[Span]) -> Result<()> {
    // The runtime may hear of the end before it hears why: then neither pod nor Argo know.
    let why_is_known = text(&node(workflow, "eats-memory")?["message"])?.contains("OOMKilled");
    let eats: &[&str] = if why_is_known { &["OOMKilled"] } else { &["137"] };
    // Of those that go with their pods it depends on what the controller hears first: how the command ended, or that the pod is gone.
    let expected: [(&str, &[&str]); 8] = [
        ("told-to-end", &["143"]),
        ("killed", &["137"]),
        ("all-killed", &["137"]),
        ("deleted", &["PodDeleted", "143"]),
        ("evicted", &["Evicted", "PodDeleted", "143"]),
        ("lost", &["PodDeleted", "137"]),
        ("eats-memory", eats),
        ("fine", &["null"]),
    ];
    for (step, kinds) in expected {
        let of = node(workflow, step)?;
        let span = of_node(spans, workflow, of)?;
        let kind = span.tag("error.type");
        ensure!(kinds.contains(&kind.as_str()), "{step}: {kind}, {:#}", span.tags);
        let told = commands_in(spans, span);
        let silent = SILENT.contains(&step);
        ensure!(told.len() == usize::from(!silent), "{step}: {told:#?}");
        ensure!(told.iter().all(|span| span.is_error() == (step != "fine")), "{step}: {told:#?}");
        if step != "fine" {
            let said = span.tag("otel.status_description");
            ensure!(said == text(&of["message"])?, "{step}: {said} instead of {}", of["message"]);
        }
    }
    Ok(())
}

/// Each attempt but the first has a link to the one before.
fn attempts_are_linked(workflow: &Value, spans: &[Span]) -> Result<()> {
    let attempts = ["flaky(0)", "flaky(1)", "flaky(2)"].map(|name| of_node(spans, workflow, node(workflow, name)?));
    let [first, second, third] = attempts;
    let (first, second, third) = (first?, second?, third?);
    for (attempt, before) in [(second, first), (third, second)] {
        let link = (before.trace.clone(), before.id.clone());
        ensure!(attempt.links == [link], "{:?} of {}", attempt.links, attempt.name);
    }
    ensure!(first.links.is_empty(), "{:?}", first.links);
    let parent = of_node(spans, workflow, node(workflow, "flaky")?)?;
    ensure!([first, second, third].iter().all(|attempt| attempt.parent.as_ref() == Some(&parent.id)), "other parents");
    Ok(())
}

/// Argo's numbers under design's names by both ways, and an exemplar that leads to a trace.
fn prometheus_has_the_same(place: &Place<'_>, workflow: &Value) -> Result<()> {
    let trace = trace_id(workflow)?;
    for job in ["pods", "collector"] {
        counted(&place.prometheus, job, "harm", argo_counts(&[workflow])).with_context(|| describe(workflow))?;
        let names = place.prometheus.names(job, "agent_")?;
        ensure!(names == BTreeSet::from(NAMES.map(str::to_owned)), "{job}: {names:?}");
        let selector = format!("agent_step_duration_ms_bucket{{job=\"{job}\",repo=\"harm\"}}");
        let exemplars = until("an exemplar", LIMIT, || {
            let all = place.prometheus.exemplars(&selector)?;
            Ok((!all.is_empty()).then_some(all))
        })
        .with_context(|| job.to_owned())?;
        for (series, exemplar) in &exemplars {
            let id = exemplar["trace_id"].as_str().with_context(|| format!("{job}: {exemplar}"))?;
            ensure!(id == trace && place.jaeger.knows(id)?, "{series}: {exemplar}");
        }
        eprintln!("cluster: {job}: {} exemplars lead to the trace", exemplars.len());
    }
    Ok(())
}
