//! Whatever comes in, the server answers or closes in time, and nothing of it stays behind.

use std::time::Duration;

use serde_json::Value;
use stepspan::telemetry::metrics::Cause;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::rig::{
    Answer, Rig, alone, answer, client, closed, closed_after, connect, found, head, post, review, try_answer, until,
};

const SHORT: Duration = Duration::from_millis(400);
/// Short, and yet mostly long enough for a whole request on a loaded machine.
const MODERATE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn admits_malformed_json_under_its_uid() {
    let rig = Rig::start().await;
    for rest in ["", "}", ",\"object\":{]", ",\"object\":\"\u{1}\"}}", "}} trailing", ",\"object\":nan}}"] {
        let body = format!("{{\"kind\":\"AdmissionReview\",\"request\":{{\"uid\":\"m\"{rest}");
        let warning = rig.post("/mutate", body.as_bytes()).await.failed_open("m");
        assert!(warning.contains("not an AdmissionReview"), "{warning}");
    }
    assert_eq!(rig.failures(Cause::Malformed), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_400_where_no_uid_can_be_read() {
    let rig = Rig::start().await;
    for body in ["", "{}", "[]", "null", "not json", "{\"request\":{\"uid\":7}}", "\u{0}\u{0}", "{\"uid\":\"top\"}"] {
        let answer = rig.post("/mutate", body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{body}");
        let status = answer.json();
        assert_eq!((&status["kind"], &status["code"]), (&Value::from("Status"), &Value::from(400)));
        assert!(status["message"].as_str().unwrap().contains("no request.uid"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admits_a_wrong_kind() {
    let rig = Rig::start().await;
    for kind in ["Service", "Secret", "", "pod"] {
        let answer = rig.post("/mutate", &review("k", kind, &Value::Null)).await;
        assert_eq!((answer.status, &answer.json()["response"]["allowed"]), (200, &Value::Bool(true)));
    }
    let answer = rig.post("/mutate", br#"{"kind":"ConversionReview","request":{"uid":"c"}}"#).await;
    assert_eq!(answer.json()["response"]["uid"], "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn admits_an_oversized_body_under_its_uid_and_answers_413_without_one() {
    let rig = Rig::start().await;
    let long = review("o", "Pod", &Value::from("x".repeat(2 << 20)));
    let warning = rig.post("/mutate", &long).await.failed_open("o");
    assert!(warning.contains("longer than 1048576 bytes"), "{warning}");
    let nameless = vec![b' '; 2 << 20];
    assert_eq!(rig.post("/mutate", &nameless).await.status, 413);

    // Announced as so long that the rest is not even thrown away.
    let mut stream = rig.connect().await;
    stream.write_all(head("/mutate", 1 << 30).as_bytes()).await.unwrap();
    // The server may have answered and closed before it all is written; the answer is there all the same.
    let _ = stream.write_all(&long).await;
    answer(&mut stream).await.failed_open("o");
    assert_eq!(rig.failures(Cause::TooLarge), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn admits_an_oversized_body_without_a_length() {
    let rig = Rig::start().await;
    let mut stream = rig.connect().await;
    let head = "POST /mutate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let long = review("chunked", "Pod", &Value::from("x".repeat(2 << 20)));
    for chunk in long.chunks(100_000) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        stream.write_all(chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    answer(&mut stream).await.failed_open("chunked");
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_deep_nesting() {
    let rig = Rig::start().await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 100_000;
        let body = format!(
            "{{\"kind\":\"AdmissionReview\",\"request\":{{\"uid\":\"deep\",\"object\":{}1{}}}}}",
            open.repeat(depth),
            close.repeat(depth)
        );
        let answer = rig.post("/mutate", body.as_bytes()).await;
        assert_eq!(answer.json()["response"]["uid"], "deep");
        let before_uid = format!("{{\"request\":{{\"object\":{}", open.repeat(depth));
        assert_eq!(rig.post("/mutate", before_uid.as_bytes()).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admits_a_body_that_is_sent_too_slowly() {
    let rig = Rig::with(|config| config.limits.body_timeout = SHORT).await;
    let body = review("slow", "Pod", &Value::Null);
    let mut stream = rig.connect().await;
    let began = Instant::now();
    // In one piece: what comes with the head is there in time.
    let request = [head("/mutate", body.len()).as_bytes(), &body[..body.len() - 1]].concat();
    stream.write_all(&request).await.unwrap();
    stream.flush().await.unwrap();
    let answered = answer(&mut stream).await;
    assert!(began.elapsed() >= SHORT);
    let warning = answered.failed_open("slow");
    assert!(warning.contains("did not arrive within 0.4 s"), "{warning}");
    assert!(answered.head.contains("connection: close"), "{}", answered.head);
    assert_eq!(rig.failures(Cause::Timeout), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_does_not_win_time() {
    let rig = Rig::with(|config| config.limits.body_timeout = SHORT).await;
    let mut stream = rig.connect().await;
    // All of it would take half an hour.
    stream.write_all(head("/mutate", 100_000).as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let drip = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() && writer.flush().await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(answer(&mut reader).await.status, 400);
    assert_eq!(rig.failures(Cause::Timeout), 1);
    drop(reader);
    drip.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_and_silence_are_cut_off() {
    let rig = Rig::with(|config| {
        alone(config);
        config.limits.header_timeout = MODERATE;
    })
    .await;
    let began = Instant::now();
    let mut silent = rig.connect().await;
    assert!(closed_after(&mut silent, began, MODERATE).await, "a connection without a request");

    let mut http2 = client(&rig.ca(), None);
    http2.alpn_protocols = vec![b"h2".to_vec()];
    let began = Instant::now();
    let mut silent = connect(rig.webhook.https(), &http2).await.unwrap();
    assert!(closed_after(&mut silent, began, MODERATE).await, "HTTP/2 without its preface");

    let began = Instant::now();
    let mut slow = rig.connect().await;
    slow.write_all(b"POST /mutate HTTP/1.1\r\nHost: loc").await.unwrap();
    assert!(closed_after(&mut slow, began, MODERATE).await, "the first request's headers");

    let (mut kept, _, early) = rig.carried(&review("first", "Pod", &Value::Null)).await;
    let began = Instant::now();
    kept.write_all(b"POST /mutate HTTP/1.1\r\nHost: loc").await.unwrap();
    assert!(closed_after(&mut kept, began, MODERATE).await, "a later request's headers");
    assert_eq!(rig.failures(Cause::HeaderTimeout), 4 + early);
    rig.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_in_the_end() {
    let rig = Rig::with(|config| config.limits.idle_timeout = MODERATE).await;
    let began = Instant::now();
    let (mut stream, ..) = rig.carried(&review("one", "Pod", &Value::Null)).await;
    assert!(closed_after(&mut stream, began, MODERATE).await);
    rig.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_or_is_none_ends() {
    let rig = Rig::with(|config| {
        alone(config);
        config.limits.handshake_timeout = SHORT;
    })
    .await;
    let began = Instant::now();
    let mut stalled = TcpStream::connect(rig.webhook.https()).await.unwrap();
    assert!(closed_after(&mut stalled, began, SHORT).await);
    rig.settled().await;
    assert_eq!((rig.failures(Cause::TlsTimeout), rig.failures(Cause::TlsHandshake)), (1, 0));

    let rig = Rig::with(alone).await;
    let mut plain = TcpStream::connect(rig.webhook.https()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    closed(&mut plain).await;
    rig.settled().await;
    assert_eq!((rig.failures(Cause::TlsTimeout), rig.failures(Cause::TlsHandshake)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn admits_when_the_evaluation_panics_and_goes_on() {
    let rig = Rig::with(|config| config.limits.body_bytes = 8 << 20).await;
    for size in [0, 2 << 20] {
        let extra = Value::from(format!("DO-PANIC{}", "x".repeat(size)));
        let warning = rig.post("/mutate", &review("p", "Pod", &extra)).await.failed_open("p");
        assert!(warning.contains("internal error"), "{warning}");
    }
    assert_eq!(rig.failures(Cause::Panic), 2);
    assert_eq!(rig.post("/mutate", &review("next", "Pod", &Value::Null)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn admits_when_all_bodies_together_are_too_much() {
    let rig = Rig::with(|config| config.limits.body_memory = 500_000).await;
    let body = review("held", "Pod", &Value::from("x".repeat(400_000)));
    let other = review("other", "Pod", &Value::from("x".repeat(400_000)));
    let warned = |answer: &Answer| answer.json()["response"].get("warnings").is_some();
    // Nobody outside sees how much of a body the server has read: where it was too little yet, once more.
    let refused = found(async || {
        let mut holding = rig.connect().await;
        holding.write_all(head("/mutate", body.len() + 1).as_bytes()).await.unwrap();
        holding.write_all(&body).await.unwrap();
        holding.flush().await.unwrap();
        until(async || rig.webhook.metrics().in_flight.get() == 1).await;
        sleep(Duration::from_millis(100)).await;
        let refused = rig.post("/mutate", &other).await;
        holding.write_all(b" ").await.unwrap();
        let held = answer(&mut holding).await;
        assert_eq!(held.json()["response"]["uid"], "held");
        (warned(&refused) && !warned(&held)).then_some(refused)
    })
    .await;
    let warning = refused.failed_open("other");
    assert!(warning.contains("too many requests"), "{warning}");
    assert_eq!(rig.post("/mutate", &other).await.json()["response"].get("warnings"), None, "the memory came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_closed_at_once_where_none_is_idle() {
    let rig = Rig::with(|config| {
        alone(config);
        config.limits.connections = 3;
    })
    .await;
    let config = client(&rig.ca(), None);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(rig.webhook.https(), &config).await.unwrap();
        // The body is still to come.
        stream.write_all(head("/mutate", 10).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        held.push(stream);
    }
    until(async || rig.webhook.metrics().in_flight.get() == 3).await;
    assert!(connect(rig.webhook.https(), &config).await.is_err());
    drop(held.pop());
    until(async || rig.webhook.metrics().connections.get() == 2).await;
    rig.connect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_holds_connections_keeps_nobody_out() {
    let rig = Rig::with(|config| config.limits.connections = 8).await;
    until(async || rig.ready().await.status == 200).await;
    let config = client(&rig.ca(), None);
    let mut api_server = connect(rig.webhook.https(), &config).await.unwrap();
    let mut held = Vec::new();
    for n in 0..20 {
        let mut stream = connect(rig.webhook.https(), &config).await.unwrap();
        assert_eq!(post(&mut stream, "/mutate", &review(&n.to_string(), "Pod", &Value::Null)).await.status, 200);
        held.push(stream);
        // The one that is used is never the one that gives way.
        assert_eq!(post(&mut api_server, "/mutate", &review("mine", "Pod", &Value::Null)).await.status, 200);
    }
    assert!(rig.webhook.metrics().rejected.get() >= 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_refused() {
    let rig = Rig::with(|config| config.limits.header_timeout = SHORT).await;
    let mut stream = rig.connect().await;
    let request = format!("POST /mutate HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    // The server may close while we still write.
    let _ = stream.write_all(request.as_bytes()).await;
    if let Some(answer) = try_answer(&mut stream).await {
        assert!(matches!(answer.status, 400 | 431), "{answer:?}");
    }
    rig.settled().await;
}

/// One of ten ways to be hostile.
async fn attack(rig: &Rig, n: usize) {
    let good = review("h", "Pod", &Value::Null);
    if n.is_multiple_of(10) {
        drop(TcpStream::connect(rig.webhook.https()).await.unwrap());
        return;
    }
    let mut stream = rig.connect().await;
    let length = head("/mutate", good.len());
    let bytes: Vec<u8> = match n % 10 {
        1 => b"\r\n\r\n\x00garbage\r\n\r\n".to_vec(),
        2 => length.into_bytes(),
        3 => [length.as_bytes(), &good[..20]].concat(),
        4 => [length.as_bytes(), &good[..good.len() / 2]].concat(),
        5 => [length.as_bytes(), &review("h", "Pod", &"DO-PANIC".into())[..good.len()]].concat(),
        6 => [head("/mutate", 2 << 20).as_bytes(), &vec![b'['; 2 << 20]].concat(),
        7 => b"POST /mutate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        8 => [length.as_bytes(), &vec![0xff; good.len()]].concat(),
        _ => b"PUT /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab".to_vec(),
    };
    let _ = stream.write_all(&bytes).await;
    if n % 20 < 10 {
        // Half of them wait for what comes, the others leave.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(2 * SHORT, stream.read_to_end(&mut rest)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_hostile_requests_leave_nothing_behind() {
    let rig = Rig::with(|config| {
        config.limits.connections = 40;
        (config.limits.header_timeout, config.limits.body_timeout) = (SHORT, SHORT);
    });
    let rig = rig.await;
    let rig = std::sync::Arc::new(rig);
    for batch in 0..10 {
        let attacks: Vec<_> = (0..20)
            .map(|n| {
                let rig = std::sync::Arc::clone(&rig);
                tokio::spawn(async move { attack(&rig, batch * 20 + n).await })
            })
            .collect();
        for attack in attacks {
            attack.await.unwrap();
        }
        // What the clients have left the server may still hold: with the next twenty that could be over the limit.
        rig.settled().await;
    }
    let (_, answer, _) = rig.carried(&review("good", "Pod", &Value::Null)).await;
    let response = &answer.json()["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&Value::from("good"), &Value::from(true)));
    until(async || rig.ready().await.status == 200).await;
    rig.exposes(&["stepspan_admission_in_flight 0\n"]).await;
    // Every permit came back: as many connections as the limit allows can be opened again.
    let config = client(&rig.ca(), None);
    let mut held = Vec::new();
    for _ in 0..39 {
        held.push(connect(rig.webhook.https(), &config).await.unwrap());
    }
}
