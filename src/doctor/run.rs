//! `--run`: a pod of ours in a step's namespace, whose containers look at the endpoints as a step's init container does.
//!
//! The one thing that changes the cluster. The pod is deleted whatever happens, on a signal too; should the deletion fail, the
//! kubelet ends it after [`DEADLINE`], and its name says whose it was.

use std::{future::Future, time::Duration};

use serde_json::{Value, json};
use stepspan_contract::names;
use tokio::time::{Instant, sleep};

use super::{
    ask::{Answer, Asker, Kind, Refusal, Reply},
    endpoint::Endpoint,
    pod,
    report::Finding,
};
use crate::{context::Injector, inject::init_container::security_context};

const IMAGE: &str = "image";
/// The check of the endpoint itself.
pub const REACHED: &str = "endpoint, from a pod";
/// For pod and image.
const PATIENCE: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_mins(2);
/// More than steps give it: a slow answer is to be told from none.
const PROBE: Duration = Duration::from_secs(5);
/// What steps give it where the policy does not say.
const USUAL: f64 = 300.0;

/// The pod. It carries the label of Argo's pods, so that what selects those (a NetworkPolicy, another webhook) takes it too, and
/// is opted out of our own.
pub fn manifest(injector: &Injector, endpoints: &[Endpoint], resources: bool) -> Value {
    let resources = if resources {
        json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}})
    } else {
        json!({})
    };
    let security = serde_json::to_value(security_context(injector, None)).unwrap_or_default();
    let container = |(at, endpoint): (usize, &Endpoint)| {
        let mut command = vec!["/stepspan-shim", "init", "--to", names::MOUNT_PATH, "--probe", &endpoint.url]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        command.extend(["--protocol".into(), endpoint.protocol.as_str().into()]);
        command.extend(["--timeout".into(), format!("{}ms", PROBE.as_millis())]);
        let mut mounts = vec![json!({"name": names::VOLUME, "mountPath": names::MOUNT_PATH})];
        if endpoint.ca.is_some() {
            command.extend(["--ca".into(), names::CA_PATH.into()]);
            mounts.push(json!({"name": ca_volume(at), "mountPath": names::CA_MOUNT_PATH, "readOnly": true}));
        }
        json!({"name": container_name(at), "image": injector.image, "imagePullPolicy": injector.pull_policy, "command": command,
            "resources": resources, "securityContext": security, "volumeMounts": mounts})
    };
    let mut annotations = json!({names::OPT_OUT_ANNOTATION: "false"});
    let mut volumes = vec![json!({"name": names::VOLUME, "emptyDir": {"sizeLimit": "64Mi"}})];
    for (at, ca) in endpoints.iter().enumerate().filter_map(|(at, endpoint)| Some((at, endpoint.ca.as_ref()?))) {
        let annotation = format!("{}-{at}", names::CA_ANNOTATION);
        let field = json!({"apiVersion": "v1", "fieldPath": format!("metadata.annotations['{annotation}']")});
        volumes.push(json!({"name": ca_volume(at), "downwardAPI": {"items": [{"path": "ca.pem", "fieldRef": field}]}}));
        annotations[annotation] = ca.as_str().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "stepspan-doctor-", "labels": pod::labels(), "annotations": annotations},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "activeDeadlineSeconds": DEADLINE.as_secs(), "terminationGracePeriodSeconds": 1,
            "containers": endpoints.iter().enumerate().map(container).collect::<Vec<_>>(), "volumes": volumes,
        },
    })
}

fn container_name(at: usize) -> String {
    format!("endpoint-{at}")
}

fn ca_volume(at: usize) -> String {
    format!("{}-{at}", names::CA_VOLUME)
}

/// How far the pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet; why, as far as the cluster says.
    Waiting(String),
    /// The image cannot be had; the kubelet's word.
    NoImage(String),
    /// It will not run; why.
    Stuck(String),
    /// All containers have ended.
    Ended,
}

/// Reads a pod's status.
pub fn progress(pod: &Value) -> Progress {
    let statuses: Vec<&Value> = pod["status"]["containerStatuses"].as_array().into_iter().flatten().collect();
    let ours = |status: &&&Value| status["name"].as_str().is_some_and(|name| name.starts_with("endpoint-"));
    let mut waiting = String::new();
    for state in statuses.iter().filter(ours).map(|status| &status["state"]["waiting"]) {
        let reason = state["reason"].as_str().unwrap_or_default();
        let message = state["message"].as_str();
        let text = message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"));
        match reason {
            "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" | "RegistryUnavailable" => {
                return Progress::NoImage(text);
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                return Progress::Stuck(text);
            }
            // From 1.32 on the kubelet says here too why.
            "ImagePullBackOff" if text.contains(": Err") => return Progress::NoImage(text),
            "" => {}
            _ => waiting = text,
        }
    }
    let ended = statuses.iter().filter(ours).filter(|status| status["state"]["terminated"].is_object()).count();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let all = containers.filter(|c| c["name"].as_str().is_some_and(|name| name.starts_with("endpoint-"))).count();
    if all > 0 && ended == all {
        return Progress::Ended;
    }
    if pod["status"]["phase"] == "Failed" {
        let why = ["reason", "message"].map(|field| pod["status"][field].as_str().unwrap_or_default());
        return Progress::Stuck(why.join(": "));
    }
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut unscheduled = conditions.filter(|c| c["type"] == "PodScheduled" && c["status"] == "False");
    Progress::Waiting(unscheduled.find_map(|c| c["message"].as_str()).map_or(waiting, str::to_owned))
}

