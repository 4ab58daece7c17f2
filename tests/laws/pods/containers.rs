//! Containers of an Argo pod.

use serde_json::{Value, json};

use super::{Facts, Kind, Layout};
use crate::dice::Dice;

/// Members of every generated containerSet.
pub const SET: [&str; 3] = ["a", "b", "main"];

/// What a container with the prefix runs.
#[derive(Clone, Copy)]
pub enum Step {
    /// The user's command.
    User,
    /// argoexec itself, with this subcommand.
    Executor(&'static str),
}

/// `init`, `wait`, `supervisor` or a plugin.
pub fn argo_container(name: &str, facts: &Facts) -> Value {
    let mut env = vec![
        json!({"name": "ARGO_POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}),
        json!({"name": "ARGO_WORKFLOW_NAME", "value": facts.workflow}),
        json!({"name": "ARGO_WORKFLOW_UID", "value": facts.uid}),
        json!({"name": "ARGO_CONTAINER_NAME", "value": name}),
    ];
    if matches!(name, "init" | "supervisor") {
        env.push(json!({"name": "ARGO_TEMPLATE", "value": template(facts)}));
    }
    if facts.layout != Layout::Init37 {
        env.push(json!({"name": "ARGO_WORKFLOW_NAME", "value": facts.workflow}));
        env.push(json!({"name": "TRACEPARENT", "value": "00-d7bd4a9189f3fff41074794dc3e7e435-681c76eda981c874-01"}));
    }
    json!({
        "name": name, "image": "registry.example/argoproj/argoexec:v3.7.3", "command": ["argoexec", name, "--loglevel", "info"],
        "env": env, "resources": {}, "volumeMounts": [{"name": "var-run-argo", "mountPath": "/var/run/argo"}],
    })
}

fn template(facts: &Facts) -> String {
    let mut template = json!({"name": facts.template, "inputs": {}, "outputs": {}, "metadata": {}});
    match facts.kind {
        Kind::ContainerSet => {
            let members: Vec<Value> = SET.iter().map(|name| json!({"name": name, "image": "app"})).collect();
            template["containerSet"] = json!({"containers": members});
        }
        Kind::Resource => template["resource"] = json!({"action": "create"}),
        Kind::Data => template["data"] = json!({"source": {}, "transformation": []}),
        _ => template["container"] = json!({"name": "", "image": "app", "command": ["sh", "-c"]}),
    }
    template.to_string()
}

/// A container with emissary's prefix.
pub fn step_container(dice: &mut Dice<'_>, facts: &Facts, name: &str, step: Step) -> Value {
    let command = command(dice, facts, step);
    let mut container = json!({"name": name, "image": "registry.local/app:1", "command": command});
    if dice.often() {
        let args: Vec<String> = (0..=dice.below(3)).map(|_| dice.text()).collect();
        container["args"] = json!(args);
    }
    if !dice.rarely() {
        container["env"] = json!(env(dice, facts, name));
    }
    if dice.rarely() {
        container["envFrom"] = dice.pick(&[
            json!([{"secretRef": {"name": "creds"}}]),
            json!([]),
            json!([{"configMapRef": {"name": "c"}, "prefix": "OTEL_"}]),
        ]);
    }
    container["resources"] = resources(dice);
    if !dice.rarely() {
        container["volumeMounts"] = json!(mounts(dice));
    }
    if dice.rarely() {
        container["securityContext"] = json!({"runAsUser": 0, "privileged": true, "aFutureField": 1.50});
    }
    if dice.rarely() {
        container["volumeDevices"] = json!([{"name": "disk", "devicePath": dice.pick(&["/dev/xvda", "/stepspan"])}]);
    }
    if dice.rarely() {
        container["zFuture"] = json!({"z": {}, "a": [1, 2.0, "3"]});
    }
    container
}

fn command(dice: &mut Dice<'_>, facts: &Facts, step: Step) -> Vec<String> {
    let executor = if facts.layout == Layout::InitLess { "/argo-bin/bin/argoexec" } else { "/var/run/argo/argoexec" };
    let standard = format!("{executor} emissary --loglevel info --log-format text --gloglevel 0 --");
    // Three of four prefixes are the standard one.
    let odd = if dice.byte() > 191 { dice.below(11) } else { 0 };
    let prefix = match odd {
        0 => standard,
        1 => format!("{executor} emissary --loglevel=info --log-format=json --gloglevel 0 --"),
        2 => format!("{executor} emissary --"),
        3 => standard.replace("argoexec ", "argoexec2 "),
        4 => format!("{executor} emissary --loglevel info"),
        5 => format!("{executor} wait --loglevel info --"),
        6 => format!("{executor} emissary stray --loglevel info --"),
        7 => format!("{executor} emissary --loglevel info stray --"),
        8 => format!("{executor} emissary --loglevel -- --"),
        9 => "./argoexec emissary --loglevel info --".to_owned(),
        _ => String::new(),
    };
    let mut words: Vec<String> = prefix.split_whitespace().map(str::to_owned).collect();
    match step {
        Step::Executor(what) => words.extend(["argoexec", what, "--loglevel", "info"].map(str::to_owned)),
        Step::User => {
            words.push(dice.pick(&["sh", "python", "emissary", "/stepspan/stepspan-shim"]).to_owned());
            for _ in 0..dice.below(4) {
                let word =
                    dice.pick(&["-c", "--", "run", "$(OTEL_EXPORTER_OTLP_PROTOCOL)", "$(STEPSPAN_CONFIG)"]).to_owned();
                words.push(if dice.often() { dice.text() } else { word });
            }
        }
    }
    words
}

fn env(dice: &mut Dice<'_>, facts: &Facts, name: &str) -> Vec<Value> {
    let mut env = vec![
        json!({"name": "ARGO_CONTAINER_NAME", "value": name}),
        json!({"name": "ARGO_NODE_ID", "value": facts.node_id}),
        json!({"name": "ARGO_INCLUDE_SCRIPT_OUTPUT", "value": dice.pick(&["false", "true"])}),
    ];
    if facts.layout != Layout::Init37 {
        env.push(json!({"name": "ARGO_WORKFLOW_NAME", "value": facts.workflow}));
        env.push(json!({"name": "ARGO_WORKFLOW_NAME", "value": facts.workflow}));
        let trace = "00-d7bd4a9189f3fff41074794dc3e7e435-681c76eda981c874-01";
        env.push(json!({"name": "TRACEPARENT", "value": dice.pick(&[trace, "", "$(TOKEN)"])}));
    }
    let names = [
        "TOKEN",
        "STEP",
        "REPO",
        "PR",
        "TASK_ID",
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_TRACES_SAMPLER_ARG",
        "HTTP_PROXY",
        "OTEL_X",
        "MY_VARIABLE",
        "STEPSPAN_CONFIG",
        "STEPSPAN_POD_UID",
    ];
    for _ in 0..dice.below(8) {
        let name = dice.pick(&names);
        env.push(match dice.below(4) {
            0 => json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "creds", "key": "k"}}}),
            1 if dice.often() => json!({"name": name}),
            2 => json!({"name": name, "value": dice.pick(&["$(TOKEN)", "$(OTEL_SERVICE_NAME)!", "$$(STEP)", "$(MY_VARIABLE)"])}),
            _ => json!({"name": name, "value": dice.text()}),
        });
    }
    env
}

