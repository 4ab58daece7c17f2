//! The certificate that the webhook serves, against what the API server trusts.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::{install::Install, report::Finding};
use crate::webhook::{tls, validity};

const CHECK: &str = "certificate";
const DAY: Duration = Duration::from_hours(24);
/// Whoever replaces certificates does so when a third is left: at a sixth it is late.
const LATE_AT_REST_OF: u32 = 6;

/// The values of a Secret.
pub fn data(secret: &Value) -> BTreeMap<String, Vec<u8>> {
    let entries = secret["data"].as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), STANDARD.decode(value.as_str()?).ok()?))).collect()
}

/// Each webhook's caBundle: there, readable, in date.
pub fn judge_bundles(install: &Install, now: SystemTime) -> Vec<Finding> {
    let one = |webhook: &Value| {
        let name = webhook["name"].as_str().unwrap_or("?");
        let wrong = |why: &str| {
            let hint = "the webhook keeps it (certificates.mode self), or cert-manager, or certificates.caBundle has it: \
                        see the log of the replicas";
            Finding::fail("caBundle", format!("of {name} {why}"), hint)
        };
        let pem = match bundle(webhook) {
            Ok(pem) if pem.is_empty() => return Some(wrong("is empty: the API server trusts no certificate of ours")),
            Ok(pem) => pem,
            Err(why) => return Some(wrong(&why)),
        };
        match tls::certificates(&pem) {
            Err(why) => Some(wrong(&format!("cannot be read: {why}"))),
            Ok(chain) if chain.iter().all(|ca| left(ca, now).is_none()) => Some(wrong("has expired")),
            Ok(_) => None,
        }
    };
    let wrong: Vec<_> = install.webhooks().filter_map(one).collect();
    if wrong.is_empty() { vec![Finding::ok("caBundle", "in date on every webhook")] } else { wrong }
}

/// The certificate in a Secret: whether every webhook trusts it under the name it is called by, and how long it is good.
pub fn judge_secret(install: &Install, secret: &BTreeMap<String, Vec<u8>>, own: bool, now: SystemTime) -> Finding {
    let Some(pem) = secret.get("tls.crt").filter(|pem| !pem.is_empty()) else {
        let hint = if own {
            "a replica that holds the Lease makes it within seconds: see the log of the replicas"
        } else {
            "cert-manager, or whoever makes it, has not yet"
        };
        return Finding::fail(CHECK, "there is none in the Secret yet", hint);
    };
    let chain = match tls::certificates(pem) {
        Ok(chain) => chain,
        Err(why) => return Finding::fail(CHECK, format!("tls.crt cannot be read: {why}"), "make it anew"),
    };
    let Some(key) = secret.get("tls.key") else {
        return Finding::fail(CHECK, "the Secret has no tls.key", "make both anew");
    };
    if !tls::is_key_of(&chain, key) {
        return Finding::fail(CHECK, "tls.key is not the key of tls.crt", "make both anew");
    }
    let Some((leaf, left)) = chain.first().map(|leaf| (leaf, left(leaf, now))) else {
        return Finding::fail(CHECK, "tls.crt is empty", "make it anew");
    };
    let Some(left) = left else {
        return Finding::fail(CHECK, "it has expired", "see the log of the replicas, or of whoever makes it");
    };
    let name = install.server_name().unwrap_or_else(|| "localhost".into());
    for webhook in install.webhooks() {
        let Some(bundle) = bundle(webhook).ok().filter(|pem| !pem.is_empty()) else { continue };
        if let Err(why) = tls::roots_of(&bundle).and_then(|roots| tls::trusts(&roots, &chain, &name, now)) {
            let found = format!("the API server does not take it for {name}: {why}");
            let hint = "caBundle and Secret must be of one CA, and the certificate for that name";
            return Finding::fail(CHECK, found, hint);
        }
    }
    let found = format!("for {name}, trusted by every webhook, {} left", in_words(left));
    let late = whole(leaf).is_some_and(|whole| left < whole / LATE_AT_REST_OF);
    if late {
        let hint = "it should have been replaced by now: see the log of the replicas, or of whoever makes it";
        return Finding::warn(CHECK, found, hint);
    }
    Finding::ok(CHECK, found)
}

fn bundle(webhook: &Value) -> Result<Vec<u8>, String> {
    let text = webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|error| format!("is no base64: {error}"))
}

fn left(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<Duration> {
    validity::not_after(certificate)?.duration_since(now).ok()
}

fn whole(certificate: &CertificateDer<'_>) -> Option<Duration> {
    validity::not_after(certificate)?.duration_since(validity::not_before(certificate)?).ok()
}

fn in_words(left: Duration) -> String {
    let days = left.as_secs() / DAY.as_secs();
    match days {
        0 => format!("{} min", left.as_secs() / 60),
        1 => "1 day".into(),
        _ => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cluster::keys::Keys,
        doctor::report::State,
        webhook::authority::{self, Pair},
    };

    const LIFE: Duration = Duration::from_hours(90 * 24);

    fn pair(now: SystemTime) -> Pair {
        authority::issue(&["stepspan.tracing.svc".into()], LIFE, now).unwrap()
    }

    fn install(bundle: &str) -> Install {
        let webhook = |name: &str| {
            let service = json!({"namespace": "tracing", "name": "stepspan"});
            json!({"name": name, "clientConfig": {"service": service, "caBundle": STANDARD.encode(bundle)}})
        };
        let all = json!({"metadata": {"name": "stepspan-tracing"},
            "webhooks": [webhook("pods.stepspan.dev"), webhook("workflows.stepspan.dev")]});
        Install::of(&all, Some("tracing")).unwrap()
    }

    #[test]
    fn what_the_webhook_makes_itself_is_trusted_until_it_expires() {
        let now = SystemTime::now();
        let keys = Keys { current: Some(pair(now)), ..Keys::default() };
        let (install, secret) = (install(&keys.bundle().unwrap()), keys.write());
        let at = |later: Duration| judge_secret(&install, &secret, true, now + later);
        assert_eq!(at(Duration::ZERO).found, "for stepspan.tracing.svc, trusted by every webhook, 89 days left");
        assert_eq!(at(LIFE / 10 * 9).state, State::Warn);
        assert_eq!(at(LIFE * 2).found, "it has expired");
        assert_eq!(judge_bundles(&install, now)[0].state, State::Ok);
        assert_eq!(judge_bundles(&install, now + LIFE * 2)[0].state, State::Fail);
    }

    #[test]
    fn a_foreign_or_an_empty_bundle_is_told() {
        let now = SystemTime::now();
        let keys = Keys { current: Some(pair(now)), ..Keys::default() };
        let foreign = judge_secret(&install(&pair(now).ca), &keys.write(), true, now);
        assert!(foreign.state == State::Fail && foreign.found.contains("does not take it"), "{foreign:?}");
        assert_eq!(judge_bundles(&install(""), now).len(), 2);
        assert_eq!(judge_secret(&install(""), &BTreeMap::new(), true, now).state, State::Fail);
    }

    #[test]
    fn a_secret_is_read_from_its_json() {
        let secret = json!({"data": {"tls.crt": STANDARD.encode("x"), "broken": "?"}});
        assert_eq!(data(&secret), BTreeMap::from([("tls.crt".to_owned(), b"x".to_vec())]));
    }
}
