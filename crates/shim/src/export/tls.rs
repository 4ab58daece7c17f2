//! TLS to the Collector.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::target::{Protocol, Target};

/// Where distributions keep the CAs they trust (Debian and Alpine, Fedora, openSUSE, RHEL); a bare image has none.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// A larger file is no bundle.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The settings for one Collector.
///
/// # Errors
/// Which file cannot be used; never what stands in it.
pub fn config(target: &Target) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let files: Vec<&str> = target.ca_file.as_deref().map_or(SYSTEM.to_vec(), |file| vec![file]);
    for file in &files {
        let Some(bytes) = read(file) else { continue };
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
        if !roots.is_empty() {
            break;
        }
    }
    if roots.is_empty() {
        return Err(format!("no CA certificate in {}", files.join(", ")));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|_| "no TLS version")?.with_root_certificates(roots);
    let mut config = match &target.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = read(certificate).map(|bytes| {
                CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).map(CertificateDer::into_owned).collect()
            });
            let chain: Vec<CertificateDer<'static>> = chain.unwrap_or_default();
            let key = read(key).and_then(|bytes| PrivateKeyDer::from_pem_slice(&bytes).ok());
            let key = key.ok_or("no client key that can be read")?;
            builder.with_client_auth_cert(chain, key).map_err(|_| "the client certificate cannot be used")?
        }
    };
    config.alpn_protocols = match target.protocol {
        Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Http => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

fn read(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
