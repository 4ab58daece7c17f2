//! A namespace of a trial's own, and workflows in it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::{
    Cluster, Hands,
    api::{Api, Reply, YAML},
    wait::until,
};

/// The service account that workflows of the samples name.
pub const SERVICE_ACCOUNT: &str = "workflow";
const RUN_LIMIT: Duration = Duration::from_mins(6);
/// Argo's controller hears of a template by a watch, and of the Workflow by another; no sign tells when it has.
const HEARD: Duration = Duration::from_secs(3);
const ARGO_RESOURCES: [&str; 6] = [
    "workflows",
    "workflowtemplates",
    "cronworkflows",
    "workflowtasksets",
    "workflowtaskresults",
    "workflowartifactgctasks",
];

/// A namespace; it is left to go with the cluster.
pub struct Namespace<'c> {
    cluster: &'c Cluster,
    name: String,
}

impl<'c> Namespace<'c> {
    pub(super) fn create(cluster: &'c Cluster, stem: &str, labels: &Value) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let object = json!({"metadata": {"name": name, "labels": labels}});
        cluster.api().create("/api/v1/namespaces", &object)?.accepted()?;
        let namespace = Self { cluster, name };
        namespace.admit_workflows().context("cannot prepare the service account of workflows")?;
        // The controller manager makes it, and without it a pod that names no other is refused.
        let path = namespace.path("serviceaccounts/default");
        until("the default service account", RUN_LIMIT, || Ok(cluster.api().get(&path)?.is_success().then_some(())))?;
        Ok(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The API as cluster administrator.
    pub fn api(&self) -> &Api {
        self.cluster.api()
    }

    /// The path of a resource of Argo or of the core group, such as `pods` or `workflows`; what follows is kept:
    /// `pods/x`, `pods?dryRun=All`.
    pub fn path(&self, resource: &str) -> String {
        let plural = resource.split(['/', '?']).next().unwrap_or(resource);
        let group = if ARGO_RESOURCES.contains(&plural) { "/apis/argoproj.io/v1alpha1" } else { "/api/v1" };
        format!("{group}/namespaces/{}/{resource}", self.name)
    }

    /// Creates an object of a resource, for example `("pods?dryRun=All", &pod)`.
    pub fn create_object(&self, resource: &str, object: &Value) -> Result<Reply> {
        self.cluster.api().create(&self.path(resource), object)
    }

    /// Creates a `WorkflowTemplate`, for Workflows that come after it.
    pub fn create_template(&self, template: &Value) -> Result<()> {
        self.create_object("workflowtemplates", template)?.accepted()?;
        thread::sleep(HEARD);
        Ok(())
    }

    /// Creates a quota, and returns when a pod is refused whose container asks for these resources. Whoever judges pods hears of it
    /// after whoever counts, and until then it refuses nothing.
    pub fn create_quota(&self, name: &str, spec: &Value, refused: &Value) -> Result<()> {
        let quota = json!({"metadata": {"name": name}, "spec": spec});
        self.create_object("resourcequotas", &quota)?.accepted()?;
        let containers = json!([{"name": "main", "image": "x", "resources": refused}]);
        let pod = json!({"metadata": {"name": "refused"}, "spec": {"containers": containers}});
        until("the quota to be in force", RUN_LIMIT, || {
            let reply = self.create_object("pods?dryRun=All", &pod)?;
            Ok(reply.message().contains(&format!("quota: {name}")).then_some(()))
        })
    }

    /// A token of one of its service accounts.
    pub fn token_of(&self, account: &str) -> Result<String> {
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = self.create_object(&format!("serviceaccounts/{account}/token"), &asked)?.accepted()?;
        Ok(token["status"]["token"].as_str().context("no token")?.to_owned())
    }

    /// All objects of a resource, such as `events`.
    pub fn list(&self, resource: &str) -> Result<Vec<Value>> {
        self.cluster.api().list(&self.path(resource))
    }

    /// Creates every document of a YAML file, in order, by the API server's own parser; the Workflow is returned as
    /// stored.
    pub fn submit(&self, yaml: &str) -> Result<Value> {
        let mut workflow = None;
        // The separator took the end of the last line with it, which kubectl gives back.
        for document in yaml.split("\n---\n").map(|document| format!("{document}\n")) {
            let kind = kind_of(&document)?;
            let path = match kind {
                "ClusterWorkflowTemplate" => "/apis/argoproj.io/v1alpha1/clusterworkflowtemplates".to_owned(),
                _ => self.path(&format!("{}s", kind.to_lowercase())),
            };
            let stored = self
                .cluster
                .api()
                .create_bytes(&path, YAML, document.as_bytes().to_vec())?
                .accepted()
                .with_context(|| format!("cannot create the {kind}"))?;
            if kind == "Workflow" {
                workflow = Some(stored);
            } else {
                thread::sleep(HEARD);
            }
        }
        workflow.context("the file holds no Workflow")
    }

    /// Waits until a workflow has ended and yields it as stored.
    pub fn wait_end(&self, workflow: &Value) -> Result<Value> {
        let name = workflow["metadata"]["name"].as_str().context("a workflow without a name")?;
        let path = self.path(&format!("workflows/{name}"));
        let mut last = Value::Null;
        until(&format!("workflow {}/{name} to end", self.name), RUN_LIMIT, || {
            self.cluster.ensure_running()?;
            last = self.cluster.api().get(&path)?.accepted()?;
            Ok(ended(&last).then(|| last.clone()))
        })
        .map_err(|error| anyhow!("{error:#}; last seen:\n{}\n{}", describe(&last), self.cluster.tails()))
    }

    /// Submits, waits for the end, and checks the phase, such as `Succeeded`.
    pub fn run(&self, yaml: &str, phase: &str) -> Result<Value> {
        let submitted = self.submit(yaml)?;
        let ended = self.wait_end(&submitted)?;
        ensure!(ended["status"]["phase"] == phase, "ended otherwise than {phase}:\n{}", describe(&ended));
        Ok(ended)
    }

    /// Every pod there was of a workflow, as stored after admission and before it ran; agents and daemons, which Argo
    /// removes in the end, are among them.
    pub fn pods(&self, workflow: &Value) -> Result<Vec<Value>> {
        let name = workflow["metadata"]["name"].as_str().context("a workflow without a name")?;
        match &self.cluster.hands {
            Hands::Unfolding(unfolding) => Ok(unfolding.pods(&self.name, name)),
            Hands::Node(node) => Ok(node.pods(&self.name, name)),
        }
    }

    /// What Argo's documentation asks for: an account that may report results, and its token for agent pods.
    fn admit_workflows(&self) -> Result<()> {
        let api = self.cluster.api();
        let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", self.name);
        let role = json!({"metadata": {"name": SERVICE_ACCOUNT}, "rules": [
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtasksets"], "verbs": ["list", "watch"]},
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtasksets/status"], "verbs": ["patch"]},
        ]});
        let binding = json!({
            "metadata": {"name": SERVICE_ACCOUNT},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": SERVICE_ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT}],
        });
        let token = json!({
            "metadata": {
                "name": format!("{SERVICE_ACCOUNT}.service-account-token"),
                "annotations": {"kubernetes.io/service-account.name": SERVICE_ACCOUNT},
            },
            "type": "kubernetes.io/service-account-token",
        });
        self.create_object("serviceaccounts", &json!({"metadata": {"name": SERVICE_ACCOUNT}}))?.accepted()?;
        api.create(&format!("{rbac}/roles"), &role)?.accepted()?;
        api.create(&format!("{rbac}/rolebindings"), &binding)?.accepted()?;
        self.create_object("secrets", &token)?.accepted()?;
        Ok(())
    }
}

fn kind_of(document: &str) -> Result<&str> {
    document.lines().find_map(|line| line.strip_prefix("kind: ")).map(str::trim).context("a document without a kind")
}

fn ended(workflow: &Value) -> bool {
    let completed = &workflow["metadata"]["labels"]["workflows.argoproj.io/completed"];
    completed == "true" && matches!(workflow["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Error"))
}

/// A workflow's phase and nodes, a line each.
pub fn describe(workflow: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let status = &workflow["status"];
    let mut lines = vec![format!("workflow: {} {}", text(&status["phase"]), text(&status["message"]))];
    for node in status["nodes"].as_object().into_iter().flat_map(serde_json::Map::values) {
        let (name, kind, phase) = (text(&node["name"]), text(&node["type"]), text(&node["phase"]));
        lines.push(format!("  {kind} {name}: {phase} {}", text(&node["message"])));
    }
    lines.join("\n")
}
