//! `stepspan doctor`: what it finds, and that it changes nothing.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{Shared, trial};
use crate::harness::{
    Cluster, doctor::Doctor, namespace::Namespace, stepspan::Stepspan, way::Proxy, webhook::CONFIGURATIONS,
};

/// Nothing is installed there, and what other trials have as resources does not count.
const NOWHERE: [&str; 4] = ["--release-namespace", "nowhere", "--policy", BUILT_IN];
const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/agent-steps/policy.yaml");
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1beta1";

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    let named = |name: &str, body: fn(&Cluster) -> Result<()>| trial(cluster, format!("doctor::{name}"), body);
    vec![
        named("before_install_it_asks_for_the_collector", before_install_it_asks_for_the_collector),
        named("after_install_it_sees_whether_steps_are_injected", after_install_it_sees_whether_steps_are_injected),
        named("the_release_says_policies_and_headers", the_release_says_policies_and_headers),
        named("a_quota_that_refuses_is_named", a_quota_that_refuses_is_named),
        named("a_limit_range_is_told_and_named_where_it_refuses", a_limit_range_is_told_and_named_where_it_refuses),
        named("others_that_change_pods_are_named", others_that_change_pods_are_named),
        named("argo_is_found_by_its_deployment", argo_is_found_by_its_deployment),
        named("without_rights_it_names_those_that_are_missing", without_rights_it_names_those_that_are_missing),
        named("what_cannot_be_asked_is_said", what_cannot_be_asked_is_said),
        named("a_proxy_of_the_environment_is_taken_or_spared", a_proxy_of_the_environment_is_taken_or_spared),
    ]
}

/// A Service `otel-collector` with one endpoint.
pub fn collector(namespace: &Namespace<'_>) -> Result<()> {
    let service = json!({"metadata": {"name": "otel-collector"}, "spec": {"ports": [{"name": "grpc", "port": 4317}]}});
    namespace.create_object("services", &service)?.accepted()?;
    let slice = json!({
        "metadata": {"name": "otel-collector-1", "labels": {"kubernetes.io/service-name": "otel-collector"}},
        "addressType": "IPv4", "ports": [{"name": "grpc", "port": 4317}],
        "endpoints": [{"addresses": ["10.99.0.1"], "conditions": {"ready": true}}],
    });
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", namespace.name());
    namespace.api().create(&path, &slice)?.accepted()?;
    Ok(())
}

fn with<'a>(args: &[&'a str], namespace: &'a Namespace<'_>) -> Vec<&'a str> {
    [&["-n", namespace.name()], args].concat()
}

fn before_install_it_asks_for_the_collector(cluster: &Cluster) -> Result<()> {
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = cluster.namespace("doctor", &restricted)?;
    let (doctor, own) = (Doctor::of(cluster), Some(namespace.name()));
    let args = with(&NOWHERE, &namespace);
    let examined = doctor.ask(&args)?;
    examined.expect(None, "server", "ok", "Kubernetes v1.")?;
    examined.expect(None, "nodes", "skip", "no node")?;
    examined.expect(None, "webhook", "skip", "not installed in nowhere")?;
    examined.expect(None, "policies", "ok", "agent-steps (from --policy)")?;
    examined.expect(own, "pod security", "ok", "restricted is enforced")?;
    examined.expect(own, "who else injects", "ok", "nobody")?;
    examined.expect(own, "egress", "ok", "no NetworkPolicy restricts it")?;
    examined.expect(own, "trial pod", "ok", "admitted as stepspan would make it")?;
    examined.expect(own, "endpoint", "fail", "there is no Service otel-collector")?;
    ensure!(examined.code == Some(1), "{examined}");
    let labels = json!({"app.kubernetes.io/name": "stepspan"});
    let policy = json!({"metadata": {"name": "stepspan-collector", "labels": labels},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]}});
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies", namespace.name());
    cluster.api().create(&path, &policy)?.accepted()?;
    doctor.ask(&args)?.expect(own, "egress", "fail", "stepspan-collector is the only NetworkPolicy")?;
    cluster.api().delete(&format!("{path}/stepspan-collector"))?.accepted()?;

    collector(&namespace)?;
    let examined = doctor.ask(&args)?;
    examined.expect(own, "endpoint", "ok", "1 ready")?;
    ensure!(examined.code == Some(0), "{examined}");
    ensure!(namespace.list("pods")?.is_empty(), "a pod was left");
    Ok(())
}

