//! What the server tries on itself before it says it is ready: a synthetic review, and a TLS dial of its own port.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    cluster::{Known, registration::Registration},
    context::Context,
    policy::PolicySet,
    webhook::{
        health::Probe,
        mutate::Reviewer,
        tls::{self, TlsStore},
    },
};

const PATIENCE: Duration = Duration::from_secs(3);
const UID: &str = "00000000-0000-0000-0000-000000000000";

/// Sends the smallest real review through the evaluator: it must admit it, under its uid.
pub(super) fn review(reviewer: Reviewer, policies: &PolicySet, context: &Context) -> Probe {
    let body = synthetic().to_string();
    let answer = catch_unwind(AssertUnwindSafe(|| reviewer(body.as_bytes(), policies, context).response()))
        .map_err(|_| "the evaluator panicked on a minimal pod".to_owned())?
        .ok_or("the evaluator gave no answer for a minimal pod")?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| format!("the answer is not JSON: {error}"))?;
    let response = &answer["response"];
    if response["uid"] != UID || response["allowed"] != true {
        return Err("the answer for a minimal pod does not admit it".into());
    }
    Ok("a minimal pod was admitted".into())
}

fn synthetic() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": UID, "operation": "CREATE", "namespace": "default", "name": "stepspan-self-review", "dryRun": true,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stepspan-self-review"},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    })
}

/// How to dial ourselves, and what must be seen.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<TlsStore>,
    pub(super) ca_bundle: Option<PathBuf>,
    /// The live webhook configuration, where there is a cluster.
    pub(super) registration: Option<watch::Receiver<Known<Registration>>>,
    pub(super) server_name: Option<String>,
}

impl Dial {
    /// Dials the admission port: it must show the certificate in force, and one that the API server trusts.
    pub(super) async fn dial(&self) -> Probe {
        let name = self.server_name.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|_| "--server-name is not a DNS name".to_owned())?;
        let served = self.tls.current().ok_or("there is no certificate to show yet")?;
        let trusted = self.trusted()?;
        let roots = match &trusted {
            Some((roots, _)) => roots.clone(),
            None => Vec::new(),
        };
        let verifier = Expected { leaf: served.leaf.clone(), roots, name, provider: tls::provider() };
        timeout(PATIENCE, talk(self.address, verifier))
            .await
            .map_err(|_| format!("no answer from our own port within {} s", PATIENCE.as_secs()))??;
        let seen = "our own port shows the certificate in force";
        Ok(trusted.map_or_else(|| seen.into(), |(_, by)| format!("{seen}, signed by {by}")))
    }

    /// What the API server trusts: a set of roots for each webhook, and where they are from.
    fn trusted(&self) -> Result<Option<Trusted>, String> {
        if let Some(path) = self.ca_bundle.as_deref() {
            let roots = tls::roots(path, "--ca-bundle").map_err(|error| error.to_string())?;
            return Ok(Some((vec![Arc::new(roots)], "the CA bundle")));
        }
        let Some(registration) = &self.registration else { return Ok(None) };
        let webhooks = match &*registration.borrow() {
            Known::NotYet => return Err("the webhook configuration has not been read yet".into()),
            Known::Absent => return Err("there is no webhook configuration, so no pod is sent here".into()),
            Known::Is(registration) => registration.webhooks.clone(),
        };
        let roots = |(webhook, bundle): &(String, String)| {
            let wrong = |why: &str| format!("the caBundle of the webhook {webhook} {why}");
            if bundle.is_empty() {
                return Err(wrong("is empty: whoever keeps the certificate has not set it yet"));
            }
            tls::roots_of(bundle.as_bytes()).map(Arc::new).map_err(|error| wrong(&format!("can't be read: {error}")))
        };
        Ok(Some((webhooks.iter().map(roots).collect::<Result<_, _>>()?, "every webhook's caBundle")))
    }
}

async fn talk(address: SocketAddr, verifier: Expected) -> Result<(), String> {
    let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let own = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
    let ip = if address.ip().is_unspecified() { own } else { address.ip() };
    let failed = |error: std::io::Error| format!("dialling our own port failed: {error}");
    let stream = TcpStream::connect((ip, address.port())).await.map_err(failed)?;
    let refused = |error: std::io::Error| format!("the API server would refuse our certificate: {error}");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(ip.into(), stream).await.map_err(refused)?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.map_err(failed)?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.map_err(failed)?;
    if &status != b"HTTP/1.1 200" {
        return Err("our own port does not answer /healthz with 200".into());
    }
    Ok(())
}

/// A set of roots for each of several who ask, and in words where they are from.
type Trusted = (Vec<Arc<RootCertStore>>, &'static str);

/// Accepts the certificate in force and, given them, only under the API server's roots and name. Without roots the
/// leaf itself is what must match: who else could have its key?
#[derive(Debug)]
struct Expected {
    leaf: CertificateDer<'static>,
    /// Under each of them it must verify.
    roots: Vec<Arc<RootCertStore>>,
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if leaf.as_ref() != self.leaf.as_ref() {
            return Err(rustls::Error::General("another certificate than the one in force".into()));
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        for roots in &self.roots {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        }
        if let Some(name) = &self.name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
