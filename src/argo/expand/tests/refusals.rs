//! What Argo refuses of a Workflow before it makes any of its pods, and what it lets pass. Each of these was asked of `ValidateWorkflow` of 3.7.3.

use super::*;

/// What is told of a Workflow with these templates, and with `t`, which runs a container.
fn told(templates: &str) -> Vec<String> {
    let t = "{name: t, container: {image: i, command: [c]}}";
    problems(&expanded(&format!("\n  entrypoint: m\n  templates:\n  - {t}\n{templates}\n")))
}

#[test]
fn tags_that_nothing_stands_for_are_told() {
    for (text, why) in [
        ("{{workflow.nam}}", "there is no such value of a Workflow"),
        ("{{workflow.priority}}", "there is no such value of a Workflow"),
        ("{{workflow.failures}}", "there is no such value of a Workflow"),
        ("{{workflow.parameters.none}}", "the Workflow has no such parameter"),
        ("{{workflow.labels.none}}", "the Workflow has no such label"),
        ("{{workflow.annotations.none}}", "the Workflow has no such annotation"),
        ("{{workflow.outputs.parameters.none}}", "no template gives the Workflow such an output"),
        ("{{pod.nam}}", "of a pod there is {{pod.name}}, in templates that have one"),
        ("{{item.x}}", "it stands in no loop"),
        ("{{inputs.parameters.none}}", "it has no such input"),
        ("{{inputs.artifacts.none.path}}", "it has no such input artifact"),
        ("{{inputs.paramters.none}}", "it has no such input"),
        ("{{steps.none.outputs.result}}", "there is no such step"),
        ("{{tasks.none.status}}", "there is no such task"),
    ] {
        let of =
            |template: &str| format!("{{name: {template}, container: {{image: i, command: [c], args: ['a {text}']}}}}");
        assert_eq!(told(&format!("  - {}", of("m"))), [format!("wf: template m: {text}: {why}")]);
        // The same where nothing executes it.
        let unused = format!("  - {{name: m, steps: [[{{name: a, template: t}}]]}}\n  - {}", of("u"));
        assert_eq!(told(&unused), [format!("wf: template u: {text}: {why}")]);
    }
}

/// What is asked of steps and tasks that do not give it, in `m`.
const RESULTS: &[(&str, &str)] = &[
    (
        "  - {name: m, steps: [[{name: b, template: t}], [{name: a, template: t, when: '{{steps.b.outputs.resul}} == x'}]]}",
        "{{steps.b.outputs.resul}}: step b has no such value",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t, when: '{{steps.b.outputs.result}} == x'}], [{name: b, template: t}]]}",
        "{{steps.b.outputs.result}}: step b comes later",
    ),
    (
        "  - {name: s, steps: [[{name: c, template: t}]]}\n  \
             - {name: m, steps: [[{name: b, template: s}], [{name: a, template: t, when: '{{steps.b.outputs.result}} == x'}]]}",
        "{{steps.b.outputs.result}}: step b has no such value",
    ),
    (
        "  - {name: m, steps: [[{name: b, template: t}], [{name: a, template: t, when: '{{steps.b.outputs.parameters.x}} == x'}]]}",
        "{{steps.b.outputs.parameters.x}}: step b has no such value",
    ),
    (
        "  - {name: m, steps: [[{name: b, template: t, withSequence: {count: 1}}], [{name: a, template: t, when: '{{steps.b.outputs.parameters}} == x'}]]}",
        "{{steps.b.outputs.parameters}}: step b has no such value",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t, when: '{{steps.a.outputs.result}} == x'}]]}",
        "{{steps.a.outputs.result}}: it is what becomes of the step itself",
    ),
    (
        "  - {name: m, inputs: {artifacts: [{name: x, optional: true}]}, steps: [[{name: a, template: t, when: '{{inputs.artifacts.x.path}} == x'}]]}",
        "{{inputs.artifacts.x.path}}: it has no such input artifact",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t, when: '{{pod.name}} == x'}]]}",
        "{{pod.name}}: of a pod there is {{pod.name}}, in templates that have one",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: a, template: t}, {name: b, template: t, when: '{{tasks.a.status}} == x'}]}}",
        "{{tasks.a.status}}: only what depends on a knows its status",
    ),
    (
        "  - {name: need, inputs: {parameters: [{name: x}]}, container: {image: i, command: [c]}}\n  - {name: m, dag: {tasks: [{name: a, template: t}, \
             {name: b, template: need, arguments: {parameters: [{name: x, value: '{{tasks.a.outputs.result}}'}]}}]}}",
        "{{tasks.a.outputs.result}}: task b does not depend on a",
    ),
];

