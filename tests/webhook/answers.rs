//! What a well-meant request gets.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::rig::{Rig, alone, client, connect, post, review, until};

/// The whole answer for a pod that no workflow made: no patch, and the audit log says why.
fn admitted(uid: &str) -> Value {
    json!({"uid": uid, "allowed": true, "auditAnnotations": {"outcome": "skipped", "reason": "not-argo"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn both_paths_answer_under_the_requests_uid() {
    let rig = Rig::start().await;
    for path in ["/mutate", "/mutate-workflows"] {
        let answer = rig.post(path, &review("u-1", "Pod", &Value::Null)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("content-type: application/json"));
        assert_eq!(answer.json()["response"], admitted("u-1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_requests_and_outlives_the_header_time() {
    let header_time = Duration::from_secs(1);
    let rig = Rig::with(|config| {
        alone(config);
        config.limits.header_timeout = header_time;
    })
    .await;
    let (mut stream, ..) = rig.carried(&review("first", "Pod", &Value::Null)).await;
    for n in 0..5 {
        let uid = format!("u-{n}");
        let answer = post(&mut stream, "/mutate", &review(&uid, "Pod", &Value::Null)).await;
        assert_eq!(answer.json()["response"]["uid"], uid);
    }
    tokio::time::sleep(2 * header_time).await;
    let late = post(&mut stream, "/mutate", &review("late", "Pod", &Value::Null)).await;
    assert_eq!(late.json()["response"]["uid"], "late");
    until(async || rig.webhook.metrics().connections.get() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_several_hundred_kilobytes_and_one_over_a_megabyte_are_reviewed() {
    let rig = Rig::with(|config| config.limits.body_bytes = 8 << 20).await;
    for size in [300 << 10, 3 << 20] {
        let answer = rig.post("/mutate", &review("big", "Pod", &Value::from("x".repeat(size)))).await;
        assert_eq!(answer.json()["response"], admitted("big"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_to_those_who_ask() {
    let rig = Rig::start().await;
    let mut config = client(&rig.ca(), None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(rig.webhook.https(), &config).await.unwrap();
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(driver);
    for uid in ["a", "b"] {
        let body = Full::new(review(uid, "Pod", &Value::Null).into());
        let request = hyper::Request::post("https://localhost/mutate").body::<Full<hyper::body::Bytes>>(body).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        let body: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(body["response"]["uid"], uid);
    }
    drop(sender);
    driver.await.unwrap().unwrap();
    rig.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_pod_of_argo_is_answered() {
    let rig = Rig::start().await;
    let pod = json!({"metadata": {"labels": {"workflows.argoproj.io/workflow": "w"}}, "spec": {"containers": []}});
    let answer = rig.post("/mutate", &review("argo", "Pod", &pod)).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
}
