//! The serving certificate, replaced while connections go on, and client certificates.
//!
//! Invariants:
//! - Each handshake takes the newest good configuration; a connection that is up keeps what it began with.
//! - A pair that does not load, or a key that is not the certificate's, never replaces one that did.
//! - TLS 1.2 and up; a client without a certificate is let in, so that probes work: `/mutate` asks for it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use rustls::{
    RootCertStore, ServerConfig,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};

use crate::{
    config::{Config, TlsSource},
    source::{content::hex, store::Polled},
    webhook::{
        authority::{self, Pair},
        server::Transport,
        validity,
    },
};

/// How long a certificate for development is good.
const DEVELOPMENT: Duration = Duration::from_hours(365 * 24);

/// What is served now.
#[derive(Debug)]
pub struct Served {
    /// When the leaf expires.
    pub not_after: SystemTime,
    /// SHA-256 of the leaf, in hex.
    pub fingerprint: String,
    /// The leaf.
    pub leaf: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

/// The certificate can't be served. Each text says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path} ({flag}): {why}; check the path and its permissions")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The flag that names it.
        flag: &'static str,
        /// Why.
        why: std::io::Error,
    },
    /// A file is not the PEM it should be.
    #[error("{path} ({flag}) holds no {wanted}: {why}")]
    NotPem {
        /// Which.
        path: PathBuf,
        /// The flag that names it.
        flag: &'static str,
        /// What should stand in it.
        wanted: &'static str,
        /// Why.
        why: String,
    },
    /// The key is not the certificate's.
    #[error("the key {key} is not the one of the certificate {certificate}: both files must be of one pair")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Anything else rustls or rcgen has to say.
    #[error("cannot make the TLS configuration: {0}")]
    Other(String),
    /// The CA of a self-made certificate cannot be written.
    #[error("cannot write the CA certificate to {path} (--write-ca): {why}; give a path in a writable folder")]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
}

/// The certificate in force.
pub struct TlsStore {
    source: Source,
    client_ca: Option<PathBuf>,
    current: ArcSwapOption<Served>,
    seen: Mutex<Seen>,
}

enum Source {
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// In memory; none until one is given.
    Given(Mutex<Option<Pair>>),
}

#[derive(Default)]
struct Seen {
    tried: Vec<u8>,
    error: Option<String>,
}

impl fmt::Debug for TlsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStore").field("client_ca", &self.client_ca).finish_non_exhaustive()
    }
}

impl TlsStore {
    /// Loads or makes the first certificate.
    pub fn open(config: &Config) -> Result<Self, TlsError> {
        let source = match &config.tls {
            TlsSource::Files { certificate, key } => {
                Source::Files { certificate: certificate.clone(), key: key.clone() }
            }
            TlsSource::SelfMade { names, write_ca } => {
                let pair = authority::issue(names, DEVELOPMENT, SystemTime::now())
                    .map_err(|error| TlsError::Other(error.to_string()))?;
                if let Some(path) = write_ca {
                    fs::write(path, &pair.ca).map_err(|why| TlsError::Unwritable { path: path.clone(), why })?;
                }
                Source::Given(Mutex::new(Some(pair)))
            }
            TlsSource::Cluster => Source::Given(Mutex::new(None)),
        };
        let client_ca = config.client_ca.clone();
        let tried = fingerprint(&source, client_ca.as_deref());
        let current = ArcSwapOption::new(load(&source, client_ca.as_deref())?.map(Arc::new));
        Ok(Self { source, client_ca, current, seen: Mutex::new(Seen { tried, error: None }) })
    }

    /// What is served now; `None` until there is a certificate.
    pub fn current(&self) -> Option<Arc<Served>> {
        self.current.load_full()
    }

    /// Serves another pair, where the source is the cluster.
    pub fn offer(&self, pair: Pair) -> Polled {
        if let Source::Given(kept) = &self.source {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair);
        }
        self.poll()
    }

    /// Why the files on disk are not what is served; `None` where they are.
    pub fn error(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// Looks at the files and loads them if their content changed. Reads files: not for the request path.
    pub fn poll(&self) -> Polled {
        let now = fingerprint(&self.source, self.client_ca.as_deref());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.tried == now {
            return Polled::Unchanged;
        }
        let loaded = load(&self.source, self.client_ca.as_deref());
        if fingerprint(&self.source, self.client_ca.as_deref()) != now {
            // Written to while we read: the next poll sees the end of it.
            return Polled::Unchanged;
        }
        seen.tried = now;
        match loaded {
            Ok(served) => {
                self.current.store(served.map(Arc::new));
                seen.error = None;
                Polled::Reloaded
            }
            Err(error) => {
                seen.error = Some(error.to_string());
                Polled::Refused(error.to_string())
            }
        }
    }
}

/// The transport of an HTTPS port.
pub fn transport(store: &Arc<TlsStore>) -> Transport {
    let store = Arc::clone(store);
    Transport::Tls(Arc::new(move || store.current.load().as_ref().map(|served| Arc::clone(&served.config))))
}

/// ring, the one provider that is built in.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// All certificates of a PEM file as trust anchors.
pub(super) fn roots(path: &Path, flag: &'static str) -> Result<RootCertStore, TlsError> {
    let not_pem = |why| TlsError::NotPem { path: path.to_owned(), flag, wanted: "CA certificate", why };
    roots_of(&read(path, flag)?).map_err(not_pem)
}