#[test]
fn what_steps_and_tasks_do_not_give_is_told() {
    for (templates, expected) in RESULTS {
        assert_eq!(told(templates), [format!("wf: template m: {expected}")], "{templates}");
    }
}

/// Mistakes of `m`.
const MISTAKES: &[(&str, &str)] = &[
    ("  - {name: m, container: {command: [c]}}", "its container has no image"),
    ("  - {name: m, script: {command: [sh], source: x}}", "its script has no image"),
    (
        "  - {name: m, container: {image: i, command: [c]}, script: {image: i, command: [c], source: x}}",
        "it has container and script: a template does one thing",
    ),
    (
        "  - {name: m, inputs: {parameters: [{name: a, value: x}, {name: a, value: y}]}, container: {image: i, command: [c]}}",
        "two inputs are called a",
    ),
    (
        "  - {name: m, inputs: {parameters: [{name: a b, value: x}]}, container: {image: i, command: [c]}}",
        "input \"a b\": its name can have letters, digits, - and _",
    ),
    (
        "  - {name: m, inputs: {artifacts: [{name: o, raw: {data: x}}]}, container: {image: i, command: [c]}}",
        "input artifact o has no path",
    ),
    (
        "  - {name: m, steps: [[{name: a.b, template: t}]]}",
        "step \"a.b\": its name can have letters, digits and - (no - first), 128 of them at most",
    ),
    ("  - {name: m, steps: [[{name: a, template: t}, {name: a, template: t}]]}", "two steps are called a"),
    ("  - {name: m, steps: [[{template: t}]]}", "a step has no name"),
    (
        "  - {name: m, steps: [[{name: a, template: t, withItems: [1], withParam: '[]'}]]}",
        "step a has withItems and withParam: one of them is allowed",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t, withSequence: {count: 2, end: 3}}]]}",
        "step a: withSequence has count and end: one of them is allowed",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t, arguments: {parameters: [{name: x, value: y}, {name: x, value: z}]}}]]}",
        "step a: two arguments are called x",
    ),
    (
        "  - {name: m, timeout: 5s, steps: [[{name: a, template: t}]]}",
        "it has a timeout, which steps, dag and suspend templates cannot have",
    ),
    ("  - {name: m, timeout: '5', container: {image: i, command: [c]}}", "timeout 5 has no unit, such as 5s"),
    (
        "  - {name: m, activeDeadlineSeconds: 5, dag: {tasks: [{name: a, template: t}]}}",
        "it has activeDeadlineSeconds, which steps and dag templates cannot have",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: a, template: t}, {name: b, template: t, depends: a.Succeded}]}}",
        "task b: depends: nothing ends Succeded; there are Succeeded, Failed, Errored, Skipped, Omitted, Daemoned, AnySucceeded, AllFailed",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: a, template: t}, {name: b, template: t, depends: a.AnySucceeded}]}}",
        "task b: depends: AnySucceeded is of loops, and a is none",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: 1a, template: t}, {name: b, template: t, depends: 1a}]}}",
        "task 1a: a name with a digit first cannot stand beside depends or dependencies",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: a, template: t}, {name: b, template: t, depends: a}, {name: c, template: t, dependencies: [a]}]}}",
        "its tasks have depends and dependencies: Argo takes one of them",
    ),
    (
        "  - {name: m, resource: {action: creat, manifest: 'a: b'}}",
        "resource.action \"creat\": there are get, create, apply, delete, replace, patch",
    ),
    ("  - {name: m, resource: {action: create}}", "its resource has neither manifest nor manifestFrom"),
    (
        "  - {name: m, containerSet: {containers: [{name: a, image: i, command: [c], dependencies: [z]}]}}",
        "container a depends on z, which is not there",
    ),
    (
        "  - {name: m, containerSet: {containers: [{name: a, image: i, command: [c], dependencies: [b]}, {name: b, image: i, command: [c], dependencies: [a]}]}}",
        "its containers depend on one another in a circle",
    ),
    (
        "  - {name: m, outputs: {parameters: [{name: o, valueFrom: {path: /x}}]}, containerSet: {containers: [{name: a, image: i, command: [c]}]}}",
        "it has input artifacts or outputs, and no container called main, which they are of",
    ),
    (
        "  - {name: m, outputs: {parameters: [{name: o}]}, container: {image: i, command: [c]}}",
        "output o: it has neither value nor valueFrom",
    ),
    (
        "  - {name: m, outputs: {parameters: [{name: o, valueFrom: {expression: '1'}}]}, container: {image: i, command: [c]}}",
        "output o: valueFrom needs path here",
    ),
    (
        "  - {name: m, parallelism: 2, container: {image: i, command: [c]}}",
        "it has parallelism, which only steps and dag templates can have",
    ),
    (
        "  - {name: m, retryStrategy: {retryPolicy: Sometimes}, container: {image: i, command: [c]}}",
        "retryPolicy Sometimes: there are Always, OnError, OnFailure and OnTransientError",
    ),
];

