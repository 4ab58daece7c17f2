//! Makes a CA and a server certificate. The CA's key never leaves this module: nobody signs with it again.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
};
use time::OffsetDateTime;

use crate::webhook::validity;

/// For clocks that are a little behind ours.
const BEFORE: Duration = Duration::from_hours(1);

/// A certificate chain (leaf first), its key, and the CA that signed it, all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain.
    pub chain: String,
    /// The private key.
    pub key: String,
    /// The CA's certificate.
    pub ca: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Pair {
    /// When the leaf expires; `None` where the chain is not one.
    pub fn not_after(&self) -> Option<SystemTime> {
        validity::not_after(&CertificateDer::from_pem_slice(self.chain.as_bytes()).ok()?)
    }

    /// Whether the leaf is for this DNS name or IP address.
    pub fn is_for(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        let Ok(leaf) = CertificateDer::from_pem_slice(self.chain.as_bytes()) else { return false };
        ParsedCertificate::try_from(&leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

/// A pair for `names` (DNS names or IP addresses) that expires `life` after `now`, and its CA with it.
///
/// # Errors
/// A name that can't stand in a certificate.
pub fn issue(names: &[String], life: Duration, now: SystemTime) -> Result<Pair, Error> {
    let now = OffsetDateTime::from(now);
    let dated = |mut params: CertificateParams, name: String| {
        params.not_before = now - BEFORE;
        params.not_after = now + life;
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    // Old and new CA stand in one bundle for a while: a date in the name tells them apart.
    let mut params = dated(CertificateParams::new(Vec::new())?, format!("stepspan CA {}", now.unix_timestamp()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut params = dated(CertificateParams::new(names)?, "stepspan".into());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &ca)?;
    Ok(Pair { chain: leaf.pem(), key: key.serialize_pem(), ca: ca.pem() })
}
