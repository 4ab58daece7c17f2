//! Where steps send their spans, as far as it is a Service of the cluster, and the Secrets of its headers.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Uri;
use serde_json::Value;

use super::{install::Endpoints, report::Finding};
use crate::policy::{
    Policy,
    effective::DEFAULT_ENDPOINT,
    spec::{HeaderFrom, Protocol},
};

/// The check.
pub const CHECK: &str = "endpoint";

/// A Collector that steps of a namespace are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its URL.
    pub url: String,
    /// `grpc` or `http/protobuf`.
    pub protocol: Protocol,
    /// PEM certificates of a private CA.
    pub ca: Option<String>,
}

/// The endpoints that policies of one namespace name, highest priority first. What a policy leaves open the next one says, as
/// when they are merged.
pub fn of(policies: &[&Policy]) -> Vec<Endpoint> {
    let otlp = || policies.iter().map(|policy| &policy.spec.otlp);
    let protocol = otlp().find_map(|otlp| otlp.protocol).unwrap_or(Protocol::Grpc);
    let ca = otlp().find_map(|otlp| otlp.ca_bundle.clone());
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for otlp in otlp() {
        let Some(url) = otlp.endpoint.clone() else { continue };
        if endpoints.iter().all(|known| known.url != url) {
            let (protocol, ca) = (otlp.protocol.unwrap_or(protocol), otlp.ca_bundle.clone().or_else(|| ca.clone()));
            endpoints.push(Endpoint { url, protocol, ca: ca.filter(|pem| !pem.is_empty()) });
        }
    }
    if endpoints.is_empty() && otlp().next().is_some() {
        endpoints.push(Endpoint { url: DEFAULT_ENDPOINT.into(), protocol, ca });
    }
    endpoints
}

/// What an endpoint's host is, seen from a pod of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A Service; `sure` where the name cannot be anything else.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
        /// `x.y` may also be a host outside of the cluster.
        sure: bool,
    },
    /// The step's own pod.
    Pod,
    /// Anything else.
    Other,
}

/// Reads an endpoint's host; a port that is not there is the scheme's own, as for the shim and every SDK.
pub fn host(url: &str, namespace: &str) -> Host {
    let Ok(uri) = url.parse::<Uri>() else { return Host::Other };
    let Some(host) = uri.host() else { return Host::Other };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    match address {
        Ok(ip) if ip.is_loopback() => return Host::Pod,
        Ok(_) => return Host::Other,
        Err(_) if host == "localhost" => return Host::Pod,
        Err(_) => {}
    }
    let labels: Vec<&str> = host.split('.').collect();
    let service = |name: &str, namespace: &str, sure| Host::Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port,
        sure,
    };
    match labels[..] {
        [name] => service(name, namespace, true),
        [name, namespace] => service(name, namespace, false),
        [name, namespace, "svc", ..] => service(name, namespace, true),
        _ => Host::Other,
    }
}

/// Whether a Service takes what is sent to `port`.
pub fn judge_service(url: &str, service: &Value, slices: &[Value], port: u16) -> Finding {
    let spec = &service["spec"];
    let metadata = &service["metadata"];
    let name =
        format!("{}.{}", metadata["name"].as_str().unwrap_or("?"), metadata["namespace"].as_str().unwrap_or("?"));
    if spec["type"] == "ExternalName" {
        let found = format!("{url}: {name} stands for {}", spec["externalName"].as_str().unwrap_or("?"));
        return Finding::skip(CHECK, found, "outside of the cluster: --run looks from a pod");
    }
    let endpoints = Endpoints::of(slices);
    // A name without an address of its own resolves to the endpoints, and the port is theirs.
    let headless = spec["clusterIP"] == "None";
    let listed = spec["ports"].as_array().into_iter().flatten().filter_map(|p| p["port"].as_u64());
    let ports: BTreeSet<u64> = if headless { endpoints.ports.iter().copied().collect() } else { listed.collect() };
    if !(ports.contains(&port.into()) || headless && ports.is_empty()) {
        let has: Vec<_> = ports.iter().map(u64::to_string).collect();
        let found = format!("{url}: the Service {name} has no port {port}, but {}", has.join(", "));
        return Finding::fail(
            CHECK,
            found,
            "OTLP/gRPC is at 4317, OTLP/HTTP at 4318: mend otlp.endpoint or the Service",
        );
    }
    match endpoints {
        Endpoints { ready: 0, unready, .. } => {
            let found = format!("{url}: the Service {name} has no ready endpoint ({unready} not ready)");
            Finding::fail(CHECK, found, "is the Collector running, and does the Service select its pods?")
        }
        Endpoints { ready, .. } => Finding::ok(CHECK, format!("{url}: Service {name}, {ready} ready")),
    }
}

/// A Service that is not there.
pub fn judge_missing(url: &str, namespace: &str, name: &str) -> Finding {
    let short = !url.contains(&format!("{name}.{namespace}"));
    let where_ = if short { " (a bare name is looked for in the step's own namespace)" } else { "" };
    let found = format!("{url}: there is no Service {name} in {namespace}{where_}");
    Finding::fail(CHECK, found, "name the Collector's Service as http://NAME.NAMESPACE.svc:4317 in otlp.endpoint")
}

/// An endpoint that is no Service.
pub fn judge_other(url: &str, host: &Host) -> Finding {
    if *host == Host::Pod {
        let found = format!("{url} is the step's own pod");
        return Finding::warn(CHECK, found, "name the Collector's Service, unless each pod has a Collector of its own");
    }
    Finding::skip(CHECK, format!("{url}: no Service of this cluster"), "--run looks from a pod of this namespace")
}

