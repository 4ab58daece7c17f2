//! Law 4, for records: a review that was reduced for later gives the same decisions, under the policies it was made by and under others;
//! where others read what was left out, that is told. And nothing that policies do not name gets into a record.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use stepspan::admission::explain::explain;
use stepspan::admission::{Decision, Reviewed, review};
use stepspan::context::Context;
use stepspan::inject::reason::SkipReason;
use stepspan::policy::PolicySet;
use stepspan::record::gaps::Gaps;
use stepspan::record::{Account, Record, changes, line};

use crate::case::{Case, body, list, set};
use crate::dice::{Dice, cases, rows};
use crate::pods::recorded;
use crate::policies;

static REPLAYED: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_record_replays_as_its_review_went() {
    let mut runner = proptest::test_runner::TestRunner::new(cases(600));
    let one = |(bytes, others): (Vec<u8>, Vec<u8>)| {
        let mut case = Case::of(&bytes);
        // The webhook expands nothing.
        case.context.unresolved.clear();
        let others = policies::policies(&mut Dice::new(&others));
        replays(&case, &[case.set(), set(&others, &case.context)]);
        Ok(())
    };
    runner.run(&(rows(), rows()), one).unwrap();
    let (replayed, told) = (REPLAYED.load(Ordering::Relaxed), TOLD.load(Ordering::Relaxed));
    assert!(replayed > told && told > 20, "{replayed} replayed, {told} told: neither may be rare");
}

#[test]
fn recorded_pods_replay_as_they_went() {
    for (_, pod) in recorded() {
        let case = Case::plain(pod);
        replays(&case, &[case.set()]);
    }
}

/// Of a pod that came with a trace context only what its policies look at is kept.
#[test]
fn a_trace_context_that_is_not_kept_is_told() {
    let carrier = "stepspan.dev/a.traceparent";
    let mut met = 0;
    for (name, mut pod) in recorded() {
        let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() else { continue };
        annotations.insert(carrier.to_owned(), json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        let policy = |incoming: &str| {
            json!([{"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"},
                "spec": {"traceContext": {"incoming": incoming}}}])
        };
        let case = Case::plain(pod);
        let [ignoring, linking] =
            ["ignore", "link"].map(|incoming| set(policy(incoming).as_array().unwrap(), &case.context));
        let whole = body(&case.pod, "Pod");
        let first = Account::of(&review(&whole, &ignoring, &case.context));
        let Some(bytes) = line(&whole, &ignoring, &case.context, first, "2026-01-02T03:04:05Z") else { continue };
        assert!(!String::from_utf8_lossy(&bytes).contains("4bf92f35"), "{name}");
        let record = Record::read(&bytes).unwrap();
        for (set, told) in
            [(&ignoring, None), (&linking, Some("workflowAnnotation/traceparent (traceContext.incoming)"))]
        {
            let replayed = review(record.review.get().as_bytes(), set, &record.context);
            let gap = Gaps::of(set, &record.keeps, &[]).met(&replayed);
            // Pods that are no steps are nobody's.
            let told = told.filter(|_| !replayed.decision.policies.is_empty());
            met += usize::from(gap.is_some());
            assert_eq!(gap.as_ref().map(|gap| gap.reads.as_str()), told, "{name}");
        }
    }
    assert_eq!(met, 7);
}

/// Records a review under the case's policies, and holds what `sets` make of the record to what they make of the whole.
fn replays(case: &Case, sets: &[PolicySet]) {
    let whole = body(&case.pod, "Pod");
    let first = review(&whole, &case.set(), &case.context);
    let Some(bytes) = line(&whole, &case.set(), &case.context, Account::of(&first), "2026-01-02T03:04:05Z") else {
        assert_eq!(first.reason, Some(SkipReason::NotArgo));
        return;
    };
    let record = Record::read(&bytes).unwrap();
    let mut was = Account::of(&first);
    was.forget(&Gaps::of(&case.set(), &record.keeps, &case.context.allow_env));
    assert_eq!(record.was, was);
    for set in sets {
        let gaps = Gaps::of(set, &record.keeps, &record.context.allow_env);
        let context = Context { unresolved: gaps.unresolved.clone(), ..record.context.clone() };
        let reduced = record.review.get().as_bytes();
        let replayed = review(reduced, set, &context);
        if gaps.met(&replayed).is_some() {
            TOLD.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let went = review(&whole, set, &case.context);
        if went.reason == Some(SkipReason::PatchUnsafe) {
            // Annotations of 256 KiB are not kept whole.
            continue;
        }
        REPLAYED.fetch_add(1, Ordering::Relaxed);
        same(
            &Side { bytes: &whole, reviewed: &went, context: &case.context },
            &Side { bytes: reduced, reviewed: &replayed, context: &context },
            set,
        );
    }
}

struct Side<'a> {
    bytes: &'a [u8],
    reviewed: &'a Reviewed,
    context: &'a Context,
}

