//! The chart as Helm renders it: each shape of `charts/stepspan/ci` gives `tests/chart/<shape>.yaml` (`ACCEPT=1` rewrites it), and
//! whatever the shape, what a cluster's owner relies on holds.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::PolicyFile;
use stepspan::yaml;

/// What of the chart is made from something else.
mod made;
/// What pages say of it.
mod told;

use crate::known::Known;

const CHART: &str = "charts/stepspan";

/// Helm, as `scripts/cluster-tools` builds it.
fn helm(args: &[&str]) -> Output {
    let program = Known::ask().and_then(|known| known.program("helm", "helm")).unwrap();
    assert!(program.exists(), "{} is not there; build it with: scripts/cluster-tools api", program.display());
    Command::new(program).current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What Helm renders with further arguments.
fn render(more: &[&str]) -> String {
    let output = helm(&[&["template", "stepspan", CHART, "--namespace", "tracing"], more].concat());
    assert!(output.status.success(), "{more:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What Helm says of values that it refuses.
fn refusal(more: &[&str]) -> String {
    let output = helm(&[&["template", "stepspan", CHART], more].concat());
    assert!(!output.status.success(), "{more:?} is not refused");
    text(&output.stderr)
}

fn shapes() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART).join("ci");
    let mut shapes: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().replace("-values.yaml", "");
            (name, path.display().to_string())
        })
        .collect();
    shapes.sort();
    assert!(shapes.len() >= 5, "{shapes:?}");
    shapes
}

fn objects(rendered: &str) -> Vec<Value> {
    yaml::documents(rendered.as_bytes())
        .map(|document| document.unwrap().read().unwrap())
        .filter(|o| !o.is_null())
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn every_shape_renders_as_expected() {
    for (name, values) in shapes() {
        let lint = helm(&["lint", "--strict", CHART, "--values", &values]);
        assert!(lint.status.success(), "{name}: {}{}", text(&lint.stdout), text(&lint.stderr));
        // The definition of policies is the same in all, and held by a test of its own.
        let rendered = render(&["--values", &values, "--set", "crd.install=false"]);
        let golden = format!("tests/chart/{name}.yaml");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(golden);
        if std::env::var_os("ACCEPT").is_some() {
            fs::create_dir_all(golden.parent().unwrap()).unwrap();
            fs::write(&golden, &rendered).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            expected == rendered,
            "{name} renders otherwise; if that is meant: make accept\n{}",
            diff(&expected, &rendered)
        );
    }
}

fn diff(old: &str, new: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(3).to_string()
}

/// Pod Security "restricted", as its admission plugin checks it.
#[test]
fn our_own_pods_are_restricted() {
    let pods = shapes().into_iter().flat_map(|(name, values)| {
        let objects = objects(&render(&["--values", &values]));
        let deployments = of_kind(&objects, "Deployment").into_iter();
        deployments.map(|deployment| (name.clone(), deployment["spec"]["template"]["spec"].clone())).collect::<Vec<_>>()
    });
    for (name, pod) in pods {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["securityContext"].get("runAsUser").is_none(), name == "openshift", "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
        }
    }
}

/// What reads the logs of a node is root, and has nothing of it but those, to read, and its own folder.
#[test]
fn who_reads_logs_has_nothing_else_of_the_node() {
    let objects = objects(&render(&["--values", "charts/stepspan/ci/logs-values.yaml"]));
    let pod = &of_kind(&objects, "DaemonSet")[0]["spec"]["template"]["spec"];
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(key).is_none(), "{key}");
    }
    let volumes = pod["volumes"].as_array().unwrap();
    let of_node: Vec<_> = volumes.iter().filter_map(|volume| volume["hostPath"]["path"].as_str()).collect();
    assert_eq!(of_node, ["/var/log/pods", "/var/lib/stepspan-logs"]);
    let container = &pod["containers"][0];
    let mounts = container["volumeMounts"].as_array().unwrap();
    let written: Vec<_> = mounts.iter().filter(|mount| mount["readOnly"] != true).map(|mount| &mount["name"]).collect();
    assert_eq!(written, ["state"]);
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], serde_json::json!({"drop": ["ALL"]}));
}

/// What is not of the chart's making, and what may be done with it; `watch` has fewer rights.
const UNNAMED: [(&str, &[&str]); 6] = [
    ("workflows", &["list", "watch"]),
    ("pods", &["get", "list", "watch"]),
    ("events", &["create", "patch"]),
    ("namespaces", &["list", "watch"]),
    ("injectionpolicies", &["list", "watch"]),
    ("injectionpolicies/status", &["patch"]),
];

