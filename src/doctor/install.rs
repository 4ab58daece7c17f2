//! Our own objects: the webhook configuration, who serves it, and what the release says of itself.

use serde_json::Value;

use super::{argo::flag, report::Finding};
use crate::{cluster::registration::PAUSED_ANNOTATION, context::Context};

/// The label of every object of the chart.
pub const LABEL: &str = "app.kubernetes.io/name=stepspan";
/// The end of our webhooks' names.
const WEBHOOKS: &str = ".stepspan.dev";

/// An install: its webhook configuration, and where it is served from.
#[derive(Debug, Clone, PartialEq)]
pub struct Install {
    /// The MutatingWebhookConfiguration.
    pub configuration: Value,
    /// Namespace and name of the Service; `None` where it is called by a URL.
    pub service: Option<(String, String)>,
}

impl Install {
    /// Whether a configuration is ours: by the chart's label, or by its name for `release`, the namespace asked for.
    pub fn of(configuration: &Value, release: Option<&str>) -> Option<Self> {
        let metadata = &configuration["metadata"];
        let labelled = metadata["labels"]["app.kubernetes.io/name"] == "stepspan";
        let named = release.is_some_and(|release| metadata["name"] == format!("stepspan-{release}"));
        let mut webhooks = configuration["webhooks"].as_array().into_iter().flatten();
        let ours = webhooks.clone().any(|w| w["name"].as_str().is_some_and(|name| name.ends_with(WEBHOOKS)));
        let service = webhooks.find_map(|webhook| {
            let service = &webhook["clientConfig"]["service"];
            Some((service["namespace"].as_str()?.to_owned(), service["name"].as_str()?.to_owned()))
        });
        let there = match (release, &service) {
            (None, _) => labelled || ours,
            (Some(release), Some((namespace, _))) => (labelled || ours) && namespace == release || named,
            (Some(_), None) => named,
        };
        there.then(|| Self { configuration: configuration.clone(), service })
    }

    /// The configuration's name.
    pub fn name(&self) -> &str {
        self.configuration["metadata"]["name"].as_str().unwrap_or("?")
    }

    /// When the configuration was made.
    pub fn created(&self) -> Option<&str> {
        self.configuration["metadata"]["creationTimestamp"].as_str()
    }

    /// The name the API server calls it by.
    pub fn server_name(&self) -> Option<String> {
        self.service.as_ref().map(|(namespace, name)| format!("{name}.{namespace}.svc"))
    }

    /// The webhooks.
    pub fn webhooks(&self) -> impl Iterator<Item = &Value> + Clone {
        self.configuration["webhooks"].as_array().into_iter().flatten()
    }

    /// The one that is asked about pods.
    pub fn pods(&self) -> Option<&Value> {
        self.webhooks().find(|webhook| webhook["name"] == "pods.stepspan.dev")
    }

    /// An operator has paused injection.
    pub fn paused(&self) -> bool {
        self.configuration["metadata"]["annotations"][PAUSED_ANNOTATION] == "true"
    }

    /// A webhook of it refuses what it is asked about while it is away.
    pub fn fails_closed(&self) -> bool {
        let ours = |w: &&Value| w["name"] == "pods.stepspan.dev" || w["name"] == "workflows.stepspan.dev";
        // Absent is Fail (`k8s.io/api/admissionregistration/v1`).
        self.webhooks().filter(ours).any(|webhook| webhook["failurePolicy"] != "Ignore")
    }
}

/// The configuration itself.
pub fn judge_configuration(install: &Install) -> Vec<Finding> {
    const CHECK: &str = "webhook";
    let name = install.name();
    let mut findings = Vec::new();
    if install.pods().is_none() {
        let hint = "helm upgrade writes it anew";
        findings.push(Finding::fail(CHECK, format!("{name} has no webhook pods.stepspan.dev"), hint));
    }
    if install.paused() {
        let hint = format!("to go on: kubectl annotate mutatingwebhookconfiguration {name} {PAUSED_ANNOTATION}-");
        findings.push(Finding::warn(CHECK, format!("{name} is paused: nothing is injected"), hint));
    }
    if install.fails_closed() {
        let found = format!("{name} has failurePolicy Fail: while it is away, steps cannot start");
        findings.push(Finding::warn(CHECK, found, "set failurePolicy to Ignore (webhook.failurePolicy)"));
    }
    let slowest = install.webhooks().filter_map(|webhook| webhook["timeoutSeconds"].as_u64()).max().unwrap_or(10);
    if slowest > 5 {
        let found = format!("{name} may keep a pod waiting for {slowest} s");
        findings.push(Finding::warn(CHECK, found, "set timeoutSeconds to 2 (webhook.timeoutSeconds)"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("{name}, failurePolicy Ignore, at most {slowest} s")));
    }
    findings
}

