//! What the comparison with the real controller cannot show: what depends on a run, bounds, refusals, the layouts of 4.1.

use serde_json::{Value, json};

use super::*;
use crate::yaml;

mod hooks;
mod open;
mod refusals;

fn expanded_with(text: &str, version: Version) -> Expansion {
    let mut library = Library::default();
    let mut workflow = Value::Null;
    for document in text.split("\n---\n") {
        let manifest = yaml::read(document, 1).unwrap();
        if !library.take(&manifest, "ci") || workflow.is_null() {
            workflow = source::workflow(&manifest);
        }
    }
    let settings = Settings::new(version, None).unwrap();
    expand(&workflow, "ci", &library, &settings).unwrap()
}

fn expanded(spec: &str) -> Expansion {
    let text =
        format!("kind: Workflow\nmetadata: {{name: wf, uid: 7b0c1f5e-3d52-4c0a-9b1e-5f2a8c64d901}}\nspec:\n{spec}");
    expanded_with(&text, Version::V3_7)
}

/// Each pod's node, and what has to be for it.
fn nodes(expansion: &Expansion) -> Vec<String> {
    let node = |pod: &Predicted| {
        let conditions = expansion.conditions(pod.node);
        let of = expansion.nodes[pod.node].name.trim_start_matches("wf").to_owned();
        if conditions.is_empty() { of } else { format!("{of} if {}", conditions.join(" and ")) }
    };
    expansion.pods.iter().map(node).collect()
}

fn problems(expansion: &Expansion) -> Vec<String> {
    expansion.problems.iter().map(|problem| format!("{}: {}", problem.node, problem.message)).collect()
}

const RUN: &str = "\n  - {name: run, container: {image: i, command: [c]}}\n";

#[test]
fn what_a_run_decides_is_said() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: first, template: run}
    - - {name: sometimes, template: run, when: "{{steps.first.outputs.result}} == yes"}
      - {name: never, template: run, when: "1 == 2"}
      - {name: each, template: run, withParam: "{{steps.first.outputs.result}}"}
      - {name: both, template: nested, when: "{{steps.first.outputs.result}} == no"}
  - name: nested
    steps: [[{name: inner, template: run}]]
"#;
    let expansion = expanded(&(spec.to_owned() + RUN));
    assert_eq!(
        nodes(&expansion),
        [
            "[0].first",
            "[1].sometimes if `{{steps.first.outputs.result}} == yes` holds",
            "[1].each({{index}}:{{item}}) if once for each item of {{steps.first.outputs.result}}",
            "[1].both[0].inner if `{{steps.first.outputs.result}} == no` holds",
        ]
    );
    assert!(expansion.nodes.iter().any(|node| node.name == "wf[1].never" && node.kind == NodeKind::Skipped));
    assert_eq!(expansion.pods[2].object["metadata"]["name"], "wf-run-{{hash}}");
    assert_eq!(problems(&expansion), [""; 0]);
}

#[test]
fn tasks_run_after_what_they_depend_on() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: run}
      - {name: b, template: run, when: "1 == 2"}
      - {name: c, template: run, when: "{{tasks.a.outputs.result}} == x", depends: a}
      - {name: after-skipped, template: run, dependencies: [b]}
      - {name: on-failure, template: run, depends: "a.Failed"}
      - {name: on-skipped-failure, template: run, depends: "b.Failed"}
      - {name: maybe, template: run, depends: "c.Succeeded"}
      - {name: anyway, template: run, depends: "c"}
      - {name: either, template: run, depends: "(a.Succeeded || a.Failed) && !b.Succeeded"}
      - {name: late, template: run, dependencies: [on-skipped-failure]}
"#;
    let mut found = nodes(&expanded(&(spec.to_owned() + RUN)));
    found.sort();
    assert_eq!(
        found,
        [
            ".a",
            ".after-skipped",
            ".anyway",
            ".c if `{{tasks.a.outputs.result}} == x` holds",
            ".either",
            ".maybe if `c.Succeeded` holds",
            ".on-failure if `a.Failed` holds",
        ]
    );
}

#[test]
fn only_what_leads_to_the_target_runs() {
    let spec = "\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      target: b\n      tasks:\n      \
                - {name: a, template: run}\n      - {name: b, template: run, dependencies: [a]}\n      - {name: c, template: run}\n";
    assert_eq!(nodes(&expanded(&(spec.to_owned() + RUN))), [".a", ".b"]);
}

