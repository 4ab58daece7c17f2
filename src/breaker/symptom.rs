//! How our part of a pod is doing, from the pod's status.
//!
//! Reasons are the kubelet's own words: `k8s.io/kubernetes/pkg/kubelet/images/types.go` for images,
//! `pkg/kubelet/container/sync_result.go` and `pkg/kubelet/kuberuntime` for containers.

use std::time::SystemTime;

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use stepspan_contract::names::{INIT_CONTAINER, VOLUME};

/// A pod that we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: SystemTime,
    /// How our part is doing.
    pub health: Health,
}

/// How our part of a pod is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nothing can be said yet.
    Unknown,
    /// It runs, or did.
    Well,
    /// It cannot start; why.
    Stuck(String),
    /// It failed, and the pod with it, at this time; why.
    Failed(String, SystemTime),
}

/// What an image or a container that cannot start is waiting for.
const STUCK: [&str; 9] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "RunContainerError",
    "StartError",
];
/// Longest message kept.
const MAX_MESSAGE: usize = 300;

/// How our part of a pod is doing; `None` where we are not in it, or with another image than `ours`: that is another release's, or
/// was ours before. From which registry it comes does not matter: others may have put a mirror's in its place.
pub fn of(pod: &Pod, ours: &str) -> Option<Seen> {
    let spec = pod.spec.as_ref()?;
    let of_ours =
        |name: &str, image: Option<&str>| name == INIT_CONTAINER && image.is_some_and(|image| is_same(image, ours));
    let mut inits = spec.init_containers.iter().flatten();
    let init = inits.any(|container| of_ours(&container.name, container.image.as_deref()));
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == VOLUME);
    let image =
        volume.and_then(|volume| volume.image.as_ref()?.reference.as_deref()).filter(|image| is_same(image, ours));
    if !init && image.is_none() {
        return None;
    }
    let statuses = |of: fn(&k8s_openapi::api::core::v1::PodStatus) -> &Option<Vec<ContainerStatus>>| {
        pod.status.as_ref().and_then(|status| of(status).as_deref()).unwrap_or_default()
    };
    let health = if init {
        let ours = statuses(|s| &s.init_container_statuses).iter().find(|status| status.name == INIT_CONTAINER);
        ours.and_then(|status| status.state.as_ref()).map_or(Health::Unknown, of_init)
    } else {
        let every = statuses(|s| &s.init_container_statuses).iter().chain(statuses(|s| &s.container_statuses));
        of_volume(every.filter_map(|status| status.state.as_ref()), image.unwrap_or_default())
    };
    // A pod that has ended, or is about to, waits for nothing any more.
    let failed = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
    let health = match health {
        _ if pod.metadata.deletion_timestamp.is_some() => Health::Unknown,
        Health::Stuck(_) if failed => Health::Unknown,
        health => health,
    };
    let metadata = &pod.metadata;
    Some(Seen {
        uid: metadata.uid.clone()?,
        namespace: metadata.namespace.clone()?,
        name: metadata.name.clone()?,
        created: system(metadata.creation_timestamp.as_ref()?),
        health,
    })
}

/// Whether two references are of images with the same name and tag or digest, wherever they are kept.
fn is_same(a: &str, b: &str) -> bool {
    a.rsplit('/').next() == b.rsplit('/').next()
}

fn of_init(state: &ContainerState) -> Health {
    if let Some(waiting) = &state.waiting {
        return stuck(waiting.reason.as_deref(), waiting.message.as_deref()).map_or(Health::Unknown, Health::Stuck);
    }
    if state.running.is_some() {
        return Health::Well;
    }
    let Some(ended) = &state.terminated else { return Health::Unknown };
    let reason = ended.reason.as_deref().unwrap_or("Error");
    match (ended.exit_code, &ended.finished_at) {
        (0, _) => Health::Well,
        // Killed from outside: the step was stopped, or the node is.
        (137 | 143, _) if reason != "OOMKilled" => Health::Unknown,
        (_, Some(at)) => Health::Failed(told(reason, ended.message.as_deref()), system(at)),
        _ => Health::Unknown,
    }
}

/// An image volume has no status of its own: the containers that mount it wait, with its image in the message.
fn of_volume<'a>(states: impl Iterator<Item = &'a ContainerState>, image: &str) -> Health {
    let mut health = Health::Unknown;
    for state in states {
        if state.running.is_some() || state.terminated.as_ref().is_some_and(|ended| ended.started_at.is_some()) {
            health = Health::Well;
        }
        let Some(waiting) = &state.waiting else { continue };
        let of_ours = waiting.message.as_deref().is_some_and(|message| message.contains(image));
        if let Some(why) = stuck(waiting.reason.as_deref(), waiting.message.as_deref()).filter(|_| of_ours) {
            return Health::Stuck(why);
        }
    }
    health
}

fn stuck(reason: Option<&str>, message: Option<&str>) -> Option<String> {
    let reason = reason?;
    let create = reason.starts_with("CreateContainer") && reason.ends_with("Error");
    (create || STUCK.contains(&reason)).then(|| told(reason, message))
}