/// Ready and other endpoints of a Service, and the ports they have, from its EndpointSlices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Ready ones.
    pub ready: usize,
    /// Others.
    pub unready: usize,
    /// Port numbers of the slices.
    pub ports: Vec<u64>,
}

impl Endpoints {
    /// Counts them; an endpoint whose readiness is not known counts as ready (`k8s.io/api/discovery/v1`).
    pub fn of(slices: &[Value]) -> Self {
        let mut endpoints = Self::default();
        for slice in slices {
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                let addresses = endpoint["addresses"].as_array().map_or(0, Vec::len);
                let ready = endpoint["conditions"]["ready"].as_bool().unwrap_or(true);
                *(if ready { &mut endpoints.ready } else { &mut endpoints.unready }) += addresses;
            }
            let ports = slice["ports"].as_array().into_iter().flatten();
            endpoints.ports.extend(ports.filter_map(|port| port["port"].as_u64()));
        }
        endpoints
    }
}

/// Whether anybody answers.
pub fn judge_endpoints(server_name: &str, slices: &[Value]) -> Finding {
    const CHECK: &str = "endpoints";
    match Endpoints::of(slices) {
        Endpoints { ready: 0, unready, .. } => {
            let found = format!("{server_name} has no ready endpoint ({unready} not ready)");
            Finding::fail(CHECK, found, "`/readyz` of a replica, or its log, says why it is not ready")
        }
        Endpoints { ready, unready: 0, .. } => Finding::ok(CHECK, format!("{server_name}: {ready} ready")),
        Endpoints { ready, unready, .. } => {
            let found = format!("{server_name}: {ready} ready, {unready} not");
            Finding::warn(CHECK, found, "`/readyz` of a replica, or its log, says why it is not ready")
        }
    }
}

/// Whether all replicas are there.
pub fn judge_deployments(deployments: &[Value]) -> Vec<Finding> {
    const CHECK: &str = "replicas";
    let one = |deployment: &Value| {
        let name = deployment["metadata"]["name"].as_str().unwrap_or("?");
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
        let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or("?");
        let hint = format!("kubectl -n {namespace} describe deployment {name}; kubectl -n {namespace} get pods");
        let found = format!("{name}: {ready} of {wanted} ready");
        match ready {
            0 => Finding::fail(CHECK, found, hint),
            _ if ready < wanted => Finding::warn(CHECK, found, hint),
            1 if wanted == 1 => {
                let hint = "two replicas serve on while a node is drained (replicas)";
                Finding::warn(CHECK, format!("{found}: no second one"), hint)
            }
            _ => Finding::ok(CHECK, found),
        }
    };
    if deployments.is_empty() {
        let hint = "a configuration without it is a leftover: helm uninstall, or kubectl delete";
        return vec![Finding::fail(CHECK, format!("no Deployment with the label {LABEL}"), hint)];
    }
    deployments.iter().map(one).collect()
}

/// The Secret that holds the certificate, and whether the webhook makes it itself, from the Deployment.
pub fn secret_of(deployments: &[Value]) -> Option<(String, bool)> {
    deployments.iter().find_map(|deployment| {
        let spec = &deployment["spec"]["template"]["spec"];
        let containers = spec["containers"].as_array().into_iter().flatten();
        let own = containers.into_iter().find_map(|container| {
            let args = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
            flag(&args.map(str::to_owned).collect::<Vec<_>>(), "--tls-secret")
        });
        let mut volumes = spec["volumes"].as_array().into_iter().flatten();
        let mut mounted = || volumes.find(|v| v["name"] == "tls").and_then(|v| v["secret"]["secretName"].as_str());
        own.map(|name| (name, true)).or_else(|| mounted().map(|name| (name.to_owned(), false)))
    })
}

