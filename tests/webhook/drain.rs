//! The end: not ready at once, served for a while, then closed, with nothing cut off that can end in time.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::rig::{LONG, Rig, answer, client, closed, connect, found, head, logged, plain_get, post, review, until};

#[tokio::test(flavor = "multi_thread")]
async fn not_ready_at_once_but_served_until_the_listener_closes() {
    let rig = Rig::with(|config| config.drain.delay = 10 * LONG).await;
    until(async || rig.ready().await.status == 200).await;
    let (https, ops, config) = (rig.webhook.https(), rig.webhook.ops(), client(&rig.ca(), None));
    let drain = tokio::spawn(rig.webhook.drain());
    until(async || plain_get(ops, "/readyz").await.status == 503).await;
    let mut late = connect(https, &config).await.expect("still accepting");
    let answered = post(&mut late, "/mutate", &review("late", "Pod", &Value::Null)).await;
    assert_eq!(answered.json()["response"]["uid"], "late");
    assert!(answered.head.contains("connection: close"), "{}", answered.head);
    drain.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_end_both_ports_are_closed() {
    let rig = Rig::start().await;
    let (https, ops) = (rig.webhook.https(), rig.webhook.ops());
    rig.webhook.drain().await;
    assert!(TcpStream::connect(https).await.is_err(), "the listener is closed");
    assert!(TcpStream::connect(ops).await.is_err(), "the operations port too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_ends_and_what_is_idle_is_closed() {
    let rig = Rig::with(|config| config.drain.delay = Duration::ZERO).await;
    let mut idle = rig.connect().await;
    post(&mut idle, "/mutate", &review("idle", "Pod", &Value::Null)).await;
    let body = review("flying", "Pod", &Value::Null);
    let mut flying = rig.connect().await;
    flying.write_all(head("/mutate", body.len()).as_bytes()).await.unwrap();
    flying.write_all(&body[..10]).await.unwrap();
    flying.flush().await.unwrap();
    until(async || rig.webhook.metrics().in_flight.get() == 1).await;

    let (dir, drain) = (rig.dir, tokio::spawn(rig.webhook.drain()));
    closed(&mut idle).await;
    sleep(Duration::from_millis(200)).await;
    flying.write_all(&body[10..]).await.unwrap();
    assert_eq!(answer(&mut flying).await.json()["response"]["uid"], "flying");
    drain.await.unwrap();
    let path = dir.path().join("events.log");
    let stop = found(async || logged(&path, "stop").pop()).await;
    assert_eq!(stop["payload"]["connections_cut_off"], 0);
    let log = std::fs::read_to_string(path).unwrap();
    assert_eq!(serde_json::from_str::<Value>(log.lines().last().unwrap()).unwrap(), stop, "the last word");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_cut_off() {
    let rig = Rig::with(|config| {
        config.drain.delay = Duration::ZERO;
        config.drain.timeout = Duration::from_millis(300);
    })
    .await;
    let mut stuck = rig.connect().await;
    stuck.write_all(head("/mutate", 100).as_bytes()).await.unwrap();
    stuck.flush().await.unwrap();
    let metrics = std::sync::Arc::clone(rig.webhook.metrics());
    until(async || metrics.in_flight.get() == 1).await;
    timeout(LONG, rig.webhook.drain()).await.expect("it waits for a body that may take longer");
    assert_eq!((metrics.in_flight.get(), metrics.connections.get()), (0, 0), "guards were dropped");
}