fn mounts(dice: &mut Dice<'_>) -> Vec<Value> {
    let mut mounts = vec![json!({"name": "var-run-argo", "mountPath": "/var/run/argo"})];
    let paths =
        ["/data", "/stepspan-data", "/", "/stepspan", "/stepspan/", "/stepspan/sub", "/stepspan-ca/x", "stepspan"];
    let more = ["//stepspan", "/./stepspan", "/x/../stepspan", "/stepspan/../y"];
    if dice.rarely() {
        mounts.push(json!({"name": "data", "mountPath": dice.pick(&paths), "readOnly": true}));
    }
    if dice.rarely() && dice.often() {
        mounts.push(json!({"name": "my", "mountPath": dice.pick(&more)}));
    }
    mounts
}

fn resources(dice: &mut Dice<'_>) -> Value {
    dice.pick(&[
        json!({}),
        json!({"limits": {"cpu": "1", "memory": "128Mi"}}),
        json!({"requests": {"cpu": "100m", "memory": "0.5Gi"}}),
        json!({"requests": {"cpu": "250m"}, "limits": {"cpu": 2, "memory": "1e9"}}),
        json!({"requests": {"cpu": "500e-3", "memory": "1048576k"}, "limits": {"cpu": "0.6", "memory": "2Gi"}}),
        json!({"requests": {"ephemeral-storage": "1G"}, "limits": {"ephemeral-storage": "1Gi", "example.com/gpu": "1"}}),
        json!({"requests": {"memory": "128974848000m"}, "limits": {"memory": "129M"}}),
    ])
}
