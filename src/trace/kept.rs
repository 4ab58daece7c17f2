//! What is kept of a pod beyond its life, and beyond whoever saw it: under what its step counts, in which trace it is, and by which names.

use serde::{Deserialize, Serialize};

use super::pod::{Pod, Told};
use super::values::Values;
use crate::identity::TraceParent;

/// Of one pod; of most pods of a Workflow the same.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Correlation.
    #[serde(rename = "v")]
    values: Vec<(String, String)>,
    /// What admission told it, where it was injected.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    told: Option<KeptTold>,
}

/// As [`Told`].
#[derive(Serialize, Deserialize)]
struct KeptTold {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(rename = "k", default, skip_serializing_if = "std::ops::Not::not")]
    keep_failed: bool,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    incoming: Option<String>,
    #[serde(rename = "n")]
    names: String,
}

/// What is another for each pod, and told by its node.
const OWN: [&str; 4] = ["stepName", "nodeId", "templateName", "container"];

/// As JSON.
pub fn kept(pod: &Pod) -> String {
    let values = pod.values().iter().filter(|(key, _)| !OWN.contains(key));
    let text = |context: &TraceParent| context.to_string();
    let told = pod.told.as_deref().map(|told| KeptTold {
        // The span is the Workflow's or the node's: what of it matters is the trace, and whether it is taken.
        context: told.context.as_ref().map(text),
        keep_failed: told.keep_failed,
        incoming: told.incoming.as_deref().map(text),
        names: told.names.clone(),
    });
    let kept = Kept { values: values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(), told };
    // Texts alone: JSON has them all.
    serde_json::to_string(&kept).unwrap_or_default()
}

/// A pod of which nothing else is known, and nothing more is to be heard; `None` where the text is none of [`kept`].
pub fn read(text: &str) -> Option<Pod> {
    let Kept { values, told } = serde_json::from_str(text).ok()?;
    let values = Values::of(values.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let context = |text: Option<String>| text.as_deref().and_then(TraceParent::read);
    let Some(KeptTold { context: trace, keep_failed, incoming, names }) = told else {
        return Some(Pod::gone(None, values));
    };
    let incoming = context(incoming).map(Box::new);
    let told = Told { context: context(trace), keep_failed, incoming, names, values };
    Some(Pod::gone(Some(Box::new(told)), Values::default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_counts_comes_back() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/node-dag-pods.json");
        let list: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut pods: Vec<Pod> = list["items"].as_array().unwrap().iter().filter_map(Pod::read).collect();
        let metadata = json!({
            "labels": {"repo": "acme", "pr": "7"},
            "annotations": {"workflows.argoproj.io/node-id": "w-1"},
            "ownerReferences": [{"kind": "Workflow", "uid": "u"}],
        });
        pods.push(Pod::read(&json!({"metadata": metadata, "spec": {}, "status": {}})).unwrap());
        for pod in &pods {
            let text = kept(pod);
            let back = read(&text).unwrap();
            assert_eq!(kept(&back), text);
            assert!(back.has_ended && !text.contains("stepName") && text.len() < 1_024, "{text}");
            for key in ["repo", "prNumber", "taskId", "agent", "environment"] {
                assert_eq!(back.value(key), pod.value(key), "{key}");
            }
            let told =
                |pod: &Pod| pod.told.as_ref().map(|told| (told.context.clone(), told.keep_failed, told.names.clone()));
            assert_eq!(told(&back), told(pod));
        }
        assert_eq!(pods.last().map(|pod| pod.value("repo")), Some("acme"));
        assert_eq!(read("{}"), None);
        assert_eq!(read("not JSON"), None);
    }
}
