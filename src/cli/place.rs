//! Where a server runs, and which replica it is.

use anyhow::Context as _;

/// Where a pod finds its own namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace of our own objects, such as `what`: as given, `$POD_NAMESPACE`, or the service account's.
pub(super) fn namespace(given: Option<String>, what: &str) -> anyhow::Result<String> {
    let mounted = || std::fs::read_to_string(POD_NAMESPACE).ok().map(|text| text.trim().to_owned());
    let namespace = given.or_else(|| variable("POD_NAMESPACE")).or_else(mounted);
    namespace.with_context(|| format!("the namespace of {what} is not known: give --namespace"))
}

/// This replica among the others: as given, `$POD_NAME` or `$HOSTNAME`.
pub(super) fn identity(given: Option<String>) -> anyhow::Result<String> {
    let identity = given.or_else(|| variable("POD_NAME")).or_else(|| variable("HOSTNAME"));
    identity.context("this replica's name is not known: give --identity")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
