//! Questions to the API server: paths in, raw JSON out. Each is bounded in time and in what it may bring.
//!
//! Raw, as pods are patched raw: what a typed client does not know it would drop, and a check of it would say nothing.

use std::{fmt, time::Duration};

use hyper::{Method, Request, header};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::in_words;
use crate::policy::{crd, syntax::is_dns_subdomain};

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Objects in one page of a list.
const PAGE: usize = 500;
/// Lists without a limit of their own are cut here: so many objects of one kind say all there is to say.
pub const ALL: usize = 5_000;

/// A kind of objects, as paths and rights name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
}

impl Kind {
    /// Pods.
    pub const PODS: Self = Self::core("pods");
    /// Namespaces.
    pub const NAMESPACES: Self = Self::core("namespaces");
    /// Nodes.
    pub const NODES: Self = Self::core("nodes");
    /// Services.
    pub const SERVICES: Self = Self::core("services");
    /// Secrets.
    pub const SECRETS: Self = Self::core("secrets");
    /// ConfigMaps.
    pub const CONFIG_MAPS: Self = Self::core("configmaps");
    /// ResourceQuotas.
    pub const QUOTAS: Self = Self::core("resourcequotas");
    /// LimitRanges.
    pub const LIMIT_RANGES: Self = Self::core("limitranges");
    /// `NetworkPolicies`.
    pub const NETWORK_POLICIES: Self = Self { group: "networking.k8s.io", version: "v1", plural: "networkpolicies" };
    /// Deployments.
    pub const DEPLOYMENTS: Self = Self { group: "apps", version: "v1", plural: "deployments" };
    /// EndpointSlices.
    pub const ENDPOINT_SLICES: Self = Self { group: "discovery.k8s.io", version: "v1", plural: "endpointslices" };
    /// MutatingWebhookConfigurations.
    pub const WEBHOOKS: Self = Self::admission("v1", "mutatingwebhookconfigurations");
    /// Argo's Workflows.
    pub const WORKFLOWS: Self = Self { group: "argoproj.io", version: "v1alpha1", plural: "workflows" };
    /// Our own policies.
    pub const POLICIES: Self = Self { group: crd::GROUP, version: crd::VERSION, plural: crd::PLURAL };

    /// A kind of `admissionregistration.k8s.io`.
    pub const fn admission(version: &'static str, plural: &'static str) -> Self {
        Self { group: "admissionregistration.k8s.io", version, plural }
    }

    const fn core(plural: &'static str) -> Self {
        Self { group: "", version: "v1", plural }
    }

    fn path(self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) }
            + "/"
            + self.version;
        namespace.map_or_else(
            || format!("{root}/{}", self.plural),
            |namespace| format!("{root}/namespaces/{namespace}/{}", self.plural),
        )
    }
}

/// A right that is missing, as `kubectl auth can-i` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    verb: &'static str,
    resource: String,
    namespace: Option<String>,
}

impl Right {
    pub(crate) fn new(verb: &'static str, kind: Kind, part: &str, namespace: Option<&str>) -> Self {
        let part = if part.is_empty() { String::new() } else { format!("/{part}") };
        let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
        Self { verb, resource: format!("{}{group}{part}", kind.plural), namespace: namespace.map(str::to_owned) }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, " in {namespace}"))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A right is missing.
    Forbidden(Right),
    /// It is not there, or its kind is not served.
    Absent,
    /// The API server does not know who asks.
    Unauthorized(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(right) => write!(f, "no right to {right}"),
            Self::Absent => f.write_str("not there"),
            Self::Unauthorized(why) | Self::Failed(why) => write!(f, "the API server did not answer: {why}"),
        }
    }
}

/// An answer, or why there is none.
pub type Answer<T> = Result<T, Refusal>;

/// What the API server said to a write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// The texts of `Warning` headers.
    pub warnings: Vec<String>,
    /// The object or Status.
    pub body: Value,
}

impl Reply {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The `message` of a Status.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Who asks.
#[derive(Clone)]
pub struct Asker {
    client: Client,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl Asker {
    /// Asks by this client, whose own retries should be off.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// What `/version` says.
    ///
    /// # Errors
    /// No answer.
    pub async fn version(&self) -> Answer<Value> {
        let right = || Right { verb: "get", resource: "/version".into(), namespace: None };
        judged(self.send(Method::GET, "/version", "application/json", None).await?, right)
    }

    /// One object.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Answer<Value> {
        let path = object(kind, namespace, name)?;
        let reply = self.send(Method::GET, &path, "application/json", None).await?;
        judged(reply, || Right::new("get", kind, "", namespace))
    }

    /// Up to `most` objects; `selector` is empty or a label selector.
    ///
    /// # Errors
    /// No answer.
    pub async fn list(&self, kind: Kind, namespace: Option<&str>, selector: &str, most: usize) -> Answer<Vec<Value>> {
        self.pages((kind, namespace), selector, most, "application/json").await
    }

    /// The same of nothing but metadata.
    ///
    /// # Errors
    /// No answer.
    pub async fn list_metadata(&self, kind: Kind, selector: &str, most: usize) -> Answer<Vec<Value>> {
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        self.pages((kind, None), selector, most, metadata).await
    }

