//! The chart as it comes: `helm install`, a workflow, `helm upgrade`, `helm uninstall`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use stepspan::{policy::crd, yaml};

use super::{
    release::{CHART, RELEASE, Release, pod, workflow},
    trial,
};
use crate::{
    cases::{Shared, certificates::is_injected, doctor, policies::DEFINITIONS},
    harness::{
        Cluster,
        api::Api,
        doctor::{Doctor, Examined},
        wait::until,
    },
};

const LIMIT: Duration = Duration::from_mins(4);

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, alone: bool, body: fn(&Cluster) -> Result<()>| {
        trial(cluster, format!("node::install::{name}"), alone, body)
    };
    vec![
        // How long the first trace takes is measured: nothing else runs meanwhile.
        named("from_nothing_to_a_trace_and_back", true, from_nothing_to_a_trace_and_back),
        named("only_whom_and_where_the_values_say", false, only_whom_and_where_the_values_say),
    ]
}

/// Namespaces by label, and pods of one requester.
fn only_whom_and_where_the_values_say(cluster: &Cluster) -> Result<()> {
    let release = Release::prepare(cluster, "named")?;
    let argo = "system:serviceaccount:argo:argo";
    let requesters = format!("requesters={{{argo}}}");
    let values = ["--set", "replicas=1", "--set", "namespaces.selector.matchLabels.traced=yes", "--set", &requesters];
    release.install(&values)?;
    let (path, step) = (release.steps.path("pods?dryRun=All"), pod()?);
    let asked = |api: &Api| anyhow::Ok(is_injected(&api.create(&path, &step)?));
    let (admin, argo) = (cluster.api(), cluster.api().impersonating(argo));
    ensure!(!asked(admin)? && !asked(&argo)?, "injected in a namespace without the label");
    let namespace = format!("/api/v1/namespaces/{}", release.steps.name());
    admin.merge_patch(&namespace, &json!({"metadata": {"labels": {"traced": "yes"}}}))?.accepted()?;
    until("pods of the requester to be injected", LIMIT, || Ok(asked(&argo)?.then_some(())))?;
    ensure!(!asked(admin)?, "injected for another requester");
    release.uninstall().map(drop)
}

fn from_nothing_to_a_trace_and_back(cluster: &Cluster) -> Result<()> {
    let mut release = Release::prepare(cluster, "installed")?;
    (release.definitions, release.watched) = (true, true);
    let began = Instant::now();
    let notes = release.install(&[])?;
    for wanted in ["kubectl get pods -A -l workflows.argoproj.io/workflow", "links: |", "${workflow.metadata.uid}"] {
        ensure!(notes.contains(wanted), "no {wanted} in the notes: {notes}");
    }
    let ready = began.elapsed();
    release.until_in_force()?;
    the_doctor_finds_nothing_wrong_with_it(cluster, &release)?;

    let traced = release.traced("first")?;
    eprintln!(
        "cluster: helm install was ready after {:.1} s, the first workflow traced after {:.1} s",
        ready.as_secs_f32(),
        began.elapsed().as_secs_f32()
    );
    let before = release.bundles()?;
    ensure!(before.iter().all(Value::is_string), "no CA: {before:?}");
    ensure!(
        release.home.list("pods")?.iter().all(|pod| !pod.to_string().contains("stepspan-init")),
        "the webhook injected itself"
    );

    // A render knows nothing of the bundle, and leaves it.
    release.upgrade(&["--set", "environment=prod"])?;
    ensure!(release.bundles()? == before, "an upgrade changed the caBundle");
    ensure!(release.traced("second")? == traced, "fewer spans after the upgrade");
    rendered_by_another(cluster, &release, &before)?;
    a_wrong_policy_is_told_and_harms_nobody(&release)?;

    release.uninstall()?;
    let configuration = cluster.api().get(&release.configuration())?;
    ensure!(configuration.status == 404, "the webhook configuration is still there");
    let policies = cluster.api().get("/apis/stepspan.dev/v1alpha1/injectionpolicies")?;
    ensure!(policies.is_success(), "the definition of policies went with the release: {}", policies.message());
    let ended = workflow("third")?.run(&release.steps)?;
    let pods = release.steps.pods(&ended)?;
    ensure!(pods.iter().all(|pod| !pod.to_string().contains("stepspan")), "injected after the uninstall");
    drop(release);
    elsewhere(cluster)
}

