//! A small blocking client of the API server: paths in, status code and JSON out.
//!
//! Objects are plain JSON on purpose. Typed clients drop what they do not know, and these tests are about what the
//! server says to exact bytes, refusals included. Every method yields a [`Reply`]; [`Reply::accepted`] turns a refusal
//! into an error where a test wants success.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{Method, Request, header};
use kube::{Client, Config, client::Body, config::AuthInfo};
use serde_json::Value;
use tokio::{runtime::Handle, time::timeout};

/// A request takes milliseconds; this only keeps a hang from being silent.
const LIMIT: Duration = Duration::from_mins(2);

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const MERGE_PATCH: &str = "application/merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A client with one identity.
#[derive(Clone)]
pub struct Api {
    client: Client,
    runtime: Handle,
    impersonate: Option<String>,
    accept: &'static str,
}

/// What the API server said.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// The texts of `Warning` headers, such as an admission webhook's warnings.
    pub warnings: Vec<String>,
    /// The object, list or Status; a JSON string if the answer was no JSON.
    pub body: Value,
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The `message` of a Status, or nothing.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().or(self.body.as_str()).unwrap_or_default()
    }

    /// The body of a success; a refusal is an error with code and message.
    pub fn accepted(self) -> Result<Value> {
        ensure!(self.is_success(), "the API server refused: {} {}", self.status, self.message());
        Ok(self.body)
    }

    /// Like [`Self::accepted`], where an object that exists already or is gone already is fine too.
    pub fn settled(self) -> Result<Value> {
        if matches!(self.status, 404 | 409) { Ok(self.body) } else { self.accepted() }
    }
}

impl Api {
    /// A client of `https://127.0.0.1:<port>` with a bearer token.
    pub fn new(port: u16, authority_der: Vec<u8>, token: &str, runtime: &Handle) -> Result<Self> {
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
        config.root_cert = Some(vec![authority_der]);
        config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        // A retry would hide what the server says.
        config.default_retry = false;
        let _inside = runtime.enter();
        Ok(Self { client: Client::try_from(config)?, runtime: runtime.clone(), impersonate: None, accept: JSON })
    }

    /// The same client, acting as another user, such as `system:serviceaccount:ci:workflow`.
    #[must_use]
    pub fn impersonating(&self, user: &str) -> Self {
        Self { impersonate: Some(user.to_owned()), ..self.clone() }
    }

    /// The same client, given lists and objects as the tables that kubectl prints.
    #[must_use]
    pub fn in_tables(&self) -> Self {
        Self { accept: "application/json;as=Table;v=v1;g=meta.k8s.io", ..self.clone() }
    }

    /// The underlying client, for watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn get(&self, path: &str) -> Result<Reply> {
        self.send(&Method::GET, path, JSON, Vec::new())
    }

    /// The items of a list; `path` may hold a query, such as `?labelSelector=...`.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        match self.get(path)?.accepted()?["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// POSTs to a collection; `path` may end in `?dryRun=All`.
    pub fn create(&self, path: &str, object: &Value) -> Result<Reply> {
        self.create_bytes(path, JSON, serde_json::to_vec(object)?)
    }

    /// POSTs bytes as they are, for the server's own parser: [`JSON`] or [`YAML`].
    pub fn create_bytes(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<Reply> {
        self.send(&Method::POST, path, content_type, bytes)
    }

    pub fn merge_patch(&self, path: &str, change: &Value) -> Result<Reply> {
        self.send(&Method::PATCH, path, MERGE_PATCH, serde_json::to_vec(change)?)
    }

    /// RFC 6902.
    pub fn json_patch(&self, path: &str, change: &Value) -> Result<Reply> {
        self.send(&Method::PATCH, path, JSON_PATCH, serde_json::to_vec(change)?)
    }

    /// Server-side apply of a YAML or JSON manifest.
    pub fn apply(&self, path: &str, manifest: Vec<u8>) -> Result<Reply> {
        let path = format!("{path}?fieldManager=stepspan-tests&force=true");
        self.send(&Method::PATCH, &path, APPLY_PATCH, manifest)
    }

    pub fn delete(&self, path: &str) -> Result<Reply> {
        self.send(&Method::DELETE, path, JSON, Vec::new())
    }

    /// Any request; must not be called from within the async runtime.
    pub fn send(&self, method: &Method, path: &str, content_type: &str, body: Vec<u8>) -> Result<Reply> {
        self.runtime.block_on(self.send_async(method, path, content_type, body))
    }

    /// The same for async callers.
    pub async fn send_async(&self, method: &Method, path: &str, content_type: &str, body: Vec<u8>) -> Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, self.accept)
            .header(header::CONTENT_TYPE, content_type);
        if let Some(user) = &self.impersonate {
            request = request.header("Impersonate-User", user);
        }
        let exchange = async {
            let response = self.client.send(request.body(Body::from(body))?).await?;
            let status = response.status().as_u16();
            let warnings = response.headers().get_all(header::WARNING).iter().map(warning_text).collect();
            let bytes = response.into_body().collect_bytes().await?;
            let body = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
            anyhow::Ok(Reply { status, warnings, body })
        };
        timeout(LIMIT, exchange)
            .await
            .with_context(|| format!("no answer within {} s", LIMIT.as_secs()))
            .flatten()
            .with_context(|| format!("{method} {path}"))
    }
}

/// The quoted text of `299 - "text"`.
fn warning_text(value: &http::HeaderValue) -> String {
    let raw = String::from_utf8_lossy(value.as_bytes());
    let text = raw.split_once('"').map_or(&*raw, |(_, rest)| rest.trim_end_matches('"'));
    text.replace("\\\"", "\"")
}
