//! Law 8 on the real API server: a pod that it admits without us it admits with us. And the YAML that we print is read by it as
//! what it was.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use stepspan::{
    admission::{Reviewed, review},
    context::Context as Facts,
    patch,
    policy::{PolicySet, compile::Rules, load::PolicyFile},
    yaml,
};

use super::samples::sample;
use super::{Shared, trial};
use crate::harness::{Cluster, api::YAML, namespace::Namespace};

/// Every field that writes something into a pod.
const POLICY: &str = r#"
apiVersion: stepspan.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: everything}
spec:
  correlation:
    repo: {from: [{label: repo}, {annotation: hostile}, {env: REPO}], label: repo-of}
    long: {from: [{annotation: long}], label: long, annotation: long-value}
    hostile: {from: [{annotation: hostile}], label: hostile}
  otlp:
    endpoint: https://collector.example:4317
    caBundle: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    headersFrom: [{name: authorization, secretKeyRef: {name: otlp, key: token}}]
  env: {set: [{name: OTEL_PROPAGATORS, value: "tracecontext,$(HOME)", onConflict: override}]}
  labels: {team: build}
  annotations: {note: "costs $5"}
  initContainer: {position: first}
"#;

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("refusal::{name}"), body);
    vec![
        named("what_is_admitted_without_us_is_admitted_with_us", what_is_admitted_without_us_is_admitted_with_us),
        named("a_quota_for_pods_with_requests_counts_no_other", a_quota_for_pods_with_requests_counts_no_other),
        named("the_yaml_we_print_is_read_as_what_it_was", the_yaml_we_print_is_read_as_what_it_was),
    ]
}

/// A change of a pod, named.
type Variant = (&'static str, fn(&mut Value));

const VARIANTS: [Variant; 9] = [
    ("as recorded", |_| {}),
    ("hostile values", |pod| {
        pod["metadata"]["annotations"]["hostile"] = json!("$(TOKEN)\n\"'\\{{x}}<b>\u{7f}é");
        pod["metadata"]["annotations"]["long"] = json!("x/y ".repeat(5_000));
    }),
    ("annotations nearly full", |pod| {
        let used = pod["metadata"]["annotations"].to_string().len();
        pod["metadata"]["annotations"]["filler"] = json!("f".repeat(256 * 1024 - used - 20));
    }),
    ("own resources", |pod| {
        each_container(pod, &|c| {
            c["resources"] =
                json!({"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}});
        });
    }),
    ("limits of one, requests of another", |pod| {
        let mut n = 0;
        for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
            n += 1;
            container["resources"] =
                if n % 2 == 0 { json!({"limits": {"cpu": "60m"}}) } else { json!({"requests": {"cpu": "90m"}}) };
        }
    }),
    ("restricted", |pod| {
        pod["spec"]["securityContext"] =
            json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
        each_container(pod, &|c| {
            c["securityContext"] = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        });
    }),
    ("our names taken", |pod| {
        if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
            volumes.push(json!({"name": "stepspan", "emptyDir": {}}));
        }
    }),
    ("our mount path taken", |pod| {
        each_container(pod, &|c| {
            if let Some(mounts) = c["volumeMounts"].as_array_mut() {
                mounts.push(json!({"name": "var-run-argo", "mountPath": "/stepspan", "subPath": "x"}));
            }
        });
    }),
    ("our init container's name taken", |pod| {
        if let Some(all) = pod["spec"]["initContainers"].as_array_mut() {
            all.push(json!({"name": "stepspan-init", "image": "registry.example/x:1"}));
        }
    }),
];

fn what_is_admitted_without_us_is_admitted_with_us(cluster: &Cluster) -> Result<()> {
    let source = cluster.namespace("law8", &json!({}))?;
    let mut pods = Vec::new();
    for stem in ["dag", "container-set", "script", "sidecar", "daemon", "resource", "retry"] {
        let ended = sample(stem)?.run(&source)?;
        pods.extend(source.pods(&ended)?);
    }
    pods.extend(of_other_layouts()?);
    let everything =
        PolicySet::from_files(&[PolicyFile { name: "everything".into(), text: POLICY.into() }], &Rules::default())?;
    let policies = [PolicySet::embedded(&Rules::default())?, everything];
    for (namespace, least) in namespaces(cluster)? {
        let mut admitted = 0;
        for (variant, change) in VARIANTS {
            for pod in &pods {
                let mut pod = fresh(pod);
                change(&mut pod);
                for set in &policies {
                    admitted += usize::from(
                        judge(&namespace, &pod, set).with_context(|| format!("{} {variant}", namespace.name()))?,
                    );
                }
            }
        }
        ensure!(
            admitted >= least,
            "{}: only {admitted} pods were admitted and injected: nothing was proven",
            namespace.name()
        );
        eprintln!("cluster: {} admitted {admitted} injected pods", namespace.name());
    }
    Ok(())
}

/// Pods in the shape of a 4.1 controller, which cannot be run here: with and without an init container.
fn of_other_layouts() -> Result<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/laws/pods");
    let mut pods = Vec::new();
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let mut pod: Value = serde_json::from_slice(&fs::read(path)?)?;
        for field in ["serviceAccount", "serviceAccountName"] {
            pod["spec"][field] = json!("workflow");
        }
        // What the API server computes itself it refuses where it is not what it would compute.
        for field in ["priority", "preemptionPolicy", "nodeName"] {
            pod["spec"].as_object_mut().context("a pod without a spec")?.remove(field);
        }
        pods.push(pod);
    }
    Ok(pods)
}