#[test]
fn what_argo_refuses_of_a_template_is_told() {
    for (templates, expected) in MISTAKES {
        assert_eq!(told(templates), [format!("wf: template m: {expected}")], "{templates}");
    }
}

/// What is told of all the templates.
const REST: &[(&str, &str)] = &[
    ("  - {name: m, steps: [[{name: a, template: t}]]}\n  - {name: u}", "wf: template u says nothing of what it does"),
    (
        "  - {name: m, steps: [[{name: a, template: u}]]}\n  - {name: u}",
        "wf[0].a: template u says nothing of what it does",
    ),
    ("  - {name: m, steps: [[{name: a, template: none}]]}", "wf[0].a: template none not found"),
    (
        "  - {name: m, steps: [[{name: a, template: none, when: 1 == 2}]]}",
        "wf: template m: step a: template none not found",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: need, when: 1 == 2}]]}\n  - {name: need, inputs: {parameters: [{name: x}]}, container: {image: i, command: [c]}}",
        "wf: template m: step a: inputs.parameters.x was not supplied",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: need}]]}\n  - {name: need, inputs: {parameters: [{name: x}]}, container: {image: i, command: [c]}}",
        "wf[0].a: inputs.parameters.x was not supplied",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t}]]}\n  - {name: u, dag: {tasks: [{name: a, template: t, depends: b}, {name: b, template: t, depends: a}]}}",
        "wf: template u: the tasks depend on one another in a circle, a among them",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: a, template: t, depends: b}, {name: b, template: t, depends: a}, {name: c, template: t}]}}",
        "wf: the tasks depend on one another in a circle, a among them",
    ),
    (
        "  - {name: m, dag: {tasks: [{name: a, template: t}, {name: b, template: t, depends: a.succeeded}]}}",
        "wf.succeeded: task succeeded is depended on, and is not there",
    ),
    (
        "  - {name: m, dag: {target: a, tasks: [{name: a, template: t}, {name: b, template: t, depends: c}]}}",
        "wf.c: task c is depended on, and is not there",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t}]]}\n  - {name: u, steps: [[{name: a, template: t, hooks: {bad: {template: t}}}]]}",
        "wf: template u: step a: hook bad has no expression",
    ),
    (
        "  - {name: m, steps: [[{name: a, template: t}]]}\n  - {name: t, container: {image: i}}",
        "wf: two templates are called t",
    ),
];

/// What is not executed is looked at too, and nothing is told twice.
#[test]
fn what_is_not_executed_is_told_once() {
    for (templates, expected) in REST {
        assert_eq!(told(templates), [*expected], "{templates}");
    }
}

/// What Argo takes.
const TAKEN: &[&str] = &[
    // No tags of Argo's, or of the run.
    "  - {name: m, container: {image: i, command: [c], args: ['{{foo}} {{item}} {{retries}} {{workflow.status}} {{workflow.creationTimestamp.Y}} \
         {{workflow.duration}} {{=steps.b.outputs}} {{inputs.parameters}} {{ pod.name }} {{node.name}} {{outputs.result}} {{workflow.labels.json}}']}}",
    // A tag that nothing ends takes what stands behind it along.
    "  - {name: m, container: {image: i, command: [c], args: ['{{ open', '{{inputs.parameters.none}}']}}",
    // Of steps no more than the steps is looked at.
    "  - {name: m, metadata: {annotations: {a: '{{inputs.parameters.none}}'}}, inputs: {parameters: [{name: x, default: '{{steps.a.id}}'}]}, \
         steps: [[{name: a, template: t}]]}",
    "  - {name: m, inputs: {parameters: [{name: x, value: '1'}]}, steps: [[{name: a, template: t}], [{name: b, template: t, \
         when: '{{steps.a.outputs.result}} {{steps.a.exitCode}} {{steps.a.status}} {{steps.b.status}} {{steps.a.id}} {{inputs.parameters.x}} {{steps.name}} {{tasks.name}} == x'}]]}",
    "  - {name: m, dag: {tasks: [{name: a, template: t}, {name: b, template: t, withItems: [{k: v}], depends: a && a.Succeeded || (a.Failed), \
         when: '{{tasks.a.status}} {{item.k}} == x'}, {name: c, template: t, depends: b.AnySucceeded, when: '{{tasks.b.outputs.parameters}} {{tasks.b.outputs.result}} == x'}]}}",
    "  - {name: m, outputs: {parameters: [{name: o, globalName: g, valueFrom: {parameter: '{{steps.a.outputs.result}}'}}]}, steps: [[{name: a, template: t}]]}",
    "  - {name: m, containerSet: {containers: [{name: a, image: i, command: [c]}, {name: main, image: i, command: [c], dependencies: [a]}]}, \
         outputs: {parameters: [{name: o, valueFrom: {path: /x}}]}}",
    "  - {name: m, timeout: 5s, activeDeadlineSeconds: '5', container: {image: i, command: [c]}}",
    "  - {name: m, suspend: {duration: '5'}, outputs: {parameters: [{name: o, valueFrom: {supplied: {}}}]}}",
    "  - {name: m, steps: [[{name: a, template: t, withParam: '[]'}], [{name: b, template: t, when: '{{item.x}} == y'}]]}",
];

