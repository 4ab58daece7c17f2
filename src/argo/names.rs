//! Names Argo Workflows gives to labels, annotations, containers and variables
//! (`workflow/common/common.go` of argo-workflows 3.5 to 4.1).

/// Label: the owning Workflow's name.
pub const WORKFLOW_LABEL: &str = "workflows.argoproj.io/workflow";
/// Label: `agent` or `artifact-gc` on pods that are no steps.
pub const COMPONENT_LABEL: &str = "workflows.argoproj.io/component";
/// Annotation: the node's id.
pub const NODE_ID_ANNOTATION: &str = "workflows.argoproj.io/node-id";
/// Annotation: the node's name, such as `wf[0].build(0)`.
pub const NODE_NAME_ANNOTATION: &str = "workflows.argoproj.io/node-name";
/// Annotation: set by the 4.1 controller only, whether it traces or not.
pub const TRACE_ID_ANNOTATION: &str = "workflows.argoproj.io/trace-id";
/// Variable: the template as JSON, on `init` (or on `supervisor` where there is no init container).
pub const TEMPLATE_ENV: &str = "ARGO_TEMPLATE";
/// Variable: the Workflow's UID, on `init` and `wait`.
pub const WORKFLOW_UID_ENV: &str = "ARGO_WORKFLOW_UID";
/// Variable: the node's id, on every container.
pub const NODE_ID_ENV: &str = "ARGO_NODE_ID";
/// What [`TEMPLATE_ENV`] holds where the template is too large for a variable.
pub const OFFLOADED: &str = "offloaded";
/// The step container of all templates but a containerSet.
pub const MAIN_CONTAINER: &str = "main";

/// Whether a container is Argo's own.
pub fn is_argo_container(name: &str) -> bool {
    matches!(name, "wait" | "init" | "supervisor") || name.starts_with("artifact-plugin-")
}