/// Reads the shim's line.
pub fn judge_probe(endpoint: &Endpoint, log: &str) -> Finding {
    let url = &endpoint.url;
    let line = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|l| l["action"] == "init");
    let Some(line) = line else {
        let found = format!("{url}: the shim did not say: {}", crate::text::cut(log.trim(), 200));
        return Finding::fail(REACHED, found, "is the image of this release?");
    };
    let took = line["probe_ms"].as_f64();
    match (line["probe"].as_str(), took) {
        (Some("ok"), Some(took)) if took > USUAL => {
            let hint = "steps wait 300 ms for it: give initContainer.probe.timeout more, or find out what is slow";
            Finding::warn(REACHED, format!("{url} answered after {took:.0} ms"), hint)
        }
        (Some("ok"), took) => Finding::ok(REACHED, format!("{url} answered after {:.1} ms", took.unwrap_or_default())),
        _ => {
            let why = line["error"].as_str().unwrap_or("no reason is given");
            // The shim names host or authority first, and the URL has both.
            let rest = why.split_once(": ").filter(|(who, _)| url.contains(who)).map_or(why, |(_, rest)| rest);
            let hint = "check name, port and the NetworkPolicies here; until then steps run without their spans";
            Finding::fail(REACHED, format!("{url}: {rest}"), hint)
        }
    }
}

/// Creates the pod, waits, reads, deletes. `tell` hears how far it is.
///
/// # Errors
/// A signal came; the pod is deleted.
pub async fn run(
    ask: &Asker,
    namespace: &str,
    (injector, endpoints): (&Injector, &[Endpoint]),
    (tell, stopped): (&dyn Fn(String), impl Future<Output = ()>),
) -> Result<Vec<Finding>, Interrupted> {
    if endpoints.is_empty() {
        return Ok(vec![Finding::skip(REACHED, "no policy takes this namespace", "see the check `policies`")]);
    }
    let name = match create(ask, namespace, injector, endpoints).await {
        Ok(name) => name,
        Err(finding) => return Ok(vec![finding]),
    };
    tell(format!("{namespace}: pod {name} created, waiting up to {} s", PATIENCE.as_secs()));
    let findings = tokio::select! {
        findings = watch(ask, (namespace, &name), (injector, endpoints), tell) => Ok(findings),
        () = stopped => Err(Interrupted),
    };
    let deleted = delete(ask, namespace, &name).await;
    tell(format!("{namespace}: pod {name} {}", if deleted.is_ok() { "deleted" } else { "could not be deleted" }));
    findings.map(|mut findings| {
        if let Err(refusal) = deleted {
            let hint = format!("kubectl -n {namespace} delete pod {name}");
            findings.push(Finding { hint: Some(hint), ..refusal.finding("pod deleted") });
        }
        findings
    })
}

/// A signal came.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

async fn create(ask: &Asker, namespace: &str, injector: &Injector, endpoints: &[Endpoint]) -> Result<String, Finding> {
    let mut last = Reply::default();
    // A quota may want resources, a LimitRange none so small.
    for resources in [false, true] {
        let manifest = manifest(injector, endpoints, resources);
        let made = ask.create(Kind::PODS, namespace, &manifest, false).await;
        last = made.map_err(|refusal| refusal.finding(REACHED))?;
        if let Some(name) = last.body["metadata"]["name"].as_str().filter(|_| last.is_success()) {
            return Ok(name.to_owned());
        }
    }
    let hint = "whoever refuses this pod must let it in for the look; see the check `trial pod` for steps";
    Err(Finding::fail(REACHED, format!("the pod was refused: {}", last.message()), hint))
}

async fn watch(
    ask: &Asker,
    (namespace, name): (&str, &str),
    (injector, endpoints): (&Injector, &[Endpoint]),
    tell: &dyn Fn(String),
) -> Vec<Finding> {
    let until = Instant::now() + PATIENCE;
    let mut told = String::new();
    loop {
        let why = match ask.get(Kind::PODS, Some(namespace), name).await {
            Err(refusal @ (Refusal::Forbidden(_) | Refusal::Absent)) => return vec![refusal.finding(REACHED)],
            Err(Refusal::Failed(why) | Refusal::Unauthorized(why)) => why,
            Ok(pod) => match progress(&pod) {
                Progress::Ended => return ended(ask, (namespace, name), (injector, endpoints), &pod).await,
                Progress::NoImage(why) => {
                    let hint = "the node must reach the registry, and the namespace's default service account have the pull \
                                secret (imagePullSecrets)";
                    return vec![Finding::fail(IMAGE, format!("{}: {why}", injector.image), hint)];
                }
                Progress::Stuck(why) => return vec![Finding::fail(REACHED, why, "see the kubelet's log on that node")],
                Progress::Waiting(why) => why,
            },
        };
        if Instant::now() >= until {
            let why = if why.is_empty() { "nothing is known of why".to_owned() } else { why };
            let found = format!("the pod did not run within {} s: {why}", PATIENCE.as_secs());
            return vec![Finding::fail(REACHED, found, "is there room on a node for it?")];
        }
        if !why.is_empty() && why != told {
            tell(format!("{namespace}: {why}"));
            told = why;
        }
        sleep(EVERY).await;
    }
}