#[test]
fn what_argo_takes_is_not_refused() {
    for templates in TAKEN {
        assert_eq!(told(templates), [""; 0], "{templates}");
    }
}

/// Argo takes the container that `templateDefaults` bring in for what a container set is to do.
#[test]
fn defaults_that_make_another_thing_of_a_template_are_told() {
    let spec = |image: &str| {
        format!(
            "\n  entrypoint: m\n  templateDefaults: {{container: {{{image}env: [{{name: A, value: b}}]}}}}\n  templates:\n  \
             - {{name: m, containerSet: {{containers: [{{name: a, image: i, command: [c]}}, {{name: main, image: i, command: [c]}}]}}}}\n"
        )
    };
    let why = "wf: templateDefaults put a container in the place of its containerSet, and that has no image";
    assert_eq!(problems(&expanded(&spec(""))), [why]);
    assert_eq!(problems(&expanded(&spec("image: i, command: [c], "))), [""; 0]);
    // Defaults may give what the template itself has not.
    let given = "\n  entrypoint: m\n  templateDefaults: {container: {image: i}}\n  templates: [{name: m, container: {command: [c]}}]\n";
    assert_eq!(problems(&expanded(given)), [""; 0]);
    let sidecar =
        "\n  entrypoint: m\n  templates: [{name: m, container: {image: i, command: [c]}, sidecars: [{name: s}]}]\n";
    assert_eq!(problems(&expanded(sidecar)), ["wf: container s has no image: the API server refuses such a pod"]);
}

#[test]
fn what_a_workflow_says_of_itself_is_looked_at() {
    for (spec, expected) in [
        (
            "podGC: {strategy: Never}",
            "podGC.strategy Never: there are OnPodCompletion OnPodSuccess OnWorkflowCompletion OnWorkflowSuccess",
        ),
        (
            "arguments: {parameters: [{name: a, value: x}, {name: a, value: y}]}",
            "spec.arguments: two parameters are called a",
        ),
        ("arguments: {artifacts: [{name: a}]}", "spec.arguments: artifact a comes from nowhere"),
    ] {
        let spec =
            format!("\n  entrypoint: m\n  {spec}\n  templates: [{{name: m, container: {{image: i, command: [c]}}}}]\n");
        assert_eq!(problems(&expanded(&spec)), [format!("wf: {expected}")]);
    }
}

/// Who submits a template may add to it; a template that it refers to is asked less.
#[test]
fn what_a_template_may_be_given_is_not_refused() {
    let text = "kind: WorkflowTemplate\nmetadata: {name: nightly}\nspec:\n  entrypoint: run\n  templates:\n  \
                - {name: run, container: {image: i, command: [c], args: ['{{workflow.parameters.a}} {{workflow.labels.b}} {{workflow.annotations.c}}']}}\n  \
                - {name: run, container: {image: i, command: [c]}}\n";
    assert_eq!(problems(&expanded_with(text, Version::V3_7)), [""; 0]);
    let elsewhere = "\n  entrypoint: m\n  templates:\n  - name: m\n    steps: [[{name: a, templateRef: {name: x, template: other}}], \
                     [{name: b, template: t, when: '{{steps.a.outputs.parameters.p}} {{workflow.outputs.parameters.q}} == x'}]]\n  \
                     - {name: t, container: {image: i, command: [c]}}\n";
    let told = problems(&expanded(elsewhere));
    assert!(told.len() == 1 && told[0].contains("WorkflowTemplate x is not among the given files"), "{told:?}");
}