fn after_install_it_sees_whether_steps_are_injected(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    let other = cluster.namespace("doctor", &json!({}))?;
    collector(&namespace)?;
    let mut webhook = Stepspan::start(cluster, &namespace, None)?;
    let name = format!("stepspan-{}", namespace.name());
    let path = format!("{CONFIGURATIONS}/{name}");
    // A longer one it would tell of.
    let short = |at| json!({"op": "replace", "path": format!("/webhooks/{at}/timeoutSeconds"), "value": 5});
    cluster.api().json_patch(&path, &json!([short(0), short(1), short(2)]))?.accepted()?;
    let doctor = Doctor::of(cluster);
    let args =
        ["-n", namespace.name(), "-n", other.name(), "--release-namespace", namespace.name(), "--policy", BUILT_IN];
    let examined = doctor.ask(&args)?;
    examined.expect(None, "webhook", "ok", &name)?;
    examined.expect(None, "caBundle", "ok", "in date")?;
    examined.expect(None, "endpoints", "skip", "called by its URL")?;
    examined.expect(Some(namespace.name()), "trial pod", "ok", "injected by")?;
    examined.expect(Some(namespace.name()), "endpoint", "ok", "1 ready")?;
    examined.expect(Some(other.name()), "trial pod", "warn", "leaves this namespace out")?;

    let change = json!({"metadata": {"annotations": {"stepspan.dev/paused": "true"}}});
    cluster.api().merge_patch(&path, &change)?.accepted()?;
    doctor.ask(&args)?.expect(None, "webhook", "warn", "is paused")?;
    let change = json!({"metadata": {"annotations": {"stepspan.dev/paused": null}}});
    cluster.api().merge_patch(&path, &change)?.accepted()?;

    webhook.kill();
    let examined = doctor.ask(&args)?;
    examined.expect(Some(namespace.name()), "trial pod", "fail", "did not reach the webhook")?;
    ensure!(examined.code == Some(1), "{examined}");
    Ok(())
}

fn the_release_says_policies_and_headers(cluster: &Cluster) -> Result<()> {
    let (home, steps) = (cluster.namespace("doctor", &json!({}))?, cluster.namespace("doctor", &json!({}))?);
    collector(&home)?;
    let policy = format!(
        "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: ours}}\nspec:\n  otlp:\n    \
         endpoint: http://otel-collector.{}.svc:4317\n    \
         headersFrom: [{{name: authorization, secretKeyRef: {{name: otlp, key: token}}}}]\n",
        home.name()
    );
    let map = |name: &str, data: Value| json!({"metadata": {"name": name, "labels": {"app.kubernetes.io/name": "stepspan"}}, "data": data});
    let context = json!({"injector": {"image": "registry.example/stepspan:9"}}).to_string();
    home.create_object("configmaps", &map("stepspan", json!({"context.json": context})))?.accepted()?;
    let broken =
        "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: broken}\nspec: {enviroment: x}\n";
    let data = json!({"ours.yaml": policy, "broken.yaml": broken});
    home.create_object("configmaps", &map("stepspan-policies", data))?.accepted()?;

    let (doctor, own) = (Doctor::of(cluster), Some(steps.name()));
    let args = ["-n", steps.name(), "--release-namespace", home.name()];
    let examined = doctor.ask(&args)?;
    examined.expect(None, "policies", "ok", "(2 in ConfigMap stepspan-policies")?;
    examined.expect(None, "policies", "fail", "stepspan-policies/broken.yaml:4:8: spec.enviroment")?;
    examined.expect(own, "endpoint", "ok", &format!("Service otel-collector.{}, 1 ready", home.name()))?;
    examined.expect(own, "headers", "warn", "there is no Secret otlp")?;

    let secret = |key: &str| json!({"metadata": {"name": "otlp"}, "stringData": {key: "worth a lot"}});
    steps.create_object("secrets", &secret("other"))?.accepted()?;
    doctor.ask(&args)?.expect(own, "headers", "warn", "has no key token")?;
    cluster.api().merge_patch(&steps.path("secrets/otlp"), &secret("token"))?.accepted()?;
    let examined = doctor.ask(&args)?;
    examined.expect(own, "headers", "ok", "Secret otlp: token")?;
    ensure!(!examined.to_string().contains("worth a lot"), "a secret is in the output: {examined}");
    Ok(())
}

