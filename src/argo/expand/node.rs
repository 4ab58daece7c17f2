//! Names and ids of nodes and of their pods.

/// A node's id: `NodeID` of Argo's `pkg/apis/workflow/v1alpha1/workflow_types.go`.
pub fn id(workflow: &str, node_name: &str) -> String {
    if node_name == workflow { workflow.to_owned() } else { format!("{workflow}-{}", fnv1a(node_name)) }
}

/// Longest name of a Kubernetes object, less the hash's ten digits and its hyphen.
const MAX_PREFIX: usize = 253 - 10 - 1;

/// The name of a node's pod: `GeneratePodName` of Argo's `workflow/util/pod_name.go`, version 2.
pub fn pod_name(workflow: &str, node_name: &str, template: &str) -> String {
    if node_name == workflow {
        return workflow.to_owned();
    }
    let prefix = if template.is_empty() { workflow.to_owned() } else { format!("{workflow}-{template}") };
    // Names of objects are ASCII; where a placeholder is not, it is cut before the character.
    let prefix = &prefix[..prefix.floor_char_boundary(MAX_PREFIX)];
    format!("{prefix}-{}", fnv1a(node_name))
}

/// What stands for the digits of a node whose name only the run knows.
const HASH: &str = "{{hash}}";

/// [`id`], where the names are known; else with [`HASH`].
pub fn known_id(workflow: &str, node_name: &str) -> String {
    if node_name != workflow && (node_name.contains("{{") || workflow.contains("{{")) {
        return format!("{workflow}-{HASH}");
    }
    id(workflow, node_name)
}

/// [`pod_name`], where the names are known; else with [`HASH`].
pub fn known_pod_name(workflow: &str, node_name: &str, template: &str) -> String {
    if node_name != workflow && (node_name.contains("{{") || workflow.contains("{{")) {
        let template = if template.is_empty() { String::new() } else { format!("-{template}") };
        return format!("{workflow}{template}-{HASH}");
    }
    pod_name(workflow, node_name, template)
}

/// FNV-1a of 32 bits (draft-eastlake-fnv).
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Argo 3.7.3 named them.
    #[test]
    fn names_are_argo_s() {
        let (workflow, node) =
            ("artifact-passing-subpath-br752", "artifact-passing-subpath-br752[0].generate-artifact");
        assert_eq!(id(workflow, node), "artifact-passing-subpath-br752-2184874458");
        assert_eq!(
            pod_name(workflow, node, "hello-world-to-file"),
            "artifact-passing-subpath-br752-hello-world-to-file-2184874458"
        );
        assert_eq!((id("wf", "wf"), pod_name("wf", "wf", "main")), ("wf".to_owned(), "wf".to_owned()));
        let long = pod_name("wf", "wf.a", &"t".repeat(300));
        assert!(long.starts_with("wf-tt") && long.len() == 242 + 1 + fnv1a("wf.a").to_string().len(), "{}", long.len());
    }
}
