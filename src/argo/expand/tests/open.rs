//! Pods that keep what only the run knows say so, wherever they keep it.

use super::*;

fn unresolved(container: &str) -> Vec<String> {
    let spec = format!("\n  entrypoint: run\n  templates: [{{name: run, container: {container}}}]\n");
    expanded(&spec).pods[0].unresolved.clone()
}

#[test]
fn a_pod_that_keeps_a_tag_says_so() {
    for kept in [
        // The image's own entrypoint.
        "{image: i, args: [x]}",
        "{image: i, command: [notify, '{{workflow.status}}']}",
        "{image: i, command: [c], args: ['{{=workflow.creationTimestamp.Y}}']}",
        "{image: i, command: [c], volumeMounts: [], workingDir: '/{{ workflow.duration }}'}",
    ] {
        assert_eq!(unresolved(kept), ["pod/field"], "{kept}");
    }
    for closed in ["{image: i, command: [c]}", "{image: i, command: [docker, ps, --format, '{{.Names}}']}"] {
        assert_eq!(unresolved(closed), [""; 0], "{closed}");
    }
}