#[test]
fn recursion_ends() {
    let counted = r#"
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: go, template: down, arguments: {parameters: [{name: left, value: "3"}]}}]]
  - name: down
    inputs: {parameters: [{name: left}]}
    steps:
    - - {name: work, template: run}
    - - name: again
        template: down
        when: "{{inputs.parameters.left}} > 1"
        arguments: {parameters: [{name: left, value: "{{=asInt(inputs.parameters.left) - 1}}"}]}
"#;
    let expansion = expanded(&(counted.to_owned() + RUN));
    assert_eq!(nodes(&expansion), ["[0].go[0].work", "[0].go[1].again[0].work", "[0].go[1].again[1].again[0].work"]);
    let by_chance = counted.replace("{{inputs.parameters.left}} > 1", "{{steps.work.outputs.result}} == tails");
    let expansion = expanded(&(by_chance + RUN));
    assert_eq!(nodes(&expansion), ["[0].go[0].work"]);
    assert!(expansion.nodes.iter().any(|node| node.kind == NodeKind::Recursion));
    let for_ever = counted.replace("\n        when: \"{{inputs.parameters.left}} > 1\"", "");
    let expansion = expanded(&(for_ever + RUN));
    assert!(problems(&expansion)[0].contains("more than 99 templates in one another"), "{:?}", problems(&expansion));
}

#[test]
fn too_many_nodes_are_cut() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    steps: [[{name: a, template: many, withSequence: {count: "500"}}]]
  - name: many
    steps: [[{name: b, template: run, withSequence: {count: "500"}}]]
"#;
    let expansion = expanded(&(spec.to_owned() + RUN));
    assert!(expansion.cut && expansion.nodes.len() == MAX_NODES);
    assert_eq!(expansion.problems.len(), 1);
}

#[test]
fn what_argo_would_refuse_is_told_and_the_rest_is_done() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: fine, template: run}
      - {name: missing, template: nothing}
      - {name: without, template: asks}
      - {name: elsewhere, templateRef: {name: shared, template: x}}
      - {name: unclear, template: run, when: "a b c =="}
      - {name: loop, template: run, withParam: "{}"}
      - {name: mounts, template: mounts}
      - {name: nothing, template: empty}
    - - {name: circle, template: circle}
  - {name: asks, inputs: {parameters: [{name: x}]}, container: {image: i, command: [c]}}
  - {name: mounts, container: {image: i, command: [c], volumeMounts: [{name: gone, mountPath: /x}]}}
  - {name: empty}
  - name: circle
    dag: {tasks: [{name: a, template: run, dependencies: [b]}, {name: b, template: run, dependencies: [a]}, {name: c, template: run, dependencies: [z]}]}