/// Each right is for an object that the chart itself makes, by its name, but for what is only read, our own policies, and Events;
/// nothing else may be created but the Lease, and nothing deleted.
#[test]
fn rights_are_for_named_objects() {
    for (name, values) in shapes() {
        let objects = objects(&render(&["--values", &values]));
        // In the namespace of the release alone.
        let leases =
            serde_json::json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]});
        // Of nobody who is ours: the steps' own account, where it is named.
        let (theirs, ours): (Vec<_>, Vec<_>) =
            of_kind(&objects, "Role").into_iter().partition(|role| role["metadata"]["name"] == "stepspan-links");
        assert_eq!(theirs.len(), if name == "links" { 2 } else { 0 });
        for role in theirs {
            let patch = serde_json::json!([{"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["get", "patch"]}]);
            assert_eq!(role["rules"], patch);
        }
        assert!(ours[0]["rules"].as_array().unwrap().contains(&leases), "{name}");
        for role in [ours, of_kind(&objects, "ClusterRole")].concat() {
            for rule in role["rules"].as_array().unwrap().iter().filter(|rule| **rule != leases) {
                let resource = rule["resources"][0].as_str().unwrap();
                if let Some((_, verbs)) = UNNAMED.into_iter().find(|(unnamed, _)| *unnamed == resource) {
                    let given = rule["verbs"].as_array().unwrap();
                    assert!(given.iter().all(|verb| verbs.contains(&verb.as_str().unwrap())), "{name}: {rule}");
                    continue;
                }
                let names: Vec<_> = rule["resourceNames"].as_array().expect("names").iter().collect();
                let made = |name: &&Value| objects.iter().any(|object| object["metadata"]["name"] == **name);
                assert!(!names.is_empty() && names.iter().all(made), "{name}: {rule}");
                let verbs = rule["verbs"].to_string();
                assert!(!["*", "create", "delete"].iter().any(|verb| verbs.contains(verb)), "{name}: {rule}");
            }
        }
    }
}

#[test]
fn the_registration_costs_nobody_their_pods() {
    for (name, values) in shapes() {
        let objects = objects(&render(&["--values", &values]));
        let configuration = of_kind(&objects, "MutatingWebhookConfiguration")[0];
        let webhooks = configuration["webhooks"].as_array().unwrap();
        assert_eq!(webhooks.len(), 2);
        for webhook in webhooks {
            assert_eq!(
                (&webhook["failurePolicy"], &webhook["timeoutSeconds"]),
                (&"Ignore".into(), &2.into()),
                "{name}"
            );
            assert_eq!(webhook["sideEffects"], "NoneOnDryRun");
            assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
            let excluded = webhook["namespaceSelector"]["matchExpressions"][0].to_string();
            assert!(excluded.contains("NotIn") && excluded.contains("kube-system") && excluded.contains("\"tracing\""));
            // Who keeps the bundle in the cluster keeps it: a render without the field does not take it away.
            assert_eq!(webhook["clientConfig"].get("caBundle").is_some(), name == "openshift", "{name}");
        }
        assert!(webhooks[0]["objectSelector"].to_string().contains("workflows.argoproj.io/workflow"));
    }
}

/// What is mounted is what the program reads: policies, context, and the arguments themselves.
#[test]
fn the_program_understands_what_it_is_given() {
    for (name, values) in shapes() {
        let objects = objects(&render(&["--values", &values]));
        let maps = of_kind(&objects, "ConfigMap");
        let of = |suffix: &str| maps.iter().find(|map| map["metadata"]["name"] == format!("stepspan{suffix}")).unwrap();
        let files: Vec<PolicyFile> = of("-policies")["data"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, text)| PolicyFile { name: name.clone(), text: text.as_str().unwrap().to_owned() })
            .collect();
        let set = PolicySet::from_files(&files, &Rules::default()).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        assert_eq!(set.policies().len(), 1);
        let context: Context = serde_json::from_str(of("")["data"]["context.json"].as_str().unwrap()).unwrap();
        assert_eq!(context.injector.openshift, name == "openshift");
        assert_eq!(context.injector.shim_metrics, name == "collector-auth");
        assert_eq!(context.injector.node_spans, name != "collector-auth");

        let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], context.injector.image, "steps get the image that the webhook has");
        let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
        let output = Command::new(env!("CARGO_BIN_EXE_stepspan")).args(args).output().unwrap();
        // It gets as far as the files, which are not here.
        assert!(text(&output.stderr).contains("/context/context.json"), "{name}: {}", text(&output.stderr));
    }
}