async fn ended(
    ask: &Asker,
    (namespace, name): (&str, &str),
    (injector, endpoints): (&Injector, &[Endpoint]),
    pod: &Value,
) -> Vec<Finding> {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or("a node");
    let mut findings = vec![Finding::ok(IMAGE, format!("{} runs on {node}", injector.image))];
    for (at, endpoint) in endpoints.iter().enumerate() {
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let state = statuses.into_iter().find(|s| s["name"] == container_name(at)).map(|s| &s["state"]["terminated"]);
        // Written only where the shim could not be installed.
        if let Some(message) = state.and_then(|state| state["message"].as_str()) {
            findings.push(Finding::fail(IMAGE, message, "the namespace or node keeps our container from its volume"));
            continue;
        }
        findings.push(match read_log(ask, namespace, name, &container_name(at)).await {
            Ok(log) => judge_probe(endpoint, &log),
            Err(refusal) => refusal.finding(REACHED),
        });
    }
    findings
}

/// A container's log may come a moment after its end.
async fn read_log(ask: &Asker, namespace: &str, name: &str, container: &str) -> Answer<String> {
    for _ in 0..5 {
        let log = ask.log(namespace, name, container).await?;
        if !log.trim().is_empty() {
            return Ok(log);
        }
        sleep(EVERY).await;
    }
    Ok(String::new())
}

async fn delete(ask: &Asker, namespace: &str, name: &str) -> Answer<()> {
    for _ in 0..2 {
        match ask.delete(Kind::PODS, namespace, name).await {
            Ok(()) | Err(Refusal::Absent) => return Ok(()),
            Err(Refusal::Failed(_)) => sleep(EVERY).await,
            Err(refusal) => return Err(refusal),
        }
    }
    ask.delete(Kind::PODS, namespace, name).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doctor::report::State, policy::spec::Protocol};

    fn endpoint() -> Endpoint {
        Endpoint { url: "http://c:4317".into(), protocol: Protocol::Grpc, ca: Some("pem".into()) }
    }

    #[test]
    fn the_pod_keeps_to_restricted_and_is_left_alone_by_us() {
        let pod = manifest(&Injector::default(), &[endpoint()], false);
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(container["securityContext"]["runAsNonRoot"], true);
        assert_eq!(container["command"][0], "/stepspan-shim");
        assert_eq!(pod["metadata"]["annotations"]["stepspan.dev/inject"], "false");
        assert_eq!(pod["metadata"]["annotations"]["stepspan.dev/ca-bundle-0"], "pem");
        assert_eq!(pod["spec"]["volumes"][1]["name"], container["volumeMounts"][1]["name"]);
    }

    #[test]
    fn a_status_says_how_far_it_is() {
        let pod = |state: Value| {
            json!({"spec": {"containers": [{"name": "endpoint-0"}, {"name": "istio-proxy"}]},
                "status": {"phase": "Pending", "containerStatuses": [{"name": "endpoint-0", "state": state}]}})
        };
        let waiting = |reason: &str| pod(json!({"waiting": {"reason": reason, "message": "not found"}}));
        assert_eq!(progress(&waiting("ErrImagePull")), Progress::NoImage("ErrImagePull: not found".into()));
        assert_eq!(progress(&waiting("ImagePullBackOff")), Progress::Waiting("ImagePullBackOff: not found".into()));
        assert!(matches!(progress(&waiting("CreateContainerError")), Progress::Stuck(_)));
        assert_eq!(progress(&pod(json!({"terminated": {"exitCode": 0}}))), Progress::Ended);
        let unscheduled = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}});
        assert_eq!(progress(&unscheduled), Progress::Waiting("0/3 nodes are available".into()));
    }

    #[test]
    fn the_shim_s_line_is_read() {
        let state = |log: &str| judge_probe(&endpoint(), log).state;
        assert_eq!(
            state(r#"{"action":"init","install":"ok","probe":"ok","probe_ms":4.2,"latency_ms":5.0}"#),
            State::Ok
        );
        assert_eq!(
            state(r#"{"action":"init","install":"ok","probe":"ok","probe_ms":900.0,"latency_ms":905.0}"#),
            State::Warn
        );
        let refused = r#"{"action":"init","install":"ok","probe":"failed","error":"c: no such host","latency_ms":1.0}"#;
        assert_eq!(judge_probe(&endpoint(), refused).found, "http://c:4317: no such host");
        assert_eq!(state("usage: ..."), State::Fail);
    }
}
