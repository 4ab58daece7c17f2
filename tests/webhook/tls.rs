//! Certificates: swapped, broken, expired, not trusted, and those of clients.

use std::{fs, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use stepspan::{
    config::{Config, TlsSource},
    telemetry::metrics::Cause,
};
use tokio::io::AsyncWriteExt;

use crate::rig::{Authority, Rig, Tls, answer, client, connect, post, review, until};

/// Serves a pair signed by an authority of the test until `year`; the pair is `tls.crt` and `tls.key`.
async fn rig_with_files(year: i32, change: impl FnOnce(&mut Config)) -> (Rig, Authority) {
    let mut authority = None;
    let rig = Rig::with(|config| {
        let dir = config_dir(config);
        let made = Authority::new(&dir.join("ca.pem"));
        let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
        made.sign(&certificate, &key, year);
        config.tls = TlsSource::Files { certificate, key };
        authority = Some(made);
        change(config);
    });
    let rig = rig.await;
    (rig, authority.unwrap())
}

fn config_dir(config: &Config) -> std::path::PathBuf {
    match &config.log {
        stepspan::telemetry::events::Target::File(kept) => kept.path.parent().unwrap().to_owned(),
        _ => unreachable!("the rig logs to a file"),
    }
}

fn leaf(stream: &Tls) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_written_ca_is_served_others_are_not() {
    let rig = Rig::start().await;
    rig.connect().await;
    let other = rig.path("other.pem");
    Authority::new(&other);
    assert!(connect(rig.webhook.https(), &client(&other, None)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_enough() {
    let rig = Rig::start().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(rig.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = connect(rig.webhook.https(), &config).await.unwrap();
    assert_eq!(post(&mut stream, "/mutate", &review("t", "Pod", &Value::Null)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_certificate_is_seen_by_new_connections_and_drops_no_old_one() {
    let (rig, authority) = rig_with_files(2040, |_| {}).await;
    let mut kept = rig.connect().await;
    post(&mut kept, "/mutate", &review("before", "Pod", &Value::Null)).await;
    let before = leaf(&kept);
    let body = review("across", "Pod", &Value::Null);
    let (first, second) = body.split_at(50);
    kept.write_all(crate::rig::head("/mutate", body.len()).as_bytes()).await.unwrap();
    kept.write_all(first).await.unwrap();

    authority.sign(&rig.path("tls.crt"), &rig.path("tls.key"), 2041);
    until(async || leaf(&rig.connect().await) != before).await;
    kept.write_all(second).await.unwrap();
    assert_eq!(answer(&mut kept).await.json()["response"]["uid"], "across");
    assert_eq!(post(&mut kept, "/mutate", &review("after", "Pod", &Value::Null)).await.status, 200);

    let check = rig.check("certificate", "ok").await;
    assert_eq!(check["detail"]["not_after"], "2041-01-01T00:00:00Z");
    rig.exposes(&["stepspan_certificate_not_after_timestamp_seconds 2240611200.0"]).await;
    // Where the server looked between the two files, it told of that first.
    let reloaded = |event: &Value| event["success"] == true && event["payload"]["not_after"] == "2041-01-01T00:00:00Z";
    until(async || rig.events("certificate", 1).await.iter().any(reloaded)).await;
    until(async || rig.ready().await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pair_keeps_the_old_one_and_is_told() {
    let (rig, authority) = rig_with_files(2040, |_| {}).await;
    let before = leaf(&rig.connect().await);
    until(async || rig.ready().await.status == 200).await;

    rig.put("tls.crt", "no certificate");
    let check = rig.check("certificate", "degraded").await;
    let reason = check["reason"].as_str().unwrap();
    assert!(reason.contains("2040-01-01") && reason.contains("tls.crt") && reason.contains("--tls-cert"), "{reason}");
    // Degraded is ready.
    until(async || rig.ready().await.status == 200).await;
    until(async || rig.ops("/health").await.json()["status"] == "degraded").await;
    assert_eq!(leaf(&rig.connect().await), before);

    // A certificate without its key.
    authority.sign(&rig.path("tls.crt"), &rig.path("other.key"), 2041);
    until(async || rig.check("certificate", "degraded").await["reason"].as_str().unwrap().contains("one pair")).await;
    assert_eq!(leaf(&rig.connect().await), before);
    assert!(rig.events("certificate", 2).await.iter().all(|event| event["success"] == false));
    rig.exposes(&["stepspan_certificate_reloads_total{result=\"failure\"} 2"]).await;

    fs::copy(rig.path("other.key"), rig.path("tls.key")).unwrap();
    rig.check("certificate", "ok").await;
    assert_ne!(leaf(&rig.connect().await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_not_ready() {
    let (rig, _) = rig_with_files(2020, |_| {}).await;
    let check = rig.check("certificate", "failed").await;
    assert_eq!(check["reason"], "expired on 2020-01-01T00:00:00Z");
    assert_eq!(rig.ready().await.status, 503);
    let health = rig.ops("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (503, &Value::from("unhealthy")));
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_only_while_the_ca_bundle_and_the_name_fit() {
    let (rig, _) = rig_with_files(2040, |config| {
        config.ca_bundle = Some(config_dir(config).join("bundle.pem"));
        config.server_name = Some("localhost".into());
    })
    .await;
    let reason = async || rig.check("self-dial", "failed").await["reason"].as_str().unwrap().to_owned();
    until(async || reason().await.contains("bundle.pem")).await;
    Authority::new(&rig.path("bundle.pem"));
    until(async || reason().await.contains("would refuse our certificate")).await;
    assert_eq!(rig.ready().await.status, 503);
    fs::copy(rig.ca(), rig.path("bundle.pem")).unwrap();
    let check = rig.check("self-dial", "ok").await;
    assert!(check["reason"].as_str().unwrap().contains("CA bundle"), "{check}");
    until(async || rig.ready().await.status == 200).await;

    let (rig, _) = rig_with_files(2040, |config| config.server_name = Some("stepspan.argo.svc".into())).await;
    let reason = async || rig.check("self-dial", "failed").await["reason"].as_str().unwrap().to_owned();
    until(async || reason().await.contains("stepspan.argo.svc")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_client_ca_only_its_certificates_may_ask_for_reviews() {
    let (rig, _) = rig_with_files(2040, |config| {
        let dir = config_dir(config);
        let clients = Authority::new(&dir.join("clients.pem"));
        clients.sign(&dir.join("client.crt"), &dir.join("client.key"), 2040);
        Authority::new(&dir.join("strangers.pem")).sign(&dir.join("stranger.crt"), &dir.join("stranger.key"), 2040);
        config.client_ca = Some(dir.join("clients.pem"));
    })
    .await;
    let body = review("c", "Pod", &Value::Null);

    let refused = rig.post("/mutate", &body).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["message"], "stepspan: a client certificate is required");
    assert_eq!(rig.failures(Cause::Unauthenticated), 1);
    let mut probe = rig.connect().await;
    probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut probe).await.status, 200);

    let own = client(&rig.ca(), Some((&rig.path("client.crt"), &rig.path("client.key"))));
    let mut known = connect(rig.webhook.https(), &own).await.unwrap();
    assert_eq!(post(&mut known, "/mutate", &body).await.status, 200);

    let foreign = client(&rig.ca(), Some((&rig.path("stranger.crt"), &rig.path("stranger.key"))));
    if let Ok(mut stranger) = connect(rig.webhook.https(), &foreign).await {
        // In TLS 1.3 the client learns of it at its first read.
        let _ = stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(crate::rig::try_answer(&mut stranger).await.is_none());
    }
    // The client is told before it is counted.
    until(async || rig.failures(Cause::TlsHandshake) >= 1).await;
    until(async || rig.ready().await.status == 200).await;
}