/// Policies come from files, from resources or from both, and what is not wanted leaves neither right nor argument.
#[test]
fn policies_come_from_where_they_are_wanted() {
    let args = |objects: &[Value]| {
        of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    };
    let both = objects(&render(&[]));
    assert_eq!(of_kind(&both, "CustomResourceDefinition")[0]["metadata"]["name"], stepspan::policy::crd::NAME);
    assert!(args(&both).contains("--policy=/policies") && args(&both).contains("--policy-resources"));
    let files = render(&["--set", "policies.resources=false,crd.install=false"]);
    assert!(!files.contains("injectionpolicies") && !files.contains("--policy-resources"));
    let resources = args(&objects(&render(&["--set", "policies.default=false"])));
    assert!(resources.contains("--no-default-policy") && !resources.contains("--policy=/policies"));
}

/// The webhooks of the configuration: of pods, then of workflows.
fn webhooks(objects: &[Value]) -> (Value, Value) {
    let all = &of_kind(objects, "MutatingWebhookConfiguration")[0]["webhooks"];
    assert_eq!((&all[0]["name"], &all[1]["name"]), (&"pods.stepspan.dev".into(), &"workflows.stepspan.dev".into()));
    (all[0].clone(), all[1].clone())
}

/// Users submit workflows, and a controller makes their pods: who names it must still have the keys carried to pods.
#[test]
fn requesters_are_those_of_pods() {
    let (pods, workflows) = webhooks(&objects(&render(&["--set", "requesters={system:serviceaccount:argo:argo}"])));
    let condition = r#"request.userInfo.username in ["system:serviceaccount:argo:argo"]"#;
    assert_eq!(pods["matchConditions"][1]["expression"], condition);
    assert!(!workflows["matchConditions"].to_string().contains("userInfo"), "{workflows}");
}

#[test]
fn kube_system_and_the_own_namespace_are_always_left_out() {
    for (set, left_out) in [
        ("namespaces.exclude=[]", serde_json::json!(["kube-system", "tracing"])),
        (r#"namespaces.exclude=["a","tracing"]"#, serde_json::json!(["kube-system", "tracing", "a"])),
    ] {
        let (pods, workflows) = webhooks(&objects(&render(&["--set-json", set])));
        for webhook in [pods, workflows] {
            assert_eq!(webhook["namespaceSelector"]["matchExpressions"][0]["values"], left_out);
        }
    }
}

/// Whoever looks for the webhook's pods finds no others, should the release have others too.
#[test]
fn the_webhook_s_pods_are_found_as_a_component() {
    let objects = objects(&render(&["--set", "metrics.serviceMonitor.enabled=true,podLabels.team=a"]));
    let one = |kind| of_kind(&objects, kind)[0];
    let deployment = &one("Deployment")["spec"];
    let template = &deployment["template"];
    let mut selectors = vec![
        &deployment["selector"]["matchLabels"],
        &one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &one("ServiceMonitor")["spec"]["selector"]["matchLabels"],
        &one("Service")["spec"]["selector"],
    ];
    let spread = template["spec"]["topologySpreadConstraints"].as_array().unwrap();
    selectors.extend(spread.iter().map(|constraint| &constraint["labelSelector"]["matchLabels"]));
    for selector in selectors {
        let wanted = serde_json::json!({"app.kubernetes.io/name": "stepspan", "app.kubernetes.io/instance": "stepspan",
            "app.kubernetes.io/component": "webhook"});
        assert_eq!(*selector, wanted);
    }
    for found in [&template["metadata"]["labels"], &one("Service")["metadata"]["labels"]] {
        assert_eq!(found["app.kubernetes.io/component"], "webhook");
    }
    assert_eq!(template["metadata"]["labels"]["team"], "a");
}

#[test]
fn bodies_have_a_part_of_the_memory_only() {
    let objects = objects(&render(&[]));
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    assert!(container["args"].as_array().unwrap().contains(&"--max-body-memory=32MiB".into()));
    assert_eq!(container["resources"]["limits"]["memory"], "128Mi");
}

#[test]
fn metrics_are_scraped_once() {
    let scraped = |set: &str| {
        let objects = objects(&render(&["--set", set]));
        let template = &of_kind(&objects, "Deployment")[0]["spec"]["template"];
        let annotated = template["metadata"]["annotations"].to_string().contains("prometheus.io/scrape");
        (annotated, of_kind(&objects, "ServiceMonitor").len())
    };
    assert_eq!(scraped("metrics.serviceMonitor.enabled=false"), (true, 0));
    assert_eq!(scraped("metrics.serviceMonitor.enabled=true"), (false, 1));
    assert_eq!(scraped("metrics.annotations=false"), (false, 0));
}

#[test]
fn the_default_policy_is_the_embedded_one() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    assert!(
        read("policies/agent-steps/policy.yaml") == read("charts/stepspan/policies/agent-steps.yaml"),
        "copy policies/agent-steps/policy.yaml to charts/stepspan/policies/agent-steps.yaml"
    );
}

