//! Policies that change under the server, and the pause switch.

use std::fs;

use serde_json::{Value, json};
use stepspan::{
    source::store::LoadError,
    webhook::run::{StartError, Webhook},
};

use crate::rig::{Rig, config, review, seams, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_in_force_and_a_broken_one_is_not() {
    let rig = Rig::with(|config| {
        let stepspan::telemetry::events::Target::File(stepspan::telemetry::rotate::Kept { path, .. }) = &config.log
        else {
            unreachable!()
        };
        let policy = path.with_file_name("policy.yaml");
        fs::write(&policy, "one").unwrap();
        config.policies = vec![policy];
    })
    .await;
    until(async || rig.ready().await.status == 200).await;
    let first = rig.check("policies", "ok").await["detail"]["hash"].clone();

    rig.put("policy.yaml", "two");
    until(async || rig.check("policies", "ok").await["detail"]["generation"] == 2).await;
    let second = rig.check("policies", "ok").await["detail"]["hash"].clone();
    assert_ne!(first, second);

    rig.put("policy.yaml", "broken");
    let check = rig.check("policies", "degraded").await;
    assert!(check["reason"].as_str().unwrap().contains("policy.yaml:1:1: broken as asked"), "{check}");
    assert_eq!(check["detail"]["hash"], second, "the last good version stays");
    // Degraded is ready.
    until(async || rig.ready().await.status == 200).await;
    assert_eq!(rig.post("/mutate", &review("u", "Pod", &Value::Null)).await.status, 200);

    let lines = [
        "stepspan_policy_reloads_total{result=\"success\"} 2",
        "stepspan_policy_reloads_total{result=\"failure\"} 1",
        "stepspan_policy_generation 2",
        &format!("stepspan_policy_hash{{hash={second}}} 1"),
    ];
    let exposed = rig.exposes(&lines).await;
    assert_eq!(exposed.matches("stepspan_policy_hash{").count(), 1);
    let events = rig.events("policies", 2).await;
    assert_eq!((&events[0]["success"], &events[1]["success"]), (&json!(true), &json!(false)));

    rig.put("policy.yaml", "two");
    rig.check("policies", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_broken_at_the_start_keep_the_server_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.yaml");
    fs::write(&policy, "broken").unwrap();
    let mut config = config(dir.path());
    config.policies = vec![policy.clone()];
    let error = Webhook::start(config, seams(policy)).await.unwrap_err();
    assert!(matches!(&error, StartError::Policies(LoadError::Invalid(_))));
    assert!(error.to_string().contains("policy.yaml:1:1: broken as asked"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_flag_file_exists_nothing_is_reviewed() {
    let rig = Rig::with(|config| {
        let stepspan::telemetry::events::Target::File(stepspan::telemetry::rotate::Kept { path, .. }) = &config.log
        else {
            unreachable!()
        };
        config.pause_file = Some(path.with_file_name("paused"));
    })
    .await;
    fs::write(rig.path("paused"), "").unwrap();
    until(async || rig.check("pause", "ok").await["detail"]["paused"] == true).await;
    // The evaluator would panic on it: it is not asked.
    let answer = rig.post("/mutate", &review("p", "Pod", &"DO-PANIC".into())).await;
    assert_eq!(answer.json()["response"], json!({"uid": "p", "allowed": true}));
    assert_eq!(rig.post("/mutate", b"{}").await.status, 400);
    let counted = "stepspan_admission_requests_total{kind=\"Pod\",outcome=\"skipped\",reason=\"paused\"} 1";
    rig.exposes(&["stepspan_paused 1", counted]).await;
    fs::remove_file(rig.path("paused")).unwrap();
    until(async || rig.check("pause", "ok").await["detail"]["paused"] == false).await;
    let events = rig.events("pause", 2).await;
    assert_eq!((&events[0]["payload"], &events[1]["payload"]), (&json!({"paused": true}), &json!({"paused": false})));
}