/// A mistake in the values' policies: `helm upgrade` does not end well, the pod says why, and the replicas of before serve on.
fn a_wrong_policy_is_told_and_harms_nobody(release: &Release<'_>) -> Result<()> {
    let wrong =
        "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: wrong}\nspec: {enviroment: x}\n";
    let files = format!("policies.files={}", json!({"wrong.yaml": wrong}));
    let refused = release.helm(&["upgrade", RELEASE, CHART, "--wait", "--timeout", "15s", "--set-json", &files]);
    ensure!(refused.is_err(), "an upgrade with a wrong policy went well");
    let said = until("a pod to say why it ends", LIMIT, || {
        let pods = release.home.list("pods?labelSelector=app.kubernetes.io/component%3Dwebhook")?;
        let states = pods.iter().map(|pod| &pod["status"]["containerStatuses"][0]);
        let mut messages = states.flat_map(|status| [&status["state"], &status["lastState"]]);
        Ok(messages.find_map(|state| state["terminated"]["message"].as_str().map(str::to_owned)))
    })
    .with_context(|| release.state())?;
    ensure!(said.contains("wrong.yaml:4") && said.contains("enviroment"), "{said}");
    ensure!(release.traced("beside-a-wrong-policy").is_ok(), "the replicas of before do not serve on");
    // The next upgrade would leave the file in the ConfigMap: Helm takes away only what the last good revision had.
    release.helm(&["rollback", RELEASE, "--wait", "--timeout", "6m"])?;
    let path = release.home.path("configmaps/stepspan-policies");
    let left = release.home.api().get(&path)?.accepted()?["data"].take();
    ensure!(left["wrong.yaml"].is_null() && left["agent-steps.yaml"].is_string(), "{left}");
    release.until_in_force()
}

/// What a controller that keeps a cluster as a repository says does every few minutes: a render, applied by the server and by force.
fn rendered_by_another(cluster: &Cluster, release: &Release<'_>, bundles: &[Value]) -> Result<()> {
    let rendered = release.helm(&["template", RELEASE, CHART, "--set", "environment=staging"])?;
    let mut applied = 0;
    for document in yaml::documents(rendered.as_bytes()) {
        let object = document?.read()?;
        let path = match object["kind"].as_str() {
            Some("MutatingWebhookConfiguration") => release.configuration(),
            Some("ConfigMap" | "Secret") => {
                let kind = if object["kind"] == "Secret" { "secrets" } else { "configmaps" };
                release.home.path(&format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default()))
            }
            // Argo CD, for one, leaves Leases out.
            _ => continue,
        };
        for _ in 0..2 {
            cluster.api().apply(&path, serde_json::to_vec(&object)?)?.accepted()?;
        }
        applied += 1;
    }
    ensure!(applied >= 4, "only {applied} objects of the render were applied:\n{rendered}");
    ensure!(release.bundles()? == bundles, "a render applied by another changed the caBundle");
    let secret = cluster.api().get(&release.home.path("secrets/stepspan-tls"))?.accepted()?;
    ensure!(secret["data"].as_object().is_some_and(|data| data.len() >= 3), "the keys are gone from the Secret");
    release.until_in_force()?;
    ensure!(release.traced("applied").is_ok(), "not traced after the render was applied");
    Ok(())
}

/// The definition that one release left, in the way of another: one that leaves it alone, until it takes it over.
fn elsewhere(cluster: &Cluster) -> Result<()> {
    let mut release = Release::prepare(cluster, "elsewhere")?;
    release.install(&[])?;
    release.until_in_force()?;
    release.definitions = true;
    let refused = release.upgrade(&[]).err().context("the other release's definition was taken without a word")?;
    ensure!(format!("{refused:#}").contains("invalid ownership metadata"), "{refused:#}");
    release.upgrade(&["--take-ownership"])?;
    ensure!(release.traced("elsewhere")? > 0, "not traced");
    let definition = cluster.api().get(&format!("{DEFINITIONS}/{}", crd::NAME))?.accepted()?;
    let owner = &definition["metadata"]["annotations"]["meta.helm.sh/release-namespace"];
    ensure!(owner == release.home.name(), "the definition is of {owner}");
    release.uninstall().map(drop)
}

/// The name server knows every name of a Collector; the doctor wants a Service too.
fn the_doctor_finds_nothing_wrong_with_it(cluster: &Cluster, release: &Release<'_>) -> Result<()> {
    doctor::collector(&release.steps)?;
    let (home, steps) = (release.home.name(), Some(release.steps.name()));
    let expected = [
        (None, "webhook", "failurePolicy Ignore"),
        (None, "caBundle", "in date on every webhook"),
        (None, "endpoints", "2 ready"),
        (None, "replicas", "stepspan: 2 of 2 ready"),
        (None, "certificate", "trusted by every webhook, 89 days left"),
        (None, "breaker", "closed"),
        (None, "policies", "agent-steps (1 in ConfigMap stepspan-policies)"),
        (steps, "trial pod", "admitted, and injected by stepspan-"),
        (steps, "endpoint", "1 ready"),
    ];
    let content = |examined: &Examined| -> Result<()> {
        expected.iter().try_for_each(|(namespace, check, found)| examined.expect(*namespace, check, "ok", found))?;
        ensure!(examined.code == Some(0), "{examined}");
        Ok(())
    };
    // What the cluster says of replicas and endpoints comes a moment after they are ready.
    let mut last = Ok(());
    let done = until("the doctor to find nothing wrong", LIMIT, || {
        let examined = Doctor::of(cluster).ask(&["-n", release.steps.name(), "--release-namespace", home])?;
        last = content(&examined);
        Ok(last.is_ok().then_some(()))
    });
    last.and(done)
}