    async fn pages(
        &self,
        (kind, namespace): (Kind, Option<&str>),
        selector: &str,
        most: usize,
        accept: &'static str,
    ) -> Answer<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = String::new();
        while items.len() < most {
            let limit = PAGE.min(most - items.len());
            let path = format!("{}?limit={limit}&labelSelector={selector}{next}", kind.path(namespace));
            let reply = self.send(Method::GET, &path, accept, None).await?;
            let mut list = judged(reply, || Right::new("list", kind, "", namespace))?;
            if let Value::Array(page) = list["items"].take() {
                items.extend(page);
            }
            match list["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => next = format!("&continue={token}"),
                _ => break,
            }
        }
        Ok(items)
    }

    /// Creates an object, or with `dry_run` only asks whether it would be; a refusal is a [`Reply`] too.
    ///
    /// # Errors
    /// No answer, or a missing right.
    pub async fn create(&self, kind: Kind, namespace: &str, object: &Value, dry_run: bool) -> Answer<Reply> {
        let query = if dry_run { "?dryRun=All&fieldManager=stepspan-doctor" } else { "?fieldManager=stepspan-doctor" };
        let path = kind.path(Some(namespace)) + query;
        let reply = self.send(Method::POST, &path, "application/json", Some(object)).await?;
        // Admission refuses with the same code, and names the object.
        if reply.status == 403 && reply.message().contains("cannot create resource") {
            return Err(Refusal::Forbidden(Right::new("create", kind, "", Some(namespace))));
        }
        match reply.status {
            401 => Err(Refusal::Unauthorized(reply.message().to_owned())),
            _ => Ok(reply),
        }
    }

    /// Deletes an object at once.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Answer<()> {
        let path = object(kind, Some(namespace), name)?;
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        let reply = self.send(Method::DELETE, &path, "application/json", Some(&options)).await?;
        judged(reply, || Right::new("delete", kind, "", Some(namespace))).map(drop)
    }

    /// The end of what a pod's container wrote.
    ///
    /// # Errors
    /// No answer.
    pub async fn log(&self, namespace: &str, pod: &str, container: &str) -> Answer<String> {
        let path = object(Kind::PODS, Some(namespace), pod)? + &format!("/log?container={container}&tailLines=20");
        let reply = self.send(Method::GET, &path, "*/*", None).await?;
        let body = judged(reply, || Right::new("get", Kind::PODS, "log", Some(namespace)))?;
        Ok(body.as_str().map_or_else(|| body.to_string(), str::to_owned))
    }

    async fn send(&self, method: Method, path: &str, accept: &str, body: Option<&Value>) -> Answer<Reply> {
        let bytes = body.map(|object| object.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(bytes))
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        let failed = |error: kube::Error| Refusal::Failed(in_words(&error));
        let exchange = async {
            let response = self.client.send(request).await.map_err(failed)?;
            let status = response.status().as_u16();
            let warnings = response.headers().get_all(header::WARNING);
            let warnings = warnings.iter().map(|value| warning(&String::from_utf8_lossy(value.as_bytes()))).collect();
            let bytes = response.into_body().collect_bytes().await.map_err(failed)?;
            let body = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
            Ok(Reply { status, warnings, body })
        };
        let late = || Refusal::Failed(format!("no answer within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}

fn object(kind: Kind, namespace: Option<&str>, name: &str) -> Answer<String> {
    // Whatever wrote it: a name that would be another path is no object's name.
    if is_dns_subdomain(name) && namespace.is_none_or(is_dns_subdomain) {
        Ok(format!("{}/{name}", kind.path(namespace)))
    } else {
        Err(Refusal::Absent)
    }
}

fn judged(reply: Reply, right: impl FnOnce() -> Right) -> Answer<Value> {
    match reply.status {
        200..300 => Ok(reply.body),
        401 => Err(Refusal::Unauthorized(reply.message().to_owned())),
        403 => Err(Refusal::Forbidden(right())),
        404 => Err(Refusal::Absent),
        code => Err(Refusal::Failed(format!("{code} {}", reply.message()))),
    }
}

/// The quoted text of `299 - "text"` (RFC 7234, 5.5).
fn warning(value: &str) -> String {
    let text = value.split_once('"').map_or(value, |(_, rest)| rest.strip_suffix('"').unwrap_or(rest));
    text.replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_as_it_would_be_granted() {
        let right = Right::new("list", Kind::DEPLOYMENTS, "", Some("argo"));
        assert_eq!(Refusal::Forbidden(right).to_string(), "no right to list deployments.apps in argo");
        assert_eq!(Right::new("get", Kind::PODS, "log", None).to_string(), "get pods/log");
    }

    #[test]
    fn paths_are_of_objects_only() {
        let path = |name| object(Kind::SECRETS, Some("ci"), name);
        assert_eq!(path("otlp").unwrap(), "/api/v1/namespaces/ci/secrets/otlp");
        assert_eq!(path("../pods"), Err(Refusal::Absent));
        assert_eq!(Kind::WEBHOOKS.path(None), "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations");
    }

    #[test]
    fn a_warning_is_read_out_of_its_header() {
        assert_eq!(warning(r#"299 - "stepspan: say \"no\"""#), r#"stepspan: say "no""#);
    }
}