/// All certificates of a PEM text as trust anchors, at least one.
pub(crate) fn roots_of(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// Whether the key is the leaf's, and the CA has signed it; whether it has expired does not matter.
pub(crate) fn is_whole(pair: &Pair) -> bool {
    let Ok(chain) = certificates(pair.chain.as_bytes()) else { return false };
    is_signed_by_its_ca(pair) && is_key_of(&chain, pair.key.as_bytes())
}

/// Whether the CA has signed the leaf, whatever the key is.
pub(crate) fn is_signed_by_its_ca(pair: &Pair) -> bool {
    let Ok(chain) = certificates(pair.chain.as_bytes()) else { return false };
    let (Some(end), Ok(roots)) = (pair.not_after(), roots_of(pair.ca.as_bytes())) else { return false };
    is_signed(&roots, &chain, end - Duration::from_secs(1)).is_ok()
}

/// Whether this PEM is the key of a chain's leaf.
pub(crate) fn is_key_of(chain: &[CertificateDer<'static>], key: &[u8]) -> bool {
    let key = PrivateKeyDer::from_pem_slice(key);
    key.is_ok_and(|key| CertifiedKey::from_der(chain.to_vec(), key, &provider()).is_ok())
}

/// Whether a chain, leaf first, is good for a server's name under these roots at `now`.
pub(crate) fn trusts(
    roots: &RootCertStore,
    chain: &[CertificateDer<'_>],
    name: &str,
    now: SystemTime,
) -> Result<(), String> {
    let name = ServerName::try_from(name).map_err(|_| format!("{name} is no name of a server"))?;
    let leaf = is_signed(roots, chain, now)?;
    verify_server_name(&leaf, &name).map_err(|error| error.to_string())
}

/// The leaf of a chain that these roots have signed.
fn is_signed<'a>(
    roots: &RootCertStore,
    chain: &'a [CertificateDer<'_>],
    now: SystemTime,
) -> Result<ParsedCertificate<'a>, String> {
    let said = |error: rustls::Error| error.to_string();
    let (leaf, intermediates) = chain.split_first().ok_or("an empty chain")?;
    let leaf = ParsedCertificate::try_from(leaf).map_err(said)?;
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms).map_err(said)?;
    Ok(leaf)
}

/// The certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    if chain.is_empty() { Err("no -----BEGIN CERTIFICATE----- in it".into()) } else { Ok(chain) }
}

fn load(source: &Source, client_ca: Option<&Path>) -> Result<Option<Served>, TlsError> {
    let (chain, key) = match source {
        Source::Files { certificate, key } => read_pair(certificate, key)?,
        Source::Given(kept) => match &*kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(pair) => parse_pair(pair)?,
            None => return Ok(None),
        },
    };
    let other = |error: rustls::Error| TlsError::Other(error.to_string());
    let leaf = chain.first().cloned().ok_or_else(|| TlsError::Other("an empty chain".into()))?;
    let not_after = validity::not_after(&leaf)
        .ok_or_else(|| TlsError::Other("the certificate's notAfter cannot be read".into()))?;
    let provider = provider();
    let certified = match (CertifiedKey::from_der(chain, key, &provider), source) {
        (Err(rustls::Error::InconsistentKeys(_)), Source::Files { certificate, key }) => {
            return Err(TlsError::Mismatch { certificate: certificate.clone(), key: key.clone() });
        }
        (done, _) => done.map_err(other)?,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(other)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path, "--client-ca")?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).allow_unauthenticated();
            builder.with_client_cert_verifier(verifier.build().map_err(|error| TlsError::Other(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(One(Arc::new(certified))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let fingerprint = hex(&Sha256::digest(&leaf));
    Ok(Some(Served { not_after, fingerprint, leaf, config: Arc::new(config) }))
}

/// Serves one certificate; the store changes the whole configuration, so that a session begun under an old certificate
/// is not resumed under a new one.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A chain, leaf first, and its key.
type Der = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_pair(certificate: &Path, key: &Path) -> Result<Der, TlsError> {
    let not_pem =
        |why| TlsError::NotPem { path: certificate.to_owned(), flag: "--tls-cert", wanted: "certificate", why };
    let chain = certificates(&read(certificate, "--tls-cert")?).map_err(not_pem)?;
    let bytes = read(key, "--tls-key")?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| TlsError::NotPem {
        path: key.to_owned(),
        flag: "--tls-key",
        wanted: "private key",
        why: error.to_string(),
    })?;
    Ok((chain, key))
}

fn parse_pair(pair: &Pair) -> Result<Der, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| TlsError::Other(error.to_string()))?;
    Ok((certificates(pair.chain.as_bytes()).map_err(TlsError::Other)?, key))
}

fn read(path: &Path, flag: &'static str) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|why| TlsError::Unreadable { path: path.to_owned(), flag, why })
}

/// A hash over the bytes of all files; a file that can't be read counts as its error.
fn fingerprint(source: &Source, client_ca: Option<&Path>) -> Vec<u8> {
    let mut hasher = Sha256::new();
    let files = match source {
        Source::Files { certificate, key } => vec![certificate.as_path(), key.as_path()],
        Source::Given(kept) => {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            hasher.update(kept.as_ref().map(|pair| format!("{}{}", pair.chain, pair.key)).unwrap_or_default());
            Vec::new()
        }
    };
    for path in files.into_iter().chain(client_ca) {
        let bytes = fs::read(path).unwrap_or_else(|error| format!("{:?}", error.kind()).into_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    hasher.finalize().to_vec()
}
