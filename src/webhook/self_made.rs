//! A CA and a server certificate made at the start, for development. Neither key ever leaves the process.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use time::OffsetDateTime;

use crate::webhook::tls::Pair;

const LIFE: Duration = Duration::from_hours(365 * 24);
/// For clocks that are a little behind ours.
const BEFORE: Duration = Duration::from_hours(1);

/// The pair for `names` (DNS names or IP addresses), and the CA's certificate as PEM.
pub(super) fn pair(names: &[String]) -> Result<(Pair, String), Error> {
    let ca = CertifiedIssuer::self_signed(ca_params()?, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = dated(CertificateParams::new(names)?, "stepspan development server");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &ca)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| Error::CouldNotParseKeyPair)?;
    Ok((Pair { chain: vec![leaf.der().clone()], key }, ca.pem()))
}

fn ca_params() -> Result<CertificateParams, Error> {
    let mut params = dated(CertificateParams::new(Vec::new())?, "stepspan development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn dated(mut params: CertificateParams, name: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BEFORE;
    params.not_after = now + LIFE;
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
