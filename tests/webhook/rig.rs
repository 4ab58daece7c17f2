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

/// A hang guard: longer than a loaded machine takes for anything.
pub const LONG: Duration = Duration::from_mins(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

pub type Tls = TlsStream<TcpStream>;

/// A running server, its folder, and what clients trust.
pub struct Rig {
    pub webhook: Webhook,
    pub dir: TempDir,
}

/// Times that no machine is too slow for: a test of one of them shortens it.
pub fn limits() -> Limits {
    let long = 10 * LONG;
    Limits {
        body_bytes: 1 << 20,
        body_timeout: long,
        header_timeout: long,
        handshake_timeout: long,
        idle_timeout: long,
        ..Limits::default()
    }
}

/// Keeps the server from dialling itself, for want of the CA to check: its connection would count among those of the test.
pub fn alone(config: &mut Config) {
    config.ca_bundle = Some("/nonexistent/ca.pem".into());
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
        drain: Drain { delay: Duration::from_millis(300), timeout: LONG },
        level: Level::Debug,
        log: Target::File(Kept { path: dir.join("events.log"), max_bytes: 1 << 20, keep: 1 }),
        ..Config::default()
    }
}

/// The evaluator, which also obeys a word in the body.
fn reviewer(body: &[u8], policies: &PolicySet, context: &Context) -> Reviewed {
    let word = b"DO-PANIC";
    assert!(!body.windows(word.len()).any(|part| part == word), "as the body asked");
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

    /// A connection that has carried this request, its answer, and how many others were closed before it came: short limits
    /// may be too short for a loaded machine.
    pub async fn carried(&self, body: &[u8]) -> (Tls, Answer, u64) {
        let end = Instant::now() + LONG;
        let mut closed = 0;
        loop {
            let mut stream = self.connect().await;
            if let Some(answer) = try_post(&mut stream, "/mutate", body).await {
                return (stream, answer, closed);
            }
            assert!(Instant::now() < end, "always closed before the request came");
            closed += 1;
        }
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

    /// The metrics, as soon as each of these stands in them: what can be seen of a reload is not counted yet.
    pub async fn exposes(&self, lines: &[&str]) -> String {
        let end = Instant::now() + LONG;
        loop {
            let text = String::from_utf8(self.ops("/metrics").await.body).unwrap();
            let Some(line) = lines.iter().find(|line| !text.contains(**line)) else { return text };
            assert!(Instant::now() < end, "{line} in {text}");
            sleep(PAUSE).await;
        }
    }

    /// The events of `action` so far, as soon as there are `count` of them.
    pub async fn events(&self, action: &str, count: usize) -> Vec<Value> {
        let path = self.path("events.log");
        found(async || Some(logged(&path, action)).filter(|events| events.len() >= count)).await
    }

    /// Puts a file in place whole: the server may look at any time.
    pub fn put(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    /// Waits until nothing is open or in flight any more.
    pub async fn settled(&self) {
        let metrics = self.webhook.metrics();
        until(async || metrics.connections.get() == 0 && metrics.in_flight.get() == 0).await;
    }

    /// Waits until the check `name` is in `state`; the check.
    pub async fn check(&self, name: &str, state: &str) -> Value {
        found(async || {
            let body = self.ready().await.json();
            let checks = body["checks"].as_array().cloned().unwrap_or_default();
            checks.into_iter().find(|check| check["name"] == name && check["state"] == state)
        })
        .await
    }
}

/// Waits until `condition` holds.
pub async fn until(condition: impl AsyncFn() -> bool) {
    found(async || condition().await.then_some(())).await;
}

/// What `look` finds, as soon as it finds something.
pub async fn found<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(it) = look().await {
            return it;
        }
        assert!(Instant::now() < end, "waited too long");
        sleep(PAUSE).await;
    }
}

/// The events of `action` in a log; a line that is still being written is none.
pub fn logged(log: &Path, action: &str) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["action"] == action).collect()
}

fn put(path: &Path, text: &str) {
    let aside = path.with_extension("aside");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
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
    try_post(stream, path, body).await.expect("the server closed without an answer")
}

/// Head and body in one piece; `None` where the server closed instead of answering.
async fn try_post(stream: &mut Tls, path: &str, body: &[u8]) -> Option<Answer> {
    stream.write_all(&[head(path, body.len()).as_bytes(), body].concat()).await.ok()?;
    stream.flush().await.ok()?;
    try_answer(stream).await
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

/// Waits until the server closes.
pub async fn closed<S: AsyncReadExt + Unpin>(stream: &mut S) {
    let mut rest = Vec::new();
    // Closed with or without an error: both are closed.
    let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("still open");
}

/// Waits until the server closes; whether it had patience first. `began` is before the server's own clock began.
pub async fn closed_after<S: AsyncReadExt + Unpin>(stream: &mut S, began: Instant, patience: Duration) -> bool {
    closed(stream).await;
    began.elapsed() >= patience
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

    /// Signs a certificate for localhost until `year` and puts the pair in place, each file whole.
    pub fn sign(&self, certificate: &Path, key: &Path, year: i32) {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signed = params.signed_by(&pair, &self.0).unwrap();
        put(key, &pair.serialize_pem());
        put(certificate, &signed.pem());
    }
}