fn told(reason: &str, message: Option<&str>) -> String {
    let message = message.unwrap_or_default().trim();
    let cut: String = message.chars().take(MAX_MESSAGE).collect();
    if cut.is_empty() { reason.to_owned() } else { format!("{reason}: {cut}") }
}

fn system(Time(at): &Time) -> SystemTime {
    SystemTime::from(*at)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const IMAGE: &str = "registry/stepspan:1";

    fn health(spec: &Value, status: &Value) -> Option<Health> {
        let metadata = json!({"name": "p", "namespace": "ci", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let pod = json!({"metadata": metadata, "spec": spec, "status": status});
        of(&serde_json::from_value(pod).unwrap(), IMAGE).map(|seen| seen.health)
    }

    fn init(state: &Value) -> Option<Health> {
        let container = |name: &str| json!({"name": name, "image": IMAGE});
        let spec = json!({"containers": [container("main")], "initContainers": [container("init"), container(INIT_CONTAINER)]});
        let status = |name: &str, state: &Value| json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let broken = json!({"waiting": {"reason": "ErrImagePull", "message": "the user's own"}});
        let told = json!({"initContainerStatuses": [status("init", &broken), status(INIT_CONTAINER, state)],
            "containerStatuses": [status("main", &broken)]});
        health(&spec, &told)
    }

    #[test]
    fn only_our_own_container_counts() {
        let waiting = |reason: &str| init(&json!({"waiting": {"reason": reason, "message": "not found"}}));
        for reason in STUCK.into_iter().chain(["CreateContainerError", "CreateContainerConfigError"]) {
            assert_eq!(waiting(reason), Some(Health::Stuck(format!("{reason}: not found"))));
        }
        for reason in ["PodInitializing", "ContainerCreating", "CrashLoopBackOff"] {
            assert_eq!(waiting(reason), Some(Health::Unknown));
        }
        assert_eq!(health(&json!({"containers": []}), &json!({})), None, "a pod without us");
    }

    #[test]
    fn a_mirror_of_our_image_is_ours_and_another_version_is_not() {
        let of = |image: &str| {
            let spec = json!({"containers": [], "initContainers": [{"name": INIT_CONTAINER, "image": image}]});
            health(&spec, &json!({})).is_some()
        };
        assert!(of(IMAGE) && of("mirror.example:5000/hub/stepspan:1"));
        assert!(!of("registry/stepspan:2") && !of("registry/another:1"));
    }

    #[test]
    fn a_start_is_good_news_and_a_failure_bad_unless_it_came_from_outside() {
        let at = "2026-01-01T00:00:05Z";
        let five = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_605);
        let ended = |code: i32| {
            init(&json!({"terminated": {"exitCode": code, "reason": "Error", "message": "cannot install",
                "startedAt": at, "finishedAt": at}}))
        };
        assert_eq!(init(&json!({"running": {"startedAt": at}})), Some(Health::Well));
        assert_eq!(ended(0), Some(Health::Well));
        assert_eq!(ended(1), Some(Health::Failed("Error: cannot install".into(), five)));
        assert_eq!(ended(137), Some(Health::Unknown));
    }

    #[test]
    fn an_image_volume_is_told_by_the_messages_that_name_its_image() {
        let spec =
            json!({"containers": [], "volumes": [{"name": VOLUME, "image": {"reference": "registry/stepspan:1"}}]});
        let main = |state: &Value| {
            json!({"containerStatuses": [{"name": "main", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": state}]})
        };
        let waiting = |message: &str| {
            health(&spec, &main(&json!({"waiting": {"reason": "ImagePullBackOff", "message": message}})))
        };
        assert!(matches!(waiting("Back-off pulling image \"registry/stepspan:1\""), Some(Health::Stuck(_))));
        assert_eq!(waiting("Back-off pulling image \"busybox\""), Some(Health::Unknown));
    }

    #[test]
    fn a_pod_of_another_image_or_at_its_end_says_nothing() {
        let pod = |image: &str, phase: &str, leaving: Option<&str>| {
            let waiting = json!({"waiting": {"reason": "ImagePullBackOff"}});
            let status = json!({"name": INIT_CONTAINER, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": waiting});
            let pod = json!({
                "metadata": {"name": "p", "namespace": "ci", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
                    "deletionTimestamp": leaving},
                "spec": {"containers": [], "initContainers": [{"name": INIT_CONTAINER, "image": image}]},
                "status": {"phase": phase, "initContainerStatuses": [status]},
            });
            of(&serde_json::from_value(pod).unwrap(), IMAGE).map(|seen| seen.health)
        };
        assert!(matches!(pod(IMAGE, "Pending", None), Some(Health::Stuck(_))));
        assert_eq!(pod(IMAGE, "Failed", None), Some(Health::Unknown), "a deadline, or an eviction");
        assert_eq!(pod(IMAGE, "Pending", Some("2026-01-01T00:00:09Z")), Some(Health::Unknown));
        assert_eq!(pod("registry/stepspan:0", "Pending", None), None);
    }
}
