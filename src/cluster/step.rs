//! A step's pod as Argo made it, from what the cluster has of it now: the pod with our injection taken out, the carriers that its
//! Workflow had, and the labels of its namespace.

use serde_json::Value;

use super::ask::{Answer, Asker, Kind};
use crate::argo::names::{NODE_ID_ANNOTATION, WORKFLOW_LABEL};
use crate::inject::undo::{recall, undo};
use crate::trace::status::whole_node;

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
    let node = whole_node(&workflow["status"], &node_id).unwrap_or_else(|why| {
        found.notes.push(format!("inputs of the step are not known: {why}"));
        None
    });
    let recalled = recall(&workflow, node.as_ref());
    found.unknown = recalled.unknown;
    let annotations = &mut pod["metadata"]["annotations"];
    for (name, value) in recalled.annotations {
        annotations[name] = value.into();
    }
}