/// Whether the pod was admitted without us and patched; then it must be admitted with us too.
fn judge(namespace: &Namespace<'_>, pod: &Value, policies: &PolicySet) -> Result<bool> {
    let without = namespace.create_object("pods?dryRun=All", pod)?;
    let reviewed = reviewed(pod, namespace.name(), policies)?;
    if !without.is_success() || reviewed.patch.is_empty() {
        return Ok(false);
    }
    let mut patched = pod.clone();
    patch::apply(&mut patched, &reviewed.patch).map_err(|path| anyhow::anyhow!("{path} does not apply"))?;
    let with = namespace.create_object("pods?dryRun=All", &patched)?;
    ensure!(with.is_success(), "{}\n{:#?}", with.message(), reviewed.patch);
    Ok(true)
}

fn reviewed(pod: &Value, namespace: &str, policies: &PolicySet) -> Result<Reviewed> {
    let request = json!({
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": namespace, "operation": "CREATE", "object": pod,
    });
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    Ok(review(&serde_json::to_vec(&body)?, policies, &Facts::default()))
}

/// Namespaces with something to refuse, each with the least number of injected pods that must have passed it.
fn namespaces(cluster: &Cluster) -> Result<Vec<(Namespace<'_>, usize)>> {
    let plain = cluster.namespace("law8-plain", &json!({}))?;
    let limited = cluster.namespace("law8-limits", &json!({}))?;
    let limits = json!([
        {"type": "Container", "default": {"cpu": "100m", "memory": "64Mi"}, "defaultRequest": {"cpu": "20m", "memory": "16Mi"},
         "min": {"cpu": "10m", "memory": "8Mi"}, "max": {"cpu": "200m", "memory": "128Mi"}, "maxLimitRequestRatio": {"cpu": "5"}},
        {"type": "Pod", "max": {"cpu": "1", "memory": "1Gi"}},
    ]);
    limited
        .create_object("limitranges", &json!({"metadata": {"name": "all"}, "spec": {"limits": limits}}))?
        .accepted()?;
    let counted = cluster.namespace("law8-quota", &json!({}))?;
    let hard = json!({"requests.cpu": "400m", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "1Gi", "pods": "50"});
    counted.create_quota("all", &json!({"hard": hard}), &json!({}))?;
    let restricted =
        cluster.namespace("law8-restricted", &json!({"pod-security.kubernetes.io/enforce": "restricted"}))?;
    Ok(vec![(plain, 100), (limited, 80), (counted, 10), (restricted, 10)])
}

/// A pod without requests is outside a quota scoped `NotBestEffort`; an init container with requests would move it inside.
fn a_quota_for_pods_with_requests_counts_no_other(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("best-effort", &json!({}))?;
    let quota = json!({"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]});
    namespace.create_quota("none", &quota, &json!({"requests": {"cpu": "1m"}}))?;
    let ended = sample("dag")?.run(&namespace)?;
    let pods = namespace.pods(&ended)?;
    let set = PolicySet::embedded(&Rules::default())?;
    for pod in &pods {
        ensure!(judge(&namespace, &fresh(pod), &set)?, "{} was not admitted and injected", pod["metadata"]["name"]);
    }
    Ok(())
}

fn the_yaml_we_print_is_read_as_what_it_was(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("scalars", &json!({}))?;
    let numbers = json!([0, -1, 9_007_199_254_740_993_i64, i64::MAX, i64::MIN, 0.5, -2.5e-3, 1e-7, true, false, null]);
    let keyed: serde_json::Map<String, Value> =
        TEXTS.iter().filter(|t| !t.is_empty()).map(|t| ((*t).to_owned(), json!(t))).collect();
    // The samples' CRDs keep unknown fields as they are.
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "scalars"},
        "spec": {"texts": TEXTS, "numbers": numbers, "keyed": keyed, "empty": {"list": [], "map": {}}},
    });
    let mut printed = Vec::new();
    yaml::write(&object, &mut printed)?;
    let read =
        cluster.api().create_bytes(&namespace.path("workflows?dryRun=All"), YAML, printed.clone())?.accepted()?;
    let printed = String::from_utf8_lossy(&printed);
    ensure!(read["spec"] == object["spec"], "read otherwise:\n{:#}\nprinted:\n{printed}", read["spec"]);
    Ok(())
}

/// Texts that some reader of YAML takes for something else.
const TEXTS: &[&str] = &[
    "",
    " ",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "n",
    "true",
    "null",
    "~",
    "Null",
    "0777",
    "0o17",
    "0x1F",
    "0b11",
    "1_000",
    "1e3",
    "1.0",
    ".5",
    "-.inf",
    ".NaN",
    "1:20",
    "190:20:30",
    "2001-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "=",
    "<<",
    "*a",
    "&a",
    "!x",
    "- x",
    "? x",
    ": x",
    "a: b",
    "a #b",
    "#x",
    "{x",
    "[x",
    "%x",
    "@x",
    "`x",
    "'x",
    "\"x",
    "|",
    ">",
    "x\ny",
    "x\n",
    "\nx",
    "x\n\n",
    " x\ny",
    "x \n y",
    "tab\there",
    "\ttab",
    "cr\rlf\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "🚀",
    "\u{7f}",
    "trailing ",
    "---",
    "...",
    "--- x",
    "$(X)",
    "\\",
    "a\\nb",
    "key: |\n  text",
    "123456789012345678901234567890",
    "+1",
    "-0",
    "0.0",
    "1.",
];

/// A stored pod as it would be created again.
fn fresh(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(fields) = pod.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        if let Some(Value::String(name)) = metadata.get_mut("name") {
            name.push_str("-again");
        }
        for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "generation"] {
            metadata.remove(field);
        }
    }
    pod
}

fn each_container(pod: &mut Value, change: &dyn Fn(&mut Value)) {
    for field in ["initContainers", "containers"] {
        pod["spec"][field].as_array_mut().into_iter().flatten().for_each(change);
    }
}
