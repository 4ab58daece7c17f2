//! Law 7: policies hold no power.

use proptest::prelude::*;
use serde_json::{Value, json};
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::PolicyFile;

use crate::case::{Case, list, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn what_an_operator_allows_never_reaches_the_executor_or_the_loader(
        name in "(ARGO_|LD_|STEPSPAN_)[A-Z_]{0,12}|PATH", allowed in "(\\*|A\\*|ARGO_\\*|L\\*|STEP\\*|PATH|P\\*)"
    ) {
        for rules in [Vec::new(), vec![allowed], vec![name.clone()]] {
            prop_assert!(!loads(&env(&name), rules), "{}", name);
        }
    }

    #[test]
    fn other_variables_need_an_operator_s_word(name in "[A-NP-Z][A-Z_]{1,10}") {
        prop_assert!(!loads(&env(&name), Vec::new()));
        let own = ["OTEL_", &name].concat();
        prop_assert!(loads(&env(&own), Vec::new()));
    }

    #[test]
    fn the_init_container_is_restricted_and_holds_no_token(bytes in rows()) {
        restricted(&Case::of(&bytes));
    }

    #[test]
    fn secrets_come_by_reference_alone(bytes in rows()) {
        let case = Case::of(&bytes);
        let after = case.run().after;
        let pairs = list(&case.pod["spec"], "containers").iter().zip(list(&after["spec"], "containers"));
        for (before, after) in pairs {
            let refers = |e: &&Value| e["valueFrom"].get("secretKeyRef").is_some();
            for entry in list(after, "env").iter().filter(refers).filter(|e| !list(before, "env").contains(e)) {
                prop_assert!(text(entry, "name").starts_with("STEPSPAN_HEADER_"), "{}", entry);
                prop_assert!(entry.get("value").is_none());
            }
            prop_assert_eq!(before.get("envFrom"), after.get("envFrom"));
            prop_assert_eq!(before.get("securityContext"), after.get("securityContext"));
        }
    }
}

#[test]
fn recorded_pods_get_a_restricted_init_container() {
    for (name, pod) in recorded() {
        let mut case = Case::plain(pod);
        let has_init = restricted(&case);
        assert_eq!(
            has_init,
            name.contains("3.7") && !name.contains("agent") && !name.contains("gc") || name.contains("daemon")
        );
        case.pod["spec"]["securityContext"] =
            json!({"runAsUser": 0, "runAsNonRoot": false, "seccompProfile": {"type": "Unconfined"}});
        restricted(&case);
    }
}

/// The controls of the Pod Security Standards' `restricted` profile (kubernetes.io/docs/concepts/security/pod-security-standards)
/// that a container can fail; `false` where we added none.
fn restricted(case: &Case) -> bool {
    let after = case.run().after;
    let Some(container) = list(&after["spec"], "initContainers").iter().find(|c| text(c, "name") == "stepspan-init")
    else {
        return false;
    };
    let (own, pod) = (&container["securityContext"], &after["spec"]["securityContext"]);
    let of = |field: &str| own.get(field).or_else(|| pod.get(field)).cloned().unwrap_or(Value::Null);
    assert!(own.get("privileged").is_none_or(|p| p == false));
    assert_eq!(own["allowPrivilegeEscalation"], false);
    assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(of("runAsNonRoot"), true);
    assert!(["RuntimeDefault", "Localhost"].contains(&text(&of("seccompProfile"), "type")));
    assert!(
        own.get("procMount").is_none() && own.get("seLinuxOptions").is_none() && own.get("windowsOptions").is_none()
    );
    assert_eq!(own["readOnlyRootFilesystem"], true);
    if !case.context.injector.openshift {
        assert!(of("runAsUser").as_u64().is_some_and(|user| user > 0));
    }
    let known = ["name", "image", "imagePullPolicy", "command", "resources", "volumeMounts", "securityContext"];
    assert!(container.as_object().unwrap().keys().all(|k| known.contains(&k.as_str())), "no ports, no env, no hooks");
    let volumes = list(&after["spec"], "volumes");
    for mount in list(container, "volumeMounts") {
        let volume = volumes.iter().find(|v| v["name"] == mount["name"]).unwrap();
        assert!(volume.get("emptyDir").is_some() || volume.get("downwardAPI").is_some(), "{volume}");
    }
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    let over = list(container, "volumeMounts")
        .iter()
        .find(|m| m["mountPath"] == token)
        .expect("an empty volume over the token");
    assert_eq!(over["name"], "stepspan-no-token");
    true
}

fn env(name: &str) -> Value {
    json!({"env": {"set": [{"name": name, "value": "x"}]}})
}

fn loads(spec: &Value, allow_env: Vec<String>) -> bool {
    let policy = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "p"}, "spec": spec});
    let file = PolicyFile { name: "p.yaml".to_owned(), text: policy.to_string() };
    PolicySet::from_files(&[file], &Rules { allow_env }).is_ok()
}

#[test]
fn policies_cannot_hold_a_secret_s_value_or_reserved_names() {
    for spec in [
        json!({"otlp": {"headersFrom": [{"name": "a", "value": "secret"}]}}),
        json!({"otlp": {"headersFrom": [{"name": "a", "secretKeyRef": {"name": "../x", "key": "k"}}]}}),
        json!({"labels": {"workflows.argoproj.io/workflow": "x"}}),
        json!({"labels": {"app.kubernetes.io/name": "x"}}),
        json!({"annotations": {"stepspan.dev/status": "x"}}),
        json!({"annotations": {"workflows.argoproj.io/node-id": "x"}}),
        json!({"match": {"when": ["http.get('http://x') == ''"]}}),
        json!({"initContainer": {"image": "mine"}}),
        json!({"shim": {"budget": "6s"}}),
        json!({"correlation": {"inject": {"from": [{"value": "false"}]}}}),
        json!({"correlation": {"status": {"from": [{"value": "injected"}]}}}),
        json!({"correlation": {"p.repo": {"from": [{"value": "forged"}]}}}),
    ] {
        assert!(!loads(&spec, vec!["*".to_owned()]), "{spec}");
    }
}