fn a_quota_that_refuses_is_named(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    collector(&namespace)?;
    let (doctor, own) = (Doctor::of(cluster), Some(namespace.name()));
    let args = with(&NOWHERE, &namespace);
    namespace.create_quota("compute", &json!({"hard": {"requests.cpu": "1"}}), &json!({}))?;
    let examined = doctor.ask(&args)?;
    examined.expect(own, "quota", "ok", "compute: requests.cpu 0 of 1")?;
    examined.expect(own, "trial pod", "warn", "by the ResourceQuota compute: failed quota: compute: must specify")?;
    examined.expect(own, "trial pod", "ok", "admitted as stepspan would make it")?;
    ensure!(examined.code == Some(0), "{examined}");

    namespace.create_quota("none", &json!({"hard": {"pods": "0"}}), &json!({"requests": {"cpu": "1m"}}))?;
    let examined = doctor.ask(&args)?;
    examined.expect(own, "quota", "warn", "none is used up: pods 0 of 0")?;
    examined.expect(own, "trial pod", "fail", "refused, with or without stepspan, by the ResourceQuota")?;
    ensure!(examined.code == Some(1), "{examined}");
    Ok(())
}

fn a_limit_range_is_told_and_named_where_it_refuses(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    collector(&namespace)?;
    let (doctor, own) = (Doctor::of(cluster), Some(namespace.name()));
    let args = with(&NOWHERE, &namespace);
    let range = |name: &str, limit: Value| {
        let range = json!({"metadata": {"name": name}, "spec": {"limits": [limit]}});
        namespace.create_object("limitranges", &range)?.accepted()
    };
    range("most", json!({"type": "Container", "max": {"memory": "1Gi"}, "default": {"memory": "64Mi"}}))?;
    let examined = doctor.ask(&args)?;
    examined.expect(
        own,
        "limit range",
        "ok",
        "at most memory 1Gi, by default memory 64Mi, limit by default memory 64Mi",
    )?;
    examined.expect(own, "trial pod", "ok", "admitted as stepspan would make it")?;
    // Of a whole pod no default is made: whoever says nothing is refused.
    range("pods", json!({"type": "Pod", "max": {"cpu": "1"}}))?;
    let examined = doctor.ask(&args)?;
    examined.expect(own, "trial pod", "warn", "maximum cpu usage per Pod is 1")?;
    Ok(())
}

fn others_that_change_pods_are_named(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    collector(&namespace)?;
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name()}});
    let name = |stem: &str| format!("{stem}-{}", namespace.name());
    let configuration = |stem: &str| {
        json!({"metadata": {"name": name(stem)}, "webhooks": [{
            "name": "pods.example.dev", "clientConfig": {"url": "https://127.0.0.1:1/"}, "failurePolicy": "Ignore",
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1, "namespaceSelector": here,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        }]})
    };
    let api = cluster.api();
    for stem in ["istio-sidecar-injector", "vault-secrets-webhook"] {
        api.create(CONFIGURATIONS, &configuration(stem))?.accepted()?;
    }
    let policy = json!({"metadata": {"name": name("label")}, "spec": {
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]},
        "failurePolicy": "Ignore", "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration":
            {"expression": "Object{metadata: Object.metadata{labels: {'seen': 'true'}}}"}}]}});
    let binding = json!({"metadata": {"name": name("label")}, "spec":
        {"policyName": name("label"), "matchResources": {"namespaceSelector": here}}});
    api.create(&format!("{ADMISSION}/mutatingadmissionpolicies"), &policy)?.accepted()?;
    api.create(&format!("{ADMISSION}/mutatingadmissionpolicybindings"), &binding)?.accepted()?;

    let examined = Doctor::of(cluster).ask(&with(&NOWHERE, &namespace));
    for stem in ["istio-sidecar-injector", "vault-secrets-webhook"] {
        api.delete(&format!("{CONFIGURATIONS}/{}", name(stem)))?.accepted()?;
    }
    api.delete(&format!("{ADMISSION}/mutatingadmissionpolicybindings/{}", name("label")))?.accepted()?;
    api.delete(&format!("{ADMISSION}/mutatingadmissionpolicies/{}", name("label")))?.accepted()?;
    let (examined, own) = (examined?, Some(namespace.name()));
    examined.expect(own, "who else injects", "warn", "Bank-Vaults (vault-secrets-webhook-")?;
    examined.expect(own, "who else injects", "ok", "Istio (istio-sidecar-injector-")?;
    examined.expect(own, "who else injects", "ok", &format!("MutatingAdmissionPolicy {}", name("label")))?;
    Ok(())
}

