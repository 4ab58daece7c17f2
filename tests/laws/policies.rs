//! Valid policies: several, with priorities, conditions and every field.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// No policy (the embedded one counts), or up to four.
pub fn policies(dice: &mut Dice<'_>) -> Vec<Value> {
    let count = dice.pick(&[0, 1, 1, 2, 3, 4]);
    (0..count).map(|i| policy(dice, i)).collect()
}

fn policy(dice: &mut Dice<'_>, index: usize) -> Value {
    let mut spec = Map::new();
    let mut maybe = |dice: &mut Dice<'_>, field: &str, make: fn(&mut Dice<'_>) -> Value| {
        if dice.often() {
            spec.insert(field.to_owned(), make(dice));
        }
    };
    maybe(dice, "priority", |d| json!(d.pick(&[0, 100, -5, 2_147_483_647])));
    maybe(dice, "match", selection);
    maybe(dice, "optOut", |d| json!({"annotation": d.pick(&["stepspan.dev/inject", "acme.io/trace"])}));
    maybe(dice, "containers", |d| {
        d.pick(&[json!({"include": ["*"]}), json!({"exclude": ["b"]}), json!({"include": ["ma*", "a"], "exclude": []})])
    });
    maybe(dice, "environment", |d| json!(d.pick(&["prod", "a,b=c %", "$(TOKEN)"])));
    maybe(dice, "serviceName", |d| json!(d.pick(&["agents", "ünïcödé", "$$(TOKEN)", "x y,z"])));
    maybe(dice, "correlation", correlation);
    maybe(dice, "otlp", otlp);
    maybe(dice, "env", env);
    maybe(dice, "labels", |d| json!({"team": d.label_value(), "acme.io/tier": d.label_value()}));
    maybe(dice, "annotations", |d| json!({"acme.io/note": controls_removed(&d.text(), 1000), "owner": "platform"}));
    maybe(dice, "sampling", |d| json!({"ratio": d.pick(&[1.0, 0.0, 0.5, 0.001]), "keepFailed": d.often()}));
    maybe(
        dice,
        "initContainer",
        |d| json!({"position": d.pick(&["last", "first"]), "probe": {"timeout": d.pick(&["300ms", "0s", "5s", "1ms"])}}),
    );
    maybe(dice, "shim", shim);
    maybe(dice, "traceContext", |d| {
        json!({"mode": d.pick(&["own", "argo"]), "incoming": d.pick(&["link", "parent", "ignore"]),
            "parent": d.pick(&["node", "none"])})
    });
    json!({
        "apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy",
        "metadata": {"name": format!("p{index}"), "labels": {"any": "thing"}}, "spec": spec,
    })
}

fn selection(dice: &mut Dice<'_>) -> Value {
    let conditions = [
        "true",
        "!('tier' in pod.metadata.labels) || pod.metadata.labels.tier != 'system'",
        "size(pod.spec.restartPolicy) > 1",
        "pod.metadata.labels['no such label'] == 'x'",
        "template != 'never'",
        "workflow.name.startsWith('ci')",
    ];
    let mut selection = Map::new();
    if dice.rarely() {
        let globs = [json!({"include": ["*"], "exclude": ["kube-*"]}), json!({"include": ["other"]}), json!({})];
        selection.insert("namespaces".to_owned(), dice.pick(&globs));
    }
    if dice.rarely() {
        selection.insert("namespaceSelector".to_owned(), json!({"matchLabels": {"tier": "gold"}}));
    }
    if dice.rarely() {
        let requirement = dice.pick(&[
            json!({"key": "workflows.argoproj.io/workflow", "operator": "Exists"}),
            json!({"key": "tier", "operator": "NotIn", "values": ["system"]}),
        ]);
        selection.insert("podSelector".to_owned(), json!({"matchExpressions": [requirement]}));
    }
    if dice.rarely() {
        selection.insert("templates".to_owned(), json!(["b*", "verify-?"]));
    }
    if dice.often() {
        selection.insert("when".to_owned(), json!([dice.pick(&conditions)]));
    }
    Value::Object(selection)
}

