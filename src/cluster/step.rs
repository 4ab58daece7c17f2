//! A step's pod as Argo made it, from what the cluster has of it now: the pod with our injection taken out, the carriers that its
//! Workflow had, and the labels of its namespace.

use std::io::Read as _;

use base64::Engine as _;
use flate2::read::GzDecoder;
use serde_json::{Map, Value};

use super::ask::{Answer, Asker, Kind};
use crate::argo::names::{NODE_ID_ANNOTATION, WORKFLOW_LABEL};
use crate::inject::undo::{recall, undo};

/// A status larger than this, unpacked, is not read.
const MAX_NODES: u64 = 64 << 20;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The pod, as it was before us.
    pub pod: Value,
    /// Its namespace, where that may be read.
    pub namespace: Option<Value>,
    /// Sources of values that nobody knows any more, as [`Context::unresolved`](crate::context::Context::unresolved) names them.
    pub unknown: Vec<String>,
    /// The Workflow is not there any more, or may not be read: nothing it carried is known.
    pub workflow_unread: bool,
    /// For people.
    pub notes: Vec<String>,
}

/// Looks for a pod. `allowed` are the variables that policies may set besides `OTEL_*`.
///
/// # Errors
/// The pod is not there, or may not be read.
pub async fn find(ask: &Asker, namespace: &str, name: &str, allowed: &[String]) -> Answer<Found> {
    let mut pod = ask.get(Kind::PODS, Some(namespace), name).await?;
    let labels = ask.get(Kind::NAMESPACES, None, namespace).await;
    let mut notes = Vec::new();
    if let Err(refusal) = &labels {
        notes.push(format!("the labels of namespace {namespace} are not known: {refusal}"));
    }
    let mut found =
        Found { pod: Value::Null, namespace: labels.ok(), unknown: Vec::new(), workflow_unread: false, notes };
    if undo(&mut pod, allowed) {
        found.notes.push(format!("{name} was injected; it is shown as Argo made it"));
        carriers(ask, namespace, &mut pod, &mut found).await;
    }
    // As an item of a list comes, and as kubectl prints it.
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    found.pod = pod;
    Ok(found)
}

/// Gives the pod back what its Workflow carried to it.
async fn carriers(ask: &Asker, namespace: &str, pod: &mut Value, found: &mut Found) {
    let metadata = &pod["metadata"];
    let workflow = metadata["labels"][WORKFLOW_LABEL].as_str().unwrap_or_default().to_owned();
    let node_id = metadata["annotations"][NODE_ID_ANNOTATION].as_str().unwrap_or_default().to_owned();
    let workflow = match ask.get(Kind::WORKFLOWS, Some(namespace), &workflow).await {
        Ok(object) => object,
        Err(refusal) => {
            found.workflow_unread = true;
            return found.notes.push(format!("what Workflow {workflow} carried is not known: {refusal}"));
        }
    };
    let nodes = nodes(&workflow["status"]);
    if nodes.is_none() {
        found.notes.push("the Workflow's nodes are not in its status: inputs of the step are not known".to_owned());
    }
    let recalled = recall(&workflow, nodes.as_ref(), &node_id);
    found.unknown = recalled.unknown;
    let annotations = &mut pod["metadata"]["annotations"];
    for (name, value) in recalled.annotations {
        annotations[name] = value.into();
    }
}

/// The nodes of a status: as they are, or compressed (`util/compress` of Argo: base64 of gzip). Offloaded ones are not there.
fn nodes(status: &Value) -> Option<Map<String, Value>> {
    if let Some(nodes) = status["nodes"].as_object() {
        return Some(nodes.clone());
    }
    let packed = status["compressedNodes"].as_str().filter(|text| !text.is_empty())?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
    let mut text = String::new();
    GzDecoder::new(bytes.as_slice()).take(MAX_NODES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_are_read_as_they_are_or_compressed() {
        let plain = json!({"wf-1": {"inputs": {}}});
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(plain.to_string().as_bytes()).unwrap();
        let packed = base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap());
        assert_eq!(nodes(&json!({"compressedNodes": packed})), plain.as_object().cloned());
        assert_eq!(nodes(&json!({"nodes": plain})), plain.as_object().cloned());
        for none in [json!({}), json!({"offloadNodeStatusVersion": "fnv:1"}), json!({"compressedNodes": "?"})] {
            assert_eq!(nodes(&none), None, "{none}");
        }
    }
}
