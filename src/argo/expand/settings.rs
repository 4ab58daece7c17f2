//! How the controller is set up, as far as it shows in pods: its version's layout, and its ConfigMap.

use serde_json::{Value, json};

use super::raw::{entries, kept, list, text};
use super::shape;
use crate::yaml;

/// Which version of Argo writes the pods, and how its executor comes into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// 3.5 to 3.7: an init container brings the executor.
    #[default]
    V3_7,
    /// 4.1, likewise; every container is told a trace.
    V4_1,
    /// 4.1 with the executor from an image volume: no init container, `supervisor` in place of `wait`.
    V4_1InitLess,
}

impl Version {
    /// Whether it is one of 4.1 or later.
    pub fn is_4_1(self) -> bool {
        self != Self::V3_7
    }
}

/// What the controller is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The version.
    pub version: Version,
    /// The executor's image.
    pub executor_image: String,
    /// The executor's container: `imagePullPolicy`, `resources`, `securityContext`, `args`, `env`.
    pub executor: Value,
    /// Defaults of main containers.
    pub main_container: Value,
    /// `instanceID`.
    pub instance_id: String,
    /// `images`: commands by image.
    pub images: Value,
    /// `workflowDefaults`.
    pub workflow_defaults: Value,
    /// `artifactRepository`.
    pub artifact_repository: Value,
    /// `podGCDeleteDelayDuration`, as Go writes it.
    pub pod_gc_delay: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::default(),
            executor_image: "argoproj/argoexec:v3.7".to_owned(),
            executor: Value::Null,
            main_container: Value::Null,
            instance_id: String::new(),
            images: Value::Null,
            workflow_defaults: Value::Null,
            artifact_repository: Value::Null,
            pod_gc_delay: "5s".to_owned(),
        }
    }
}

impl Settings {
    /// The settings of a version, with those of `workflow-controller-configmap` where it is given.
    ///
    /// # Errors
    /// A setting in it that is no YAML.
    pub fn new(version: Version, config: Option<&Value>) -> Result<Self, String> {
        let image = if version.is_4_1() { "argoproj/argoexec:v4.1" } else { "argoproj/argoexec:v3.7" };
        let mut settings = Self { version, executor_image: image.to_owned(), ..Self::default() };
        let Some(config) = config else { return Ok(settings) };
        let mut all = json!({});
        for (key, value) in entries(config, "data") {
            let value = value.as_str().unwrap_or_default();
            let read =
                yaml::read(value, 1).map_err(|error| format!("workflow-controller-configmap: {key}: {error}"))?;
            if !read.is_object() && key == "config" {
                return Err("workflow-controller-configmap: config: a map is expected".to_owned());
            }
            // All of it may stand under `config`.
            if key == "config" { all = read } else { all[key] = read }
        }
        shape::check(&all).map_err(|error| format!("workflow-controller-configmap: {error}"))?;
        settings.executor = all["executor"].take();
        settings.main_container = all["mainContainer"].take();
        settings.images = all["images"].take();
        settings.workflow_defaults = all["workflowDefaults"].take();
        settings.artifact_repository = all["artifactRepository"].take();
        text(&all, "instanceID").clone_into(&mut settings.instance_id);
        if let Some(image) = kept(&settings.executor, "image").and_then(Value::as_str) {
            image.clone_into(&mut settings.executor_image);
        }
        if let Some(delay) = kept(&all, "podGCDeleteDelayDuration").and_then(Value::as_str) {
            delay.clone_into(&mut settings.pod_gc_delay);
        }
        Ok(settings)
    }

    /// `ENTRYPOINT` and `CMD` that the controller knows of an image.
    pub fn entrypoint(&self, image: &str) -> Option<(&[Value], &[Value])> {
        let known = self.images.get(image)?;
        Some((list(known, "entrypoint"), list(known, "cmd")))
    }
}