fn same(went: &Side<'_>, replayed: &Side<'_>, set: &PolicySet) {
    let text = String::from_utf8_lossy(replayed.bytes);
    assert_eq!(Account::of(went.reviewed), Account::of(replayed.reviewed), "{text}");
    // Sources that a label's value overrules may be among those that are not kept: who failed there is not known.
    let decision = |side: &Side<'_>| Decision { values: Vec::new(), ..side.reviewed.decision.clone() };
    assert_eq!(decision(went), decision(replayed), "{text}");
    let variables = |side: &Side<'_>| explain(side.bytes, set, side.context, side.reviewed).containers;
    assert_eq!(variables(went), variables(replayed), "{text}");
    let differ = changes::of_patches(went.bytes, &went.reviewed.patch, &replayed.reviewed.patch);
    // The reduced pod has no resources, user or grace period to copy, and fewer carriers to remove.
    let copied = |what: &str| what.starts_with("init container") || what.starts_with("setting grace");
    let removed = |change: &changes::Change| change.from.as_deref() == Some("removed") && change.to.is_none();
    let differ: Vec<_> = differ.iter().filter(|change| !copied(&change.what) && !removed(change)).collect();
    assert!(differ.is_empty(), "{differ:?}\n{text}");
}

/// A policy that names a parameter, an input, a variable and an annotation, and one that reads more than a record holds.
fn naming() -> Vec<Value> {
    let policy = |name: &str, spec: Value| json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": name}, "spec": spec});
    let from = json!([{"parameter": "repo"}, {"input": "msg"}, {"env": "REPO"}, {"annotation": "note"}]);
    let image = json!({"from": [{"cel": "pod.spec.containers.map(c, c.image).join(' ')"}]});
    vec![policy("names", json!({"correlation": {"repo": {"from": from}, "images": image}}))]
}

#[test]
fn nothing_that_policies_do_not_name_gets_in() {
    let policies = naming();
    for (name, mut pod) in recorded() {
        plant(&mut pod);
        let case = Case { policies: policies.clone(), ..Case::plain(pod) };
        let whole = body(&case.pod, "Pod");
        let reviewed = review(&whole, &case.set(), &case.context);
        let Some(bytes) = line(&whole, &case.set(), &case.context, Account::of(&reviewed), "2026-01-02T03:04:05Z")
        else {
            panic!("{name}: no record");
        };
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("canary"), "{name}: {text}");
        // And what they name does.
        assert!(text.contains("named-parameter"), "{name}: {text}");
        assert!(name != "container-3.7" || text.contains("named-variable"), "{name}: {text}");
    }
}

/// Puts a word into every text that no policy of [`naming`] names.
fn plant(pod: &mut Value) {
    let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.retain(|name, _| !name.starts_with("stepspan.dev/"));
    for (name, value) in [
        ("stepspan.dev/p.repo", "named-parameter"),
        ("stepspan.dev/p.secret", "canary"),
        ("stepspan.dev/a.secret", "canary"),
        ("kubectl.kubernetes.io/last-applied-configuration", "{\"canary\": 1}"),
        ("workflows.argoproj.io/template", "{\"canary\": 1}"),
        ("long", &"canary ".repeat(200)),
    ] {
        annotations.insert(name.to_owned(), json!(value));
    }
    let spec = pod["spec"].as_object_mut().unwrap();
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            plant_in_container(container);
        }
    }
    for (field, value) in spec.iter_mut().filter(|(field, _)| !field.ends_with("ontainers")) {
        // What a pod says of its nodes is read.
        if !["nodeSelector", "affinity", "os"].contains(&field.as_str()) {
            plant_in(value);
        }
    }
}

fn plant_in_container(container: &mut Value) {
    let own = list(container, "command").iter().position(|word| word == "--").map_or(0, |at| at + 1);
    for (field, value) in container.as_object_mut().unwrap() {
        match field.as_str() {
            "name" => {}
            "command" => value.as_array_mut().unwrap().iter_mut().skip(own).for_each(plant_in),
            "env" => value.as_array_mut().unwrap().iter_mut().for_each(plant_in_variable),
            _ => plant_in(value),
        }
    }
    let named = json!([{"name": "REPO", "value": "named-variable"}, {"name": "TOKEN", "value": "canary $(OTEL_X) canary"},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "service.name=canary,team=canary"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "canary", "key": "canary"}}}]);
    let env = container.as_object_mut().unwrap().entry("env").or_insert_with(|| json!([]));
    env.as_array_mut().unwrap().extend(named.as_array().unwrap().clone());
}

fn plant_in_variable(entry: &mut Value) {
    match entry["name"].as_str().unwrap() {
        "ARGO_NODE_ID" | "ARGO_WORKFLOW_UID" | "REPO" => {}
        "ARGO_TEMPLATE" => {
            let Ok(mut template) = serde_json::from_str::<Value>(entry["value"].as_str().unwrap()) else { return };
            let fields = template.as_object_mut().unwrap();
            fields
                .iter_mut()
                .filter(|(field, _)| !["name", "containerSet"].contains(&field.as_str()))
                .for_each(|(_, v)| plant_in(v));
            fields.insert("script".to_owned(), json!({"source": "canary"}));
            entry["value"] = json!(template.to_string());
        }
        _ => {
            for (_, value) in entry.as_object_mut().unwrap().iter_mut().filter(|(field, _)| *field != "name") {
                plant_in(value);
            }
        }
    }
}

fn plant_in(value: &mut Value) {
    match value {
        Value::String(text) => *text = format!("canary {text}"),
        Value::Array(items) => items.iter_mut().for_each(plant_in),
        Value::Object(fields) => fields.values_mut().for_each(plant_in),
        _ => {}
    }
}