#[test]
fn wrong_values_are_refused_with_a_reason() {
    for (args, reason) in [
        (&["--set", "replica=3"][..], "additional properties 'replica' not allowed"),
        (&["--set", "certificates.mod=self"], "additional properties 'mod' not allowed"),
        (&["--set", "collector.endpoint=otel:4317"], "collector/endpoint"),
        (
            &["--set", "certificates.mode=secret,certificates.caBundle=-----BEGIN CERTIFICATE-----"],
            "secretName must name it",
        ),
        (&["--set", "certificates.mode=secret,certificates.caBundle=x"], "certificates/caBundle"),
        (&["--set", "collector.caBundle=x"], "collector/caBundle"),
        (&["--set", "certificates.certManager.duration=90d"], "certManager/duration"),
        (&["--set", "namespaces.include={default}"], "default is never looked at"),
        (&["--set-json", r#"policies.files={"agent-steps.yaml":"x"}"#], "set policies.default=false to replace it"),
        (&["--set-string", r"podAnnotations.prometheus\.io/scrape=false"], "metrics.annotations=false leaves those"),
        (&["--set", "certificates.mode=secret,certificates.secretName=x"], "certificates.caBundle must hold the CA"),
        (&["--set", "policies.default=false,policies.resources=false"], "there would be no policy"),
        (&["--set-json", r#"policies.files={"a.txt":"x"}"#], "must end in .yaml, .yml or .json"),
        (&["--set", "networkPolicy.namespaces={ci}"], "networkPolicy.to names no collector"),
        (&["--set", "certificates.life=29999ms"], "29999ms is too short"),
        (&["--set", "certificates.life=20s"], "at least 30s"),
        (&["--set", "certificates.certManager.issuerRef.kind=ClusterIssuer"], "'name' required"),
        (&["--set", r"podLabels.app\.kubernetes\.io/component=x"], "invalid propertyName"),
        (&["--kube-version", "1.29.0"], "requires kubeVersion"),
    ] {
        let said = refusal(args);
        assert!(said.contains(reason), "{args:?}: {said}");
    }
    assert!(render(&["--set", "certificates.life=30s"]).contains("--tls-life=30s"));
}

/// `watch` gets arguments that it understands, one object for each shard, and pods whose steps stand in its nodes.
#[test]
fn watch_is_given_what_it_needs() {
    let values = format!("{CHART}/ci/watch-values.yaml");
    let objects = objects(&render(&["--values", &values]));
    let deployments = of_kind(&objects, "Deployment");
    let watch = deployments.into_iter().find(|it| it["metadata"]["name"] == "stepspan-watch").unwrap();
    let container = &watch["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_stepspan")).args(&args).env_clear().output().unwrap();
    // It gets as far as the first thing that only a pod has.
    assert!(text(&output.stderr).contains("give --namespace"), "{}", text(&output.stderr));
    let maps = of_kind(&objects, "ConfigMap");
    for shard in 0..stepspan::watch::ledger::SHARDS {
        assert!(maps.iter().any(|map| map["metadata"]["name"] == format!("stepspan-watch-{shard}")), "{shard}");
    }
    let headers = container["env"].to_string();
    assert!(headers.contains("authorization=$(OTLP_HEADER_0)") && headers.contains("secretKeyRef"), "{headers}");
    assert!(!args.contains(&"--no-step-metrics"));
    let others = render(&["--set", "metrics.owner=none"]);
    assert!(others.contains("--no-step-metrics") && !others.contains("SSL_CERT_FILE"));
    assert!(refusal(&["--set", "watch.enabled=false"]).contains("set it to shim or none"));
    let by_http = refusal(&["--set", "collector.protocol=http/protobuf"]);
    assert!(by_http.contains("watch.endpoint"), "{by_http}");
}
