//! Argo Workflows: its controllers, and the pods they make.

use serde_json::Value;

use super::{report::Finding, server::Version};
use crate::{
    argo::{Layout, PodKind, StepPod},
    json::Json,
};

/// The label of the controller in Argo's own manifests and chart.
const LABEL: (&str, &str) = ("app", "workflow-controller");
const PROGRAM: &str = "workflow-controller";
/// What was read and tried.
const TRIED: (Version, Version) = ((3, 5), (4, 1));
/// The executor's image where no controller says which.
pub const EXECUTOR: &str = "quay.io/argoproj/argoexec:v3.7.3";

/// A controller's Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// `namespace/name`.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The image of its executor, where the command line names it.
    pub executor: Option<String>,
    /// `TRANSIENT_ERROR_PATTERN`.
    pub retries: Option<String>,
}

impl Controller {
    /// Its version, from the image's tag.
    pub fn version(&self) -> Option<Version> {
        let name = self.image.split('@').next()?;
        let tag = name.rsplit('/').next()?.split_once(':')?.1;
        let mut parts = tag.trim_start_matches('v').split(['.', '-', '+']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// The controllers among all Deployments.
pub fn controllers(deployments: &[Value]) -> Vec<Controller> {
    deployments.iter().filter_map(controller).collect()
}

fn controller(deployment: &Value) -> Option<Controller> {
    let metadata = &deployment["metadata"];
    let labelled = metadata["labels"][LABEL.0] == LABEL.1;
    let spec = &deployment["spec"]["template"]["spec"];
    let words = |container: &Value| -> Vec<String> {
        let of = |field: &str| container[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        of("command").chain(of("args")).map(str::to_owned).collect()
    };
    let runs = |container: &&Value| {
        let program = |word: &String| word.rsplit('/').next() == Some(PROGRAM);
        words(container).iter().any(program) || (labelled && container["name"] == PROGRAM)
    };
    let containers = spec["containers"].as_array()?;
    let container = containers.iter().find(runs).or_else(|| labelled.then(|| containers.first()).flatten())?;
    let env = container["env"].as_array().into_iter().flatten();
    let mut env = env.filter(|entry| entry["name"] == "TRANSIENT_ERROR_PATTERN");
    let (namespace, name) = (metadata["namespace"].as_str()?, metadata["name"].as_str()?);
    Some(Controller {
        name: format!("{namespace}/{name}"),
        image: container["image"].as_str()?.to_owned(),
        executor: flag(&words(container), "--executor-image"),
        retries: env.next().map(|entry| entry["value"].as_str().unwrap_or("(from elsewhere)").to_owned()),
    })
}

/// The value of `--name=value` or `--name value`.
pub fn flag(words: &[String], name: &str) -> Option<String> {
    words.iter().enumerate().find_map(|(at, word)| {
        let rest = word.strip_prefix(name)?;
        if rest.is_empty() { words.get(at + 1).cloned() } else { rest.strip_prefix('=').map(str::to_owned) }
    })
}

/// What the pods of workflows that are there look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// With Argo's init container.
    pub with_init: usize,
    /// Without.
    pub init_less: usize,
    /// Whose step's command does not begin as Argo's executor does.
    pub unproven: usize,
}

impl Seen {
    /// Looks at pods of workflows; those that run no step do not count.
    pub fn of(pods: &[Value]) -> Self {
        let mut seen = Self::default();
        for pod in pods {
            let raw = Json::from(pod.clone());
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            // Pods of others may carry the label; those of a Workflow are owned by it.
            let step = StepPod::read(&raw, namespace).filter(|p| p.kind == PodKind::Step && p.workflow_uid.is_some());
            let Some(step) = step else { continue };
            match step.layout {
                Layout::InitContainer => seen.with_init += 1,
                Layout::InitLess => seen.init_less += 1,
            }
            seen.unproven += usize::from(step.steps().any(|container| container.user_argv.is_none()));
        }
        seen
    }

    /// The layout of a pod that is made up to look like these.
    pub fn layout(self) -> Layout {
        if self.init_less > self.with_init { Layout::InitLess } else { Layout::InitContainer }
    }
}

/// Each controller's version.
pub fn judge_controllers(controllers: &[Controller]) -> Vec<Finding> {
    const CHECK: &str = "argo";
    if controllers.is_empty() {
        let hint = "install Argo Workflows 3.5 to 4.1; one that runs outside of this cluster is not seen";
        return vec![Finding::warn(CHECK, "no workflow-controller among the Deployments", hint)];
    }
    let one = |controller: &Controller| {
        let executor = controller.executor.as_ref().map_or_else(String::new, |image| format!(", executor {image}"));
        let found = |version: &str| format!("{version} in {}{executor}", controller.name);
        let Some(version) = controller.version() else {
            let found = found("an unknown version").replacen("version", &format!("version ({})", controller.image), 1);
            return Finding::warn(
                CHECK,
                found,
                "3.5 to 4.1 are known; `stepspan dry-run` shows what happens to its pods",
            );
        };
        let text = found(&format!("{}.{}", version.0, version.1));
        let (first, last) = TRIED;
        if version < first || version > last {
            let hint = "3.5 to 4.1 were tried; `stepspan dry-run` shows what happens to its pods";
            return Finding::warn(CHECK, text, hint);
        }
        Finding::ok(CHECK, text)
    };
    controllers.iter().map(one).collect()
}

/// The pods' layout.
pub fn judge_pods(seen: Seen) -> Finding {
    const CHECK: &str = "step pods";
    let Seen { with_init, init_less, unproven } = seen;
    let found = match (with_init, init_less) {
        (0, 0) => return Finding::skip(CHECK, "no pod of a workflow is there", "run a workflow, and look again"),
        (_, 0) => format!("{with_init} looked at, with Argo's init container"),
        (0, _) => {
            format!("{init_less} looked at, without an init container (Argo 4.1): the shim comes by an image volume")
        }
        _ => format!("{with_init} looked at with Argo's init container, {init_less} without (Argo 4.1)"),
    };
    if unproven > 0 {
        let found = format!("{found}; {unproven} of them do not begin with Argo's executor");
        let hint =
            "another webhook changed the command, or this version of Argo is not known: such steps are left alone";
        return Finding::warn(CHECK, found, hint);
    }
    Finding::ok(CHECK, found)
}

/// Whether a call that is refused or reset costs a step, where the webhook fails closed.
pub fn judge_retries(controllers: &[Controller], fails_closed: bool) -> Option<Finding> {
    const CHECK: &str = "argo retries";
    if controllers.is_empty() {
        return None;
    }
    let unset: Vec<_> = controllers.iter().filter(|c| c.retries.is_none()).map(|c| c.name.as_str()).collect();
    let found = if unset.is_empty() {
        return Some(Finding::ok(CHECK, "TRANSIENT_ERROR_PATTERN is set"));
    } else {
        format!("TRANSIENT_ERROR_PATTERN is not set on {}", unset.join(", "))
    };
    if fails_closed {
        let hint = "set it, such as to 'failed calling webhook', so that a call that fails is tried again";
        return Some(Finding::warn(CHECK, format!("{found}, and failurePolicy is Fail"), hint));
    }
    Some(Finding::ok(CHECK, format!("{found}: no loss while failurePolicy is Ignore")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::report::State;

    fn deployment(labels: &Value, container: &Value) -> Value {
        json!({"metadata": {"namespace": "argo", "name": "wc", "labels": labels},
            "spec": {"template": {"spec": {"containers": [container]}}}})
    }

    #[test]
    fn controllers_are_found_by_label_and_by_what_they_run() {
        let by_label = deployment(
            &json!({"app": "workflow-controller"}),
            &json!({"name": "x",
            "image": "quay.io/argoproj/workflow-controller:v3.7.3", "args": ["--executor-image", "e:1"]}),
        );
        let by_command = deployment(
            &json!({}),
            &json!({"name": "x",
            "image": "registry.example:5000/argo@sha256:0", "command": ["/bin/workflow-controller"],
            "env": [{"name": "TRANSIENT_ERROR_PATTERN", "value": "x"}]}),
        );
        let other = deployment(&json!({"app": "web"}), &json!({"name": "x", "image": "web:1"}));
        let found = controllers(&[by_label, by_command, other]);
        let [first, second] = &found[..] else { panic!("{found:?}") };
        assert_eq!((first.version(), first.executor.as_deref()), (Some((3, 7)), Some("e:1")));
        assert_eq!((second.version(), second.retries.as_deref()), (None, Some("x")));
        assert_eq!(judge_controllers(&found).iter().map(|f| f.state).collect::<Vec<_>>(), [State::Ok, State::Warn]);
        assert_eq!(judge_retries(&found, false).unwrap().state, State::Ok);
        assert_eq!(judge_retries(&found, true).unwrap().state, State::Warn);
        assert_eq!(judge_controllers(&[])[0].state, State::Warn);
    }

    #[test]
    fn an_older_or_newer_argo_is_told() {
        let of = |tag: &str| Controller {
            name: "argo/wc".into(),
            image: format!("quay.io/argoproj/workflow-controller:{tag}"),
            executor: None,
            retries: None,
        };
        for (tag, state) in
            [("v3.4.17", State::Warn), ("v3.5.0", State::Ok), ("v4.1.2", State::Ok), ("v4.2.0", State::Warn)]
        {
            assert_eq!(judge_controllers(&[of(tag)])[0].state, state, "{tag}");
        }
    }

    #[test]
    fn layouts_are_seen_in_pods() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let with_init = read(include_str!("../../tests/laws/pods/container-3.7.json"));
        let init_less = read(include_str!("../../tests/laws/pods/init-less-4.1.json"));
        let agent = read(include_str!("../../tests/laws/pods/agent-3.7.json"));
        let mut changed = with_init.clone();
        changed["spec"]["containers"][1]["command"] = json!(["/vault/vault-env", "sh"]);
        let ours = json!({"metadata": {"labels": {"workflows.argoproj.io/workflow": "x"}}, "spec": {"containers": []}});
        let seen = Seen::of(&[with_init, init_less, agent, ours]);
        assert_eq!(seen, Seen { with_init: 1, init_less: 1, unproven: 0 });
        assert_eq!(judge_pods(Seen::of(&[changed])).state, State::Warn);
        assert_eq!(judge_pods(Seen::default()).state, State::Skip);
    }
}
