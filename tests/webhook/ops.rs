//! What those who run the server see.

use std::{convert::Infallible, sync::Arc};

use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use stepspan::{config::Trace, telemetry::events::Level};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::rig::{LONG, Rig, answer, post, review, until};

#[tokio::test(flavor = "multi_thread")]
async fn health_has_its_five_fields() {
    let rig = Rig::start().await;
    until(async || rig.ready().await.status == 200).await;
    let health = rig.ops("/health").await;
    assert_eq!(health.status, 200);
    let body = health.json();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["status", "timestamp", "version", "uptime_seconds", "errors"]);
    assert_eq!((&body["status"], &body["errors"]), (&json!("healthy"), &json!([])));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z') && body["uptime_seconds"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_every_check() {
    let rig = Rig::start().await;
    until(async || rig.ready().await.status == 200).await;
    let body = rig.ready().await.json();
    let names: Vec<_> =
        body["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["policies", "pause", "breaker", "certificate", "self-review", "self-dial", "drain"]);
    assert_eq!(rig.ops("/healthz").await.body, b"ok\n");
    let mut stream = rig.connect().await;
    for path in ["/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream).await.status, 200, "{path} on the admission port");
    }
    let started = &rig.events("start", 1).await[0];
    assert_eq!(started["payload"]["https"], rig.webhook.https().to_string());
    until(async || rig.events("ready", 1).await.iter().any(|event| event["success"] == true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_holds_connections_keeps_no_probe_out() {
    let rig = Rig::start().await;
    let rejected = || rig.webhook.metrics().rejected.get();
    // A server that takes seconds for so many closes the first for their silence, not for the last: then once more.
    until(async || {
        let before = rejected();
        let mut held = Vec::new();
        for _ in 0..150 {
            held.push(TcpStream::connect(rig.webhook.ops()).await.unwrap());
        }
        assert_eq!(rig.ops("/healthz").await.status, 200);
        rejected() >= before + 86
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_refused_in_words() {
    let rig = Rig::start().await;
    assert_eq!(rig.post("/nothing", b"").await.json()["code"], 404);
    assert_eq!(rig.ops("/mutate").await.status, 404, "no reviews on the plain port");
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /mutate HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let refused = answer(&mut stream).await;
    assert_eq!((refused.status, &refused.json()["code"]), (405, &json!(405)));
    assert_eq!(rig.post("/metrics", b"").await.status, 404, "no metrics on the admission port");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_metrics_with_closed_labels() {
    let rig = Rig::start().await;
    for kind in ["Pod", "Workflow", "Evil\"} 1\n", "Other"] {
        rig.post("/mutate", &review("u", kind, &Value::Null)).await;
        rig.post("/mutate", format!("{{\"request\":{{\"uid\":\"u\",\"kind\":{{\"kind\":\"{kind}").as_bytes()).await;
    }
    let answer = rig.ops("/metrics").await;
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with("# EOF\n") && !text.contains("Evil"), "{text}");
    let kinds = text.lines().filter(|line| line.starts_with("stepspan_admission_requests_total"));
    assert!(kinds.clone().count() > 0);
    for line in kinds {
        assert!(["Pod", "Workflow", "other"].iter().any(|kind| line.contains(&format!("kind=\"{kind}\""))), "{line}");
    }
    for series in [
        "stepspan_admission_duration_seconds_bucket{le=\"0.00002\"",
        "stepspan_admission_failures_total{cause=\"panic\"} 0",
        "stepspan_build_info{version=",
        "stepspan_connections ",
        "stepspan_connections_rejected_total 0",
        "stepspan_events_dropped_total 0",
        "stepspan_policy_reload_success_timestamp_seconds ",
        "stepspan_ready ",
    ] {
        assert!(text.contains(series), "{series} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_log_tells_what_was_done_and_no_secret() {
    let rig = Rig::start().await;
    let extra = json!({"env": [{"name": "TOKEN", "value": "hunter2"}], "labels": {"a": "hunter2"}});
    rig.post("/mutate", &review("u-1", "Pod", &extra)).await;
    rig.post("/mutate", br#"{"request":{"uid":"u-2","namespace":"argo","object":"hunter2"#).await;
    rig.post("/mutate", &review("u-3", "Pod", &"DO-PANIC hunter2".into())).await;
    let events = rig.events("review", 3).await;
    for event in &events {
        let keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["ts", "action", "success", "latency_ms", "payload", "error"]);
        assert!(event["latency_ms"].is_f64(), "{event}");
    }
    let find = |uid: &str| events.iter().find(|event| event["payload"]["uid"] == uid).unwrap();
    assert_eq!(find("u-1")["success"], true);
    assert_eq!((&find("u-2")["error"], &find("u-2")["payload"]["namespace"]), (&json!("malformed"), &json!("argo")));
    assert_eq!((&find("u-3")["error"], &find("u-3")["payload"]["warnings"]), (&json!("panic"), &json!(1)));
    let text = std::fs::read_to_string(rig.path("events.log")).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_are_none_of_our_business_are_logged_at_debug_only() {
    let rig = Rig::with(|config| config.level = Level::Info).await;
    let mut stream = rig.connect().await;
    post(&mut stream, "/mutate", &review("skipped", "Pod", &Value::Null)).await;
    rig.post("/mutate", br#"{"request":{"uid":"failed""#).await;
    let events = rig.events("review", 1).await;
    assert_eq!((events.len(), &events[0]["payload"]["uid"]), (1, &json!("failed")));
}

/// A collector that hands on the body of every export.
async fn collector() -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    assert!(request.uri().path().ends_with("TraceService/Export"));
                    sender.send(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
                    let answer = hyper::Response::builder().header("content-type", "application/grpc");
                    Ok::<_, Infallible>(answer.header("grpc-status", "0").body(Empty::<&[u8]>::new()).unwrap())
                }
            });
            let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serve);
        }
    });
    (endpoint, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_is_sent_as_a_span_below_the_callers() {
    let (endpoint, mut exports) = collector().await;
    let rig = Rig::with(|config| config.trace = Some(Trace { endpoint, ratio: 1.0 })).await;
    let mut stream = rig.connect().await;
    let body = review("traced", "Pod", &Value::Null);
    let head = format!(
        "POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 200);
    drop(stream);
    let (dir, drained) = (Arc::new(rig.dir), tokio::spawn(rig.webhook.drain()));
    let export = tokio::time::timeout(LONG, exports.recv()).await.unwrap().unwrap();
    drained.await.unwrap();
    let has = |needle: &[u8]| export.windows(needle.len()).any(|part| part == needle);
    assert!(has(b"stepspan.review") && has(b"stepspan-webhook") && has(b"kubernetes.object.key"));
    assert!(has(&[0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd]), "the caller's trace id");
    assert!(has(&[0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]), "the caller's span id");
    drop(dir);
}