fn argo_is_found_by_its_deployment(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    let labels = json!({"app": "workflow-controller"});
    let image = "registry.example/argoproj/workflow-controller:v3.7.3";
    let deployment = json!({"metadata": {"name": "workflow-controller", "labels": labels}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [
            {"name": "workflow-controller", "image": image, "args": ["--executor-image", "registry.example/e:v3.7.3"]}]}}}});
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", namespace.name());
    cluster.api().create(&path, &deployment)?.accepted()?;
    let examined = Doctor::of(cluster).ask(&with(&NOWHERE, &namespace))?;
    let found = format!("3.7 in {}/workflow-controller, executor registry.example/e:v3.7.3", namespace.name());
    examined.expect(None, "argo", "ok", &found)?;
    examined.expect(None, "argo retries", "ok", "TRANSIENT_ERROR_PATTERN is not set")?;
    cluster.api().delete(&format!("{path}/workflow-controller"))?.accepted()?;

    let workflow = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "waiting"},
        "spec": {"suspend": true, "entrypoint": "x", "templates": [{"name": "x", "suspend": {}}]}});
    namespace.create_object("workflows", &workflow)?.accepted()?;
    let examined = Doctor::of(cluster).ask(&NOWHERE)?;
    // Other trials have workflows too, and ten namespaces are looked at.
    let found = examined.of(None, "namespaces").first().map(|it| it["found"].to_string()).unwrap_or_default();
    ensure!(found.contains(namespace.name()) || found.contains("10 of "), "{examined}");
    Ok(())
}

fn without_rights_it_names_those_that_are_missing(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("doctor", &json!({}))?;
    namespace.create_object("serviceaccounts", &json!({"metadata": {"name": "nobody"}}))?.accepted()?;
    let token = namespace.token_of("nobody")?;
    let doctor = Doctor::by(cluster.write_kubeconfig(&format!("nobody-{}", namespace.name()), &token)?);
    let examined = doctor.ask(&with(&NOWHERE[..2], &namespace))?;
    let own = namespace.name();
    for (of, check, right) in [
        (None, "nodes", "list nodes".to_owned()),
        (None, "argo", "list deployments.apps".into()),
        (None, "step pods", "list pods".into()),
        (None, "webhook", "list mutatingwebhookconfigurations.admissionregistration.k8s.io".into()),
        (None, "policies", "list configmaps in nowhere".into()),
        (Some(own), "quota", format!("list resourcequotas in {own}")),
        (Some(own), "limit range", format!("list limitranges in {own}")),
        (Some(own), "pod security", "get namespaces".into()),
        (Some(own), "egress", format!("list networkpolicies.networking.k8s.io in {own}")),
        (Some(own), "trial pod", format!("create pods in {own}")),
        (Some(own), "endpoint", format!("get services in {own}")),
    ] {
        examined.expect(of, check, "skip", &format!("no right to {right}"))?;
    }
    ensure!(examined.code == Some(0), "{examined}");
    // Which namespaces hold workflows is not to be seen either.
    doctor.ask(&NOWHERE)?.expect(None, "namespaces", "skip", "no right to list")
}

fn a_proxy_of_the_environment_is_taken_or_spared(cluster: &Cluster) -> Result<()> {
    let (doctor, proxy) = (Doctor::of(cluster), Proxy::start(cluster.runtime())?);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let asked = |url: &str, spared: &str| -> Result<(Option<i32>, String)> {
        let mut command = doctor.command(&["-n", "default", NOWHERE[0], NOWHERE[1]]);
        let output = command.env("HTTPS_PROXY", url).env("NO_PROXY", spared).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (code, said) = asked(&url, "")?;
    ensure!(code != Some(2) && proxy.connected() > 0, "{code:?}, {} connections: {said}", proxy.connected());
    let before = proxy.connected();
    let (code, said) = asked("http://127.0.0.1:1", "localhost,127.0.0.0/8")?;
    ensure!(code != Some(2), "{said}");
    let (code, said) = asked("socks5://127.0.0.1:1", "")?;
    ensure!(code == Some(2) && said.contains("a proxy of kind socks5 (proxy-url, or HTTPS_PROXY)"), "{said}");
    ensure!(proxy.connected() == before, "by the first proxy");
    Ok(())
}

fn what_cannot_be_asked_is_said(cluster: &Cluster) -> Result<()> {
    let said = |doctor: &Doctor, args: &[&str]| -> Result<String> {
        let output = doctor.command(args).output()?;
        ensure!(output.status.code() == Some(2), "exit {:?}", output.status.code());
        ensure!(output.stdout.is_empty(), "something is on stdout");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let stranger = Doctor::by(cluster.write_kubeconfig("stranger", "no-such-token")?);
    let text = said(&stranger, &[])?;
    ensure!(text.contains("it does not know you") && text.contains("hint: check --kubeconfig"), "{text}");
    let text = said(&Doctor::of(cluster), &["--context-name", "none"])?;
    ensure!(text.contains("none"), "{text}");
    let examined = Doctor::of(cluster).ask(&["-n", "not-there", NOWHERE[0], NOWHERE[1]])?;
    examined.expect(Some("not-there"), "namespace", "fail", "there is no namespace not-there")
}