/// What goes into pods besides the policies, as the release's ConfigMap says it.
pub fn context_of(config_maps: &[Value]) -> Option<Context> {
    config_maps.iter().find_map(|map| serde_json::from_str(map["data"]["context.json"].as_str()?).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::report::State;

    fn configuration() -> Value {
        let webhook = |name: &str| {
            json!({"name": name, "failurePolicy": "Ignore", "timeoutSeconds": 2,
                "clientConfig": {"service": {"namespace": "tracing", "name": "stepspan"}}})
        };
        json!({"metadata": {"name": "stepspan-tracing", "labels": {"app.kubernetes.io/name": "stepspan"}},
            "webhooks": [webhook("pods.stepspan.dev"), webhook("workflows.stepspan.dev")]})
    }

    #[test]
    fn a_configuration_is_ours_by_label_or_name() {
        let ours = configuration();
        assert_eq!(Install::of(&ours, None).unwrap().server_name().as_deref(), Some("stepspan.tracing.svc"));
        assert!(Install::of(&ours, Some("tracing")).is_some());
        assert!(Install::of(&ours, Some("other")).is_none());
        let by_url = json!({"metadata": {"name": "stepspan-dev"}, "webhooks": [{"name": "pods.stepspan.dev"}]});
        assert!(Install::of(&by_url, Some("dev")).unwrap().service.is_none());
        let foreign = json!({"metadata": {"name": "istio"}, "webhooks": [{"name": "x.istio.io"}]});
        assert!(Install::of(&foreign, None).is_none());
    }

    #[test]
    fn a_pause_and_a_failure_policy_are_told() {
        let states = |change: fn(&mut Value)| {
            let mut configuration = configuration();
            change(&mut configuration);
            let findings = judge_configuration(&Install::of(&configuration, None).unwrap());
            findings.into_iter().map(|finding| finding.state).collect::<Vec<_>>()
        };
        assert_eq!(states(|_| {}), [State::Ok]);
        assert_eq!(
            states(|c| {
                c["metadata"]["annotations"] = json!({"stepspan.dev/paused": "true"});
                c["webhooks"][1]["failurePolicy"] = json!("Fail");
            }),
            [State::Warn, State::Warn]
        );
        assert_eq!(states(|c| c["webhooks"][0]["name"] = json!("x.stepspan.dev")), [State::Fail]);
    }

    #[test]
    fn endpoints_and_replicas_are_counted() {
        let slice = json!({"ports": [{"port": 9443}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}}, {"addresses": ["10.0.0.2"]},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}}]});
        assert_eq!(Endpoints::of(std::slice::from_ref(&slice)), Endpoints { ready: 2, unready: 1, ports: vec![9443] });
        assert_eq!(judge_endpoints("x", &[slice]).state, State::Warn);
        assert_eq!(judge_endpoints("x", &[]).state, State::Fail);
        let deployment = |ready: u64, wanted: u64| {
            let it =
                json!({"metadata": {"name": "s"}, "spec": {"replicas": wanted}, "status": {"readyReplicas": ready}});
            judge_deployments(&[it])[0].state
        };
        assert_eq!(deployment(2, 2), State::Ok);
        assert_eq!(deployment(1, 2), State::Warn);
        assert_eq!(deployment(0, 2), State::Fail);
    }

    #[test]
    fn the_secret_is_named_by_argument_or_volume() {
        let of = |spec: Value| secret_of(&[json!({"spec": {"template": {"spec": spec}}})]);
        let own = of(json!({"containers": [{"args": ["webhook", "--tls-secret=stepspan-tls"]}]}));
        assert_eq!(own, Some(("stepspan-tls".into(), true)));
        let mounted = of(json!({"containers": [{}], "volumes": [{"name": "tls", "secret": {"secretName": "mine"}}]}));
        assert_eq!(mounted, Some(("mine".into(), false)));
    }
}
