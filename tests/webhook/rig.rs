//! A server in this process and a client that writes its own bytes.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use stepspan::{
    admission::{self, Reviewed},
    config::{Config, Drain, Limits, TlsSource},
    context::Context,
    policy::PolicySet,
    telemetry::{events::Level, events::Target, metrics::Cause, rotate::Kept},
    webhook::run::{Seams, Webhook},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const LONG: Duration = Duration::from_secs(20);

pub type Tls = TlsStream<TcpStream>;

/// A running server, its folder, and what clients trust.
pub struct Rig {
    pub webhook: Webhook,
    pub dir: TempDir,
}

/// Limits short enough to be waited for.
pub fn limits() -> Limits {
    Limits {
        body_bytes: 1 << 20,
        body_timeout: Duration::from_millis(400),
        header_timeout: Duration::from_millis(400),
        handshake_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_mins(1),
        ..Limits::default()
    }
}

/// A configuration whose files are in `dir`.
pub fn config(dir: &Path) -> Config {
    Config {
        bind: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        https_port: 0,
        ops_port: 0,
        tls: TlsSource::SelfMade { names: vec!["localhost".into()], write_ca: Some(dir.join("ca.pem")) },
        poll: Duration::from_millis(50),
        limits: limits(),
        drain: Drain { delay: Duration::from_millis(300), timeout: Duration::from_secs(2) },
        level: Level::Debug,
        log: Target::File(Kept { path: dir.join("events.log"), max_bytes: 1 << 20, keep: 1 }),
        ..Config::default()
    }
}

/// The evaluator, which also obeys words in the body.
fn reviewer(body: &[u8], policies: &PolicySet, context: &Context) -> Reviewed {
    let says = |word: &[u8]| body.windows(word.len()).any(|part| part == word);
    assert!(!says(b"DO-PANIC"), "as the body asked");
    if says(b"DO-SLEEP") {
        std::thread::sleep(Duration::from_millis(900));
    }
    admission::review(body, policies, context)
}

/// Policies load unless `broken` stands in the file.
pub fn seams(policy: PathBuf) -> Seams {
    let loader = move || match fs::read_to_string(&policy) {
        Ok(text) if text.contains("broken") => Err(format!("{}:1:1: broken as asked", policy.display())),
        _ => Ok(PolicySet::default()),
    };
    Seams { loader: Arc::new(loader), reviewer, context: Context::default() }
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        let webhook = Webhook::start(config, seams(dir.path().join("policy.yaml"))).await.unwrap();
        Self { webhook, dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub async fn connect(&self) -> Tls {
        connect(self.webhook.https(), &client(&self.ca(), None)).await.unwrap()
    }

    /// One request on a connection of its own.
    pub async fn post(&self, path: &str, body: &[u8]) -> Answer {
        post(&mut self.connect().await, path, body).await
    }

    pub async fn ops(&self, path: &str) -> Answer {
        plain_get(self.webhook.ops(), path).await
    }

    pub async fn ready(&self) -> Answer {
        self.ops("/readyz").await
    }

    pub fn failures(&self, cause: Cause) -> u64 {
        self.webhook.metrics().failures(cause)
    }

    /// The event log so far, as soon as `count` lines of `action` stand in it.
    pub async fn events(&self, action: &str, count: usize) -> Vec<Value> {
        let wanted = async || {
            let text = fs::read_to_string(self.path("events.log")).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["action"] == action).collect::<Vec<_>>()
        };
        until(async || wanted().await.len() >= count).await;
        wanted().await
    }

    /// Waits until nothing is open or in flight any more.
    pub async fn settled(&self) {
        let metrics = self.webhook.metrics();
        until(async || metrics.connections.get() == 0 && metrics.in_flight.get() == 0).await;
    }

    /// Waits until the check `name` is in `state`; the check.
    pub async fn check(&self, name: &str, state: &str) -> Value {
        let find = async || {
            let body = self.ready().await.json();
            let checks = body["checks"].as_array().cloned().unwrap_or_default();
            checks.into_iter().find(|check| check["name"] == name).unwrap_or_default()
        };
        until(async || find().await["state"] == state).await;
        find().await
    }
}

/// Polls `condition` for some seconds.
pub async fn until(condition: impl AsyncFn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < end, "waited too long");
        sleep(Duration::from_millis(20)).await;
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Asserts the fail-open shape: admitted under `uid`, without a patch, with a warning; the warning.
    pub fn failed_open(&self, uid: &str) -> String {
        let review = self.json();
        assert_eq!(self.status, 200, "{review}");
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["kind"], "AdmissionReview");
        assert_eq!(review["response"]["uid"], uid);
        assert_eq!(review["response"]["allowed"], true);
        assert_eq!(review["response"].get("patch"), None);
        review["response"]["warnings"][0].as_str().unwrap_or_else(|| panic!("no warning: {review}")).to_owned()
    }
}

/// A review of `kind` whose object holds `extra`.
pub fn review(uid: &str, kind: &str, extra: &Value) -> Vec<u8> {
    let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "p"}, "extra": extra});
    let request = json!({
        "uid": uid, "kind": {"group": "", "version": "v1", "kind": kind}, "name": "p", "namespace": "argo",
        "operation": "CREATE", "object": object, "dryRun": false,
    });
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}).to_string().into_bytes()
}

/// A client's configuration: trusts `ca`; shows a certificate where it has one.
pub fn client(ca: &Path, identity: Option<(&Path, &Path)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    }
}

pub async fn connect(address: SocketAddr, config: &ClientConfig) -> std::io::Result<Tls> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    timeout(LONG, TlsConnector::from(Arc::new(config.clone())).connect(name, stream)).await.unwrap()
}

pub fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

pub async fn post(stream: &mut Tls, path: &str, body: &[u8]) -> Answer {
    stream.write_all(head(path, body.len()).as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream.flush().await.unwrap();
    answer(stream).await
}

/// Reads one answer.
pub async fn answer<S: AsyncReadExt + Unpin>(stream: &mut S) -> Answer {
    try_answer(stream).await.expect("the server closed without an answer")
}

/// Reads one answer; `None` where the server closed instead.
pub async fn try_answer<S: AsyncReadExt + Unpin>(stream: &mut S) -> Option<Answer> {
    timeout(LONG, async {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            stream.read_buf(&mut bytes).await.ok().filter(|n| *n > 0)?;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = bytes.split_off(end);
        while body.len() < length.parse().unwrap() {
            stream.read_buf(&mut body).await.ok().filter(|n| *n > 0)?;
        }
        Some(Answer { status: head[9..12].parse().unwrap(), head, body })
    })
    .await
    .expect("no answer in time")
}

/// Waits until the server closes; whether it had patience first. The server's clock began before ours, so half of it is enough.
pub async fn closed_after<S: AsyncReadExt + Unpin>(stream: &mut S, patience: Duration) -> bool {
    let began = Instant::now();
    let mut rest = Vec::new();
    // Closed with or without an error: both are closed.
    let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("still open");
    began.elapsed() >= patience / 2
}

pub async fn plain_get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await
}

/// A CA that signs certificates into files.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes one and writes its certificate to `path`.
    pub fn new(path: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(path, ca.pem()).unwrap();
        Self(ca)
    }

    /// Signs a certificate for localhost until `year` and writes the pair.
    pub fn sign(&self, certificate: &Path, key: &Path, year: i32) {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signed = params.signed_by(&pair, &self.0).unwrap();
        fs::write(key, pair.serialize_pem()).unwrap();
        fs::write(certificate, signed.pem()).unwrap();
    }
}
