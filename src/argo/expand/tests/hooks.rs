//! Hooks of loops (`executeDAGTask` and `executeDAG` of Argo's `workflow/controller/dag.go`, `executeStepGroup` of its `steps.go`).

use super::*;

const TELL: &str = "\n  - {name: tell, inputs: {parameters: [{name: x}]}, container: {image: i, command: [tell], args: ['{{inputs.parameters.x}}']}}\n";

/// The exit hook of a looped task runs for each item, and for all of them; the others for all of them alone.
#[test]
fn a_looped_task_has_hooks_of_its_own() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - name: loop
        template: tell
        withItems: [a, b]
        arguments: {parameters: [{name: x, value: "{{item}}"}]}
        hooks:
          exit: {template: tell, arguments: {parameters: [{name: x, value: "bye {{item}}"}]}}
          running: {expression: "tasks['loop'].status == 'Running'", template: tell, arguments: {parameters: [{name: x, value: run}]}}
      - {name: after, depends: loop, template: tell, arguments: {parameters: [{name: x, value: q}]}}
"#;
    let expansion = expanded(&(spec.to_owned() + TELL));
    assert_eq!(problems(&expansion), [""; 0]);
    let found = nodes(&expansion);
    let expected = [
        ".loop(0:a)",
        ".loop(0:a).onExit",
        ".loop(1:b)",
        ".loop(1:b).onExit",
        ".loop.onExit",
        ".loop.hooks.running if `tasks['loop'].status == 'Running'` holds",
        ".after",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for node in expected {
        assert!(found.iter().any(|found| found == node), "{node}: {found:?}");
    }
    // The exit hook is the task's, which has no item.
    let said = |node: &str| {
        let at = found.iter().position(|found| found == node).unwrap();
        let containers = expansion.pods[at].object["spec"]["containers"].as_array().unwrap();
        containers.iter().find(|container| container["name"] == "main").unwrap()["args"].clone()
    };
    assert_eq!(said(".loop(0:a).onExit"), json!(["bye {{item}}"]));
    assert_eq!((said(".loop(0:a)"), said(".loop.onExit")), (json!(["a"]), json!(["bye {{item}}"])));
}

/// Those of a looped step run for each item, and know it.
#[test]
fn a_looped_step_has_hooks_of_its_items() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: loop
        template: tell
        withItems: [a, b]
        arguments: {parameters: [{name: x, value: "{{item}}"}]}
        hooks:
          exit: {template: tell, arguments: {parameters: [{name: x, value: "bye {{item}}"}]}}
          always: {expression: "1 == 1", template: tell, arguments: {parameters: [{name: x, value: run}]}}
"#;
    let expansion = expanded(&(spec.to_owned() + TELL));
    assert_eq!(problems(&expansion), [""; 0]);
    let mut found = nodes(&expansion);
    found.sort();
    let of = |item: &str| ["", ".hooks.always", ".onExit"].map(|hook| format!("[0].loop({item}){hook}"));
    assert_eq!(found, [of("0:a"), of("1:b")].concat());
}

#[test]
fn a_loop_over_a_result_may_have_no_item() {
    let spec = r#"
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - {name: list, template: run}
      - {name: loop, template: run, depends: list, withParam: "{{tasks.list.outputs.result}}", onExit: run}
      - {name: none, template: run, withParam: "[]", onExit: run}
      - {name: never, template: run, when: "1 == 2", withItems: [a], onExit: run}
      - {name: skipped, template: run, depends: never.Skipped}
      - {name: succeeded, template: run, depends: never.Succeeded}
      - {name: any, template: run, depends: never.AnySucceeded}
"#;
    let mut found = nodes(&expanded(&(spec.to_owned() + RUN)));
    found.sort();
    assert_eq!(
        found,
        [
            ".list",
            ".loop({{index}}:{{item}}) if once for each item of {{tasks.list.outputs.result}}",
            ".loop({{index}}:{{item}}).onExit if once for each item of {{tasks.list.outputs.result}}",
            ".loop.onExit if {{tasks.list.outputs.result}} has an item",
            // A loop whose items are all skipped succeeds.
            ".never.onExit",
            ".succeeded",
        ]
    );
}

/// When a loop is unrolled, nothing is known yet of what becomes of it.
#[test]
fn a_hook_of_a_loop_cannot_ask_for_its_status() {
    let spec = "\n  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: loop, template: run, withItems: [a], hooks: \
                {exit: {template: tell, arguments: {parameters: [{name: x, value: '{{steps.loop.status}}'}]}}}}\n";
    let expansion = expanded(&[spec, RUN, TELL].concat());
    assert!(problems(&expansion)[0].starts_with("wf[0].loop: {{steps.loop.status}}: Argo puts a value"));
}
