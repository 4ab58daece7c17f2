//! What starts a Workflow -> the Workflow it starts (`workflow/common/convert.go` of Argo).

use serde_json::{Value, json};

use super::raw::{entries, kept, set, text};

/// The API group of Argo's kinds.
const GROUP: &str = "argoproj.io/";

/// Whether a manifest is one that is expanded.
pub fn is_source(api_version: &str, kind: &str) -> bool {
    api_version.starts_with(GROUP)
        && matches!(kind, "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" | "CronWorkflow")
}

/// Whether a Workflow was made of a template by [`workflow`], and not written by anybody.
pub(super) fn is_of_template(workflow: &Value) -> bool {
    workflow["metadata"]["annotations"][MADE_OF_TEMPLATE] == ""
}

/// Marks Workflows that stand for whatever is submitted from a template.
const MADE_OF_TEMPLATE: &str = "stepspan.dev/made-of-template";

/// Whether a kind is of templates that Workflows refer to.
pub fn is_template(kind: &str) -> bool {
    matches!(kind, "WorkflowTemplate" | "ClusterWorkflowTemplate")
}

/// Whether a manifest only holds templates for others to refer to.
pub fn is_library(manifest: &Value) -> bool {
    is_template(text(manifest, "kind"))
        && text(&manifest["spec"], "entrypoint").is_empty()
        && kept(&manifest["spec"], "workflowTemplateRef").is_none()
}

/// The Workflow that a manifest is, or starts: `argo submit --from` for templates, the schedule for a CronWorkflow.
pub fn workflow(manifest: &Value) -> Value {
    let metadata = &manifest["metadata"];
    let name = text(metadata, "name");
    let mut made = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": format!("{name}-")},
    });
    if let Some(namespace) = kept(metadata, "namespace") {
        made["metadata"]["namespace"] = namespace.clone();
    }
    match text(manifest, "kind") {
        "WorkflowTemplate" | "ClusterWorkflowTemplate" => {
            let cluster = text(manifest, "kind") == "ClusterWorkflowTemplate";
            let label = if cluster {
                "workflows.argoproj.io/cluster-workflow-template"
            } else {
                "workflows.argoproj.io/workflow-template"
            };
            made["metadata"]["labels"] = json!({label: name});
            made["metadata"]["annotations"] = json!({MADE_OF_TEMPLATE: ""});
            made["spec"] = json!({"workflowTemplateRef": {"name": name, "clusterScope": cluster}});
        }
        "CronWorkflow" => {
            let spec = &manifest["spec"];
            made["metadata"]["labels"] = json!({"workflows.argoproj.io/cron-workflow": name});
            made["metadata"]["annotations"] =
                json!({"workflows.argoproj.io/scheduled-time": "{{workflow.scheduledTime}}"});
            for kind in ["labels", "annotations"] {
                set(&mut made["metadata"], kind, entries(&spec["workflowMetadata"], kind));
            }
            made["spec"] = spec["workflowSpec"].clone();
        }
        _ => return manifest.clone(),
    }
    made
}