fn correlation(dice: &mut Dice<'_>) -> Value {
    let keys = ["repo", "prNumber", "taskId", "agent", "stepName", "ref", "x.y-z"];
    let mut correlation = Map::new();
    for key in keys {
        if !dice.often() {
            continue;
        }
        let mut entry = Map::new();
        let from: Vec<Value> = (0..dice.below(5)).map(|_| source(dice)).collect();
        entry.insert("from".to_owned(), json!(from));
        // Each key writes its own names: what two keys write to one name is a question of its own.
        if dice.often() {
            entry.insert("label".to_owned(), json!(key));
        }
        if dice.often() {
            entry.insert("annotation".to_owned(), json!(format!("acme.io/{key}")));
        }
        if dice.rarely() {
            entry.insert("required".to_owned(), json!(dice.often()));
        }
        correlation.insert(key.to_owned(), Value::Object(entry));
    }
    Value::Object(correlation)
}

/// Labels and annotations that no policy here writes, so that no source feeds on another key's output.
fn source(dice: &mut Dice<'_>) -> Value {
    let names = ["msg", "repo", "pr", "odd_name-1"];
    match dice.below(12) {
        0 => json!({"value": controls_removed(&dice.text(), 250)}),
        1 => json!({"label": dice.pick(&["user/label", "pr"])}),
        2 => json!({"annotation": dice.pick(&["user-note", "acme.io/free"])}),
        3 => json!({"workflowLabel": dice.pick(&["repo", "acme.io/slash", "pr"])}),
        4 => json!({"workflowAnnotation": dice.pick(&["note", "repo"])}),
        5 => json!({"parameter": dice.pick(&names)}),
        6 => json!({"input": dice.pick(&names)}),
        7 => json!({"namespaceLabel": dice.pick(&["team", "absent"])}),
        8 => json!({"env": dice.pick(&["REPO", "TOKEN", "STEP"])}),
        9 => {
            let builtins = ["workflowName", "workflowStem", "nodeId", "nodeName", "stepName", "templateName"];
            json!({"builtin": dice.pick(&builtins)})
        }
        10 => json!({"builtin": dice.pick(&["namespace", "container"])}),
        _ => json!({"cel": dice.pick(&["workflow.name + '/x'", "inputs.msg", "pod.metadata.labels['user/label']"])}),
    }
}

fn otlp(dice: &mut Dice<'_>) -> Value {
    let mut otlp = json!({
        "endpoint": dice.pick(&["http://otel-collector:4317", "https://[::1]:4318/x", "http://c.example.com"]),
        "protocol": dice.pick(&["grpc", "http/protobuf"]),
    });
    if dice.rarely() {
        let body = "QUJD".repeat(300);
        otlp["caBundle"] = json!(format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"));
    }
    if dice.often() {
        otlp["headersFrom"] = json!([
            {"name": "authorization", "secretKeyRef": {"name": "otlp", "key": "token"}, "optional": dice.often()},
            {"name": "x-tenant", "secretKeyRef": {"name": "tenant.of.otlp", "key": "a_b.c"}},
        ]);
    }
    otlp
}

fn env(dice: &mut Dice<'_>) -> Value {
    let names = [
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_X",
        "HTTP_PROXY",
        "MY_VARIABLE",
    ];
    let mut set = Vec::new();
    for name in names {
        if dice.rarely() {
            let conflict = dice.pick(&["keep", "override", "merge", "skip"]);
            set.push(json!({"name": name, "value": controls_removed(&dice.text(), 250), "onConflict": conflict}));
        }
    }
    json!({"preset": dice.pick(&["otel", "none"]), "set": set, "scope": dice.pick(&["auto", "container", "step"])})
}

fn shim(dice: &mut Dice<'_>) -> Value {
    json!({
        "install": dice.pick(&["auto", "initContainer", "image"]), "identityLine": dice.pick(&["auto", "stderr", "off"]),
        "spanName": dice.pick(&["{agent}/{stepName}", "$(TOKEN)", "fixed"]), "budget": dice.pick(&["500ms", "0ms", "5s"]),
        "attributes": dice.pick(&["both", "seed", "semconv"]),
    })
}

/// What a policy may hold: no control characters, so many bytes.
fn controls_removed(text: &str, bytes: usize) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > bytes {
            break;
        }
        kept.push(c);
    }
    kept
}