/// The Secrets of headers, each with the keys that are read and whether a pod starts without.
pub fn secrets<'a>(policies: impl Iterator<Item = &'a Policy>) -> BTreeMap<String, Vec<&'a HeaderFrom>> {
    let mut secrets: BTreeMap<String, Vec<&HeaderFrom>> = BTreeMap::new();
    for header in policies.flat_map(|policy| policy.spec.otlp.headers_from.iter().flatten()) {
        secrets.entry(header.secret_key_ref.name.clone()).or_default().push(header);
    }
    secrets
}

/// Whether a Secret has what headers are made of; `None` is a Secret that is not there. Only its keys are looked at.
pub fn judge_secret(name: &str, headers: &[&HeaderFrom], secret: Option<&Value>) -> Finding {
    const CHECK: &str = "headers";
    let has = |key: &str| secret.is_some_and(|secret| secret["data"].get(key).is_some());
    let missing: Vec<_> = headers.iter().filter(|header| !has(&header.secret_key_ref.key)).collect();
    let keys = |of: &[&&HeaderFrom]| {
        let keys: BTreeSet<_> = of.iter().map(|header| header.secret_key_ref.key.as_str()).collect();
        keys.into_iter().collect::<Vec<_>>().join(", ")
    };
    if missing.is_empty() {
        return Finding::ok(CHECK, format!("Secret {name}: {}", keys(&headers.iter().collect::<Vec<_>>())));
    }
    let found = match secret {
        None => format!("there is no Secret {name}"),
        Some(_) => format!("the Secret {name} has no key {}", keys(&missing)),
    };
    if missing.iter().any(|header| header.optional == Some(false)) {
        let hint = "no step can start without it (optional: false): create it in this namespace";
        return Finding::fail(CHECK, found, hint);
    }
    Finding::warn(CHECK, format!("{found}: spans go out without the header"), "create it in this namespace")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        doctor::report::State,
        policy::{PolicySet, compile::Rules, load::PolicyFile},
    };

    #[test]
    fn hosts_are_seen_from_the_step_s_namespace() {
        let service = |namespace: &str, name: &str, port, sure| Host::Service {
            namespace: namespace.into(),
            name: name.into(),
            port,
            sure,
        };
        for (url, expected) in [
            ("http://otel-collector:4317", service("ci", "otel-collector", 4317, true)),
            ("https://c.obs", service("obs", "c", 443, false)),
            ("http://c.obs.svc", service("obs", "c", 80, true)),
            ("http://c.obs.svc.cluster.local:4318/v1", service("obs", "c", 4318, true)),
            ("https://otlp.example.com", Host::Other),
            ("http://10.0.0.1:4317", Host::Other),
            ("http://[::1]:4317", Host::Pod),
            ("http://localhost:4317", Host::Pod),
        ] {
            assert_eq!(host(url, "ci"), expected, "{url}");
        }
    }

    #[test]
    fn a_service_needs_the_port_and_somebody_behind_it() {
        let service = |ports: &[u16], cluster_ip: &str| {
            let ports: Vec<_> = ports.iter().map(|port| json!({"port": port})).collect();
            json!({"metadata": {"name": "c", "namespace": "obs"}, "spec": {"clusterIP": cluster_ip, "ports": ports}})
        };
        let slice = [json!({"ports": [{"port": 4317}], "endpoints": [{"addresses": ["10.0.0.1"]}]})];
        let state = |service: &Value, slices: &[Value]| judge_service("u", service, slices, 4317).state;
        assert_eq!(state(&service(&[4317], "10.96.0.9"), &slice), State::Ok);
        assert_eq!(state(&service(&[4318], "10.96.0.9"), &slice), State::Fail);
        assert_eq!(state(&service(&[4317], "10.96.0.9"), &[]), State::Fail);
        assert_eq!(state(&service(&[], "None"), &slice), State::Ok);
        assert_eq!(state(&json!({"spec": {"type": "ExternalName", "externalName": "x"}}), &[]), State::Skip);
    }

    #[test]
    fn what_a_policy_leaves_open_the_next_one_says() {
        let policy = |name: &str, priority: i32, otlp: &str| PolicyFile {
            name: name.into(),
            text: format!(
                "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {{name: {name}}}\nspec: {{priority: {priority}, otlp: {otlp}}}"
            ),
        };
        let files = [
            policy("a", 9, "{protocol: http/protobuf}"),
            policy("b", 1, "{endpoint: \"http://c:4318\"}"),
            policy("c", 0, "{}"),
        ];
        let endpoints = |files: &[PolicyFile]| {
            let set = PolicySet::from_files(files, &Rules::default()).unwrap();
            of(&set.policies().iter().map(AsRef::as_ref).collect::<Vec<_>>())
        };
        let expected = Endpoint { url: "http://c:4318".into(), protocol: Protocol::HttpProtobuf, ca: None };
        assert_eq!(endpoints(&files), [expected]);
        assert_eq!(endpoints(&files[2..])[0].url, DEFAULT_ENDPOINT);
        assert_eq!(of(&[]), []);
    }

    #[test]
    fn a_secret_is_held_to_the_keys_that_are_read() {
        let header = |optional| HeaderFrom {
            name: "authorization".into(),
            secret_key_ref: crate::policy::spec::SecretKeyRef { name: "otlp".into(), key: "token".into() },
            optional,
        };
        let (may, must) = (header(None), header(Some(false)));
        let there = json!({"data": {"token": "eA=="}});
        assert_eq!(judge_secret("otlp", &[&must], Some(&there)).state, State::Ok);
        assert_eq!(judge_secret("otlp", &[&may], None).state, State::Warn);
        assert_eq!(judge_secret("otlp", &[&may, &must], None).state, State::Fail);
        assert_eq!(
            judge_secret("otlp", &[&may], Some(&json!({}))).found,
            "the Secret otlp has no key token: spans go out without the header"
        );
    }
}