"#;
    let expansion = expanded(&(spec.to_owned() + RUN));
    assert_eq!(nodes(&expansion), ["[0].fine"]);
    let said = problems(&expansion).join("\n");
    for part in [
        "wf[0].missing: template nothing not found",
        "wf[0].without: inputs.parameters.x was not supplied",
        "namespace ci: WorkflowTemplate shared is not among the given files (--with gives more)",
        "wf[0].unclear: when:",
        "wf[0].loop: withParam is no JSON list",
        "wf[0].mounts: volume 'gone' not found in workflow spec",
        "template empty says nothing of what it does",
        "wf[1].circle.z: task z is depended on, and is not there",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn cyclic_references_end() {
    let text = "kind: Workflow\nmetadata: {name: wf}\nspec: {workflowTemplateRef: {name: a}}\n---\n\
                kind: WorkflowTemplate\nmetadata: {name: a}\nspec:\n  entrypoint: x\n  templates:\n  \
                - {name: x, steps: [[{name: s, templateRef: {name: b, template: other}}]]}\n---\n\
                kind: WorkflowTemplate\nmetadata: {name: b}\nspec:\n  templates:\n  \
                - {name: other, steps: [[{name: s, templateRef: {name: a, template: x}}]]}\n";
    let expansion = expanded_with(text, Version::V3_7);
    assert!(expansion.pods.is_empty() && problems(&expansion)[0].contains("more than 99 templates"));
}

#[test]
fn what_only_the_api_server_knows_stays_open() {
    let text = "kind: WorkflowTemplate\nmetadata: {name: nightly}\nspec:\n  entrypoint: run\n  \
                arguments: {parameters: [{name: repo}, {name: ref, value: main}]}\n  \
                podMetadata: {annotations: {repo: '{{workflow.parameters.repo}}', ref: '{{workflow.parameters.ref}}'}}\n  \
                templates: [{name: run, container: {image: i, command: [c], args: ['{{workflow.uid}}', '{{workflow.name}}']}}]\n";
    let expansion = expanded_with(text, Version::V3_7);
    let pod = &expansion.pods[0];
    assert_eq!(pod.object["metadata"]["name"], "nightly-{{random}}");
    assert_eq!(pod.object["metadata"]["ownerReferences"][0]["uid"], "{{workflow.uid}}");
    assert_eq!(pod.object["metadata"]["annotations"]["repo"], "{{workflow.parameters.repo}}");
    assert_eq!(pod.object["metadata"]["annotations"]["ref"], "main");
    assert_eq!(pod.object["spec"]["containers"][1]["args"], json!(["{{workflow.uid}}", "nightly-{{random}}"]));
    for source in ["annotation/repo", "parameter/repo", "builtin/workflowName", "workflow/uid"] {
        assert!(pod.unresolved.iter().any(|known| known == source), "{source}: {:?}", pod.unresolved);
    }
    assert!(!pod.unresolved.iter().any(|known| known == "annotation/ref" || known == "parameter/ref"));
}

/// As Argo 4.1.2 made them.
#[test]
fn the_layouts_of_4_1() {
    let text = "kind: Workflow\nmetadata: {name: wf, uid: 7b0c1f5e-3d52-4c0a-9b1e-5f2a8c64d901}\nspec:\n  entrypoint: main\n  \
                templates: [{name: main, script: {image: i, command: [python], source: print(1)}}]\n";
    let names = |container: &Value, field: &str, of: &str| -> Vec<String> {
        container[field].as_array().unwrap().iter().map(|one| one[of].as_str().unwrap().to_owned()).collect()
    };
    let common = [
        "ARGO_NODE_ID",
        "ARGO_INCLUDE_SCRIPT_OUTPUT",
        "ARGO_DEADLINE",
        "ARGO_WORKFLOW_NAME",
        "TRACESTATE",
        "TRACEPARENT",
        "ARGO_PROGRESS_FILE",
        "ARGO_PROGRESS_PATCH_TICK_DURATION",
        "ARGO_PROGRESS_FILE_TICK_DURATION",
    ];
    let executor = ["ARGO_POD_NAME", "ARGO_POD_UID", "ARGO_WORKFLOW_NAME", "ARGO_WORKFLOW_UID"];
    let all = |parts: &[&[&'static str]]| parts.concat();
    let with_init = expanded_with(text, Version::V4_1);
    let spec = &with_init.pods[0].object["spec"];
    let (wait, main) = (&spec["containers"][0], &spec["containers"][1]);
    assert_eq!(
        names(wait, "env", "name"),
        all(&[&executor, &["ARGO_ARTIFACT_PLUGIN_NAMES", "ARGO_CONTAINER_NAME"], &common])
    );
    assert_eq!(names(main, "env", "name"), all(&[&["ARGO_CONTAINER_NAME"], &common]));
    let init = &spec["initContainers"][0];
    assert_eq!(names(init, "env", "name"), all(&[&executor, &["ARGO_CONTAINER_NAME", "ARGO_TEMPLATE"], &common]));

    let without = expanded_with(text, Version::V4_1InitLess);
    let spec = &without.pods[0].object["spec"];
    assert!(spec.get("initContainers").is_none());
    let (supervisor, main) = (&spec["containers"][0], &spec["containers"][1]);
    assert_eq!((&supervisor["name"], &supervisor["command"][1]), (&json!("supervisor"), &json!("supervisor")));
    let expected = all(&[&executor, &["ARGO_INITLESS_POD", "ARGO_CONTAINER_NAME"], &common, &["ARGO_TEMPLATE"]]);
    assert_eq!(names(supervisor, "env", "name"), expected);
    let paths = ["/argo/staging", "/mainctrfs/argo/staging", "/tmp", "/var/run/argo"];
    assert_eq!(names(supervisor, "volumeMounts", "mountPath"), paths);
    assert_eq!(names(main, "env", "name"), all(&[&["ARGO_CONTAINER_NAME"], &common, &["ARGO_WAIT_FOR_READY"]]));
    assert_eq!(names(main, "volumeMounts", "mountPath"), ["/argo/staging", "/argo-bin", "/var/run/argo"]);
    assert_eq!(main["command"][0], "/argo-bin/bin/argoexec");
    assert_eq!(names(spec, "volumes", "name"), ["var-run-argo", "tmp-dir-argo", "argoexec-bin", "argo-staging"]);
    let annotations = &without.pods[0].object["metadata"]["annotations"];
    assert_eq!(annotations["workflows.argoproj.io/trace-id"], "{{trace}}");
}

/// What stands in `x`'s template with these steps; nothing of it may panic, and all of it has an end.
#[test]
fn a_value_that_doubles_with_every_call_ends() {
    let doubling = "\n  entrypoint: a\n  templates:\n  - name: a\n    inputs: {parameters: [{name: x, default: xxxxxxxx}]}\n    steps: \
                    [[{name: s, template: a, arguments: {parameters: [{name: x, value: \"{{inputs.parameters.x}}{{inputs.parameters.x}}\"}]}}]]\n";
    let expansion = expanded(doubling);
    assert!(expansion.pods.is_empty());
    assert!(
        problems(&expansion)[0].contains("the templates it is a part of come to more than 64 MiB"),
        "{:?}",
        problems(&expansion)
    );
}

#[test]
fn a_chain_of_many_tasks_ends() {
    let link = |at: usize| format!("      - {{name: t{at}, template: run, dependencies: [t{}]}}\n", at - 1);
    let chain = ["      - {name: t0, template: run}\n".to_owned()].into_iter().chain((1..20_000).map(link));
    let chain = chain.collect::<Vec<_>>().concat();
    let long = format!("\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n{chain}{RUN}");
    assert!(expanded(&long).cut);
}

#[test]
fn loops_of_what_is_missing_end() {
    let missing = "\n  entrypoint: main\n  templates:\n  - {name: main, steps: [[{name: s, template: b, withSequence: {count: 5000}}]]}\n  \
                   - {name: b, steps: [[{name: s, template: missing, withSequence: {count: 10000}}]]}\n";
    assert!(expanded(missing).cut);
}

#[test]
fn many_large_pods_end() {
    let huge = format!(
        "\n  entrypoint: main\n  arguments: {{parameters: [{{name: x, value: {}}}]}}\n  templates:\n  \
                - {{name: main, steps: [[{{name: s, template: b, withSequence: {{count: 9000}}}}]]}}\n  \
                - {{name: b, container: {{image: i, command: [c], args: ['{{{{workflow.parameters.x}}}}']}}}}\n",
        "x".repeat(200_000)
    );
    let expansion = expanded(&huge);
    assert!(expansion.cut && problems(&expansion)[0].contains("its pods come to more than 256 MiB"));
}

#[test]
fn keys_made_of_tags_are_told() {
    let keys = "\n  entrypoint: main\n  arguments: {parameters: [{name: k, value: arguments}, {name: c, value: container}]}\n  templates:\n  \
                - {name: main, steps: [[{name: s, template: b, \"{{workflow.parameters.k}}\": x}]]}\n  \
                - {name: b, timeout: 10м, container: {image: i}, \"{{workflow.parameters.c}}\": x}\n";
    assert!(problems(&expanded(keys))[0].contains("arguments: a map is expected"));
}

#[test]
fn what_hangs_on_a_condition_says_so() {
    let spec = r#"
  entrypoint: main
  hooks: {exit: {template: run, expression: "false"}}
  templates:
  - name: main
    dag:
      tasks:
      - {name: a, template: run}
      - {name: b, template: run, depends: a, when: "{{tasks.a.outputs.result}} == x", onExit: run}
      - {name: c, template: run, depends: b.Succeeded}
      - {name: d, template: run, dependencies: [c]}
      - {name: e, template: run, depends: "b.Succeeded && c.Omitted"}
"#;
    let mut found = nodes(&expanded(&(spec.to_owned() + RUN)));
    found.sort();
    let when = "`{{tasks.a.outputs.result}} == x` holds";
    let expected = [
        ".a".to_owned(),
        format!(".b if {when}"),
        format!(".b.onExit if {when}"),
        ".c if `b.Succeeded` holds".to_owned(),
        ".d if `c` holds".to_owned(),
        ".e if `b.Succeeded && c.Omitted` holds".to_owned(),
        ".onExit".to_owned(),
    ];
    assert_eq!(found, expected);
}

/// Argo retries wherever there is a strategy, an empty one too.
#[test]
fn an_empty_retry_strategy_is_one() {
    let spec =
        "\n  entrypoint: run\n  templates:\n  - {name: run, retryStrategy: {}, container: {image: i, command: [c]}}\n";
    assert_eq!(nodes(&expanded(spec)), ["(0)"]);
}

#[test]
fn many_tasks_may_come_together() {
    let many: Vec<String> = (0..300).map(|at| format!("t{at}")).collect();
    let task = |name: &String| format!("      - {{name: {name}, template: run}}\n");
    let tasks = many.iter().map(task).collect::<Vec<_>>().concat();
    let last = format!("      - {{name: last, template: run, dependencies: [{}]}}\n", many.join(", "));
    let spec =
        format!("\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n{tasks}{last}{RUN}");
    let expansion = expanded(&spec);
    assert_eq!((expansion.pods.len(), problems(&expansion)), (301, Vec::new()));
}
