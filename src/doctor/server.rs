//! The API server's version and the nodes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::report::Finding;
use crate::context::Injector;

/// matchConditions of webhooks, which the chart writes, are on by default (beta) and then for good.
const CONDITIONS: (u32, u32) = (1, 30);
/// Image volumes, as beta behind the gate `ImageVolume`.
const IMAGE_VOLUMES: (u32, u32) = (1, 33);

/// Major and minor version.
pub type Version = (u32, u32);

/// Reads `/version`; a minor version may have a `+` behind it.
pub fn version(answer: &Value) -> Option<Version> {
    let number = |field: &str| answer[field].as_str()?.trim_end_matches('+').parse().ok();
    Some((number("major")?, number("minor")?))
}

/// Whether the API server has what we need.
pub fn judge_version(answer: &Value, init_less: bool) -> Finding {
    const CHECK: &str = "server";
    let git = answer["gitVersion"].as_str().unwrap_or("?");
    let Some(version) = version(answer) else {
        return Finding::warn(CHECK, format!("version {git:?} cannot be read"), "1.30 or later is needed");
    };
    let found = format!("Kubernetes {git}");
    if version < CONDITIONS {
        let found = format!("{found} has no stable matchConditions, which the webhook configuration uses");
        return Finding::fail(CHECK, found, "upgrade to Kubernetes 1.30 or later");
    }
    if init_less && version < IMAGE_VOLUMES {
        let found =
            format!("{found} has no image volumes, by which the shim comes into pods without an init container");
        return Finding::fail(CHECK, found, "upgrade to 1.33 or later, or let Argo use its init container");
    }
    Finding::ok(CHECK, found)
}

/// Whether pods land on nodes that our image has no program for; the labels that every kubelet sets say what a node is.
pub fn judge_nodes(nodes: &[Value], injector: &Injector) -> Finding {
    const CHECK: &str = "nodes";
    let mut platforms: BTreeMap<String, usize> = BTreeMap::new();
    let mut foreign = 0;
    for node in nodes {
        let labels = &node["metadata"]["labels"];
        let word = |label: &str| labels[label].as_str().unwrap_or("?").to_owned();
        let (os, arch) = (word("kubernetes.io/os"), word("kubernetes.io/arch"));
        foreign += usize::from(os != "linux" || !injector.architectures.contains(&arch));
        *platforms.entry(format!("{os}/{arch}")).or_default() += 1;
    }
    let seen: Vec<_> = platforms.iter().map(|(platform, count)| format!("{count} {platform}")).collect();
    let ours = injector.architectures.join(", ");
    let found = format!("{}; the image is for linux/{}", seen.join(", "), ours.replace(", ", ", linux/"));
    if nodes.is_empty() {
        return Finding::skip(CHECK, "the cluster has no node", "look again when it has");
    }
    if foreign == nodes.len() {
        let hint = "use an image of the nodes' architecture, and say so in image.architectures";
        return Finding::fail(CHECK, format!("no node can run the image: {found}"), hint);
    }
    if foreign > 0 {
        let hint = "steps that may land elsewhere need a nodeSelector on kubernetes.io/arch and kubernetes.io/os, or an \
                    image of all architectures (image.architectures)";
        return Finding::warn(CHECK, found, hint);
    }
    Finding::ok(CHECK, found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::report::State;

    #[test]
    fn versions_are_held_against_what_is_used() {
        let state = |minor: &str, init_less| {
            judge_version(&json!({"major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.2")}), init_less)
                .state
        };
        assert_eq!(state("34", false), State::Ok);
        assert_eq!(state("34+", true), State::Ok);
        assert_eq!(state("32", true), State::Fail);
        assert_eq!(state("29", false), State::Fail);
        assert_eq!(state("27", false), State::Fail);
        assert_eq!(judge_version(&json!({}), false).state, State::Warn);
    }

    #[test]
    fn nodes_are_counted_by_platform() {
        let node = |os: &str, arch: &str| json!({"metadata": {"labels": {"kubernetes.io/os": os, "kubernetes.io/arch": arch}}});
        let (ours, arm, windows) = (node("linux", "amd64"), node("linux", "arm64"), node("windows", "amd64"));
        let judge = |nodes: &[Value]| judge_nodes(nodes, &Injector::default());
        assert_eq!(judge(&[ours.clone(), ours.clone()]).found, "2 linux/amd64; the image is for linux/amd64");
        assert_eq!(judge(&[ours.clone(), arm.clone()]).state, State::Warn);
        assert_eq!(judge(&[ours, windows]).state, State::Warn);
        assert_eq!(judge(&[arm]).state, State::Fail);
        assert_eq!(judge(&[]).state, State::Skip);
    }
}
