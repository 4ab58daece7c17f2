//! Names and values of a step's attributes: our own ("seed"), those of OpenTelemetry's semantic conventions, or both.

use stepspan_contract::Config;

use crate::command::Ended;
use crate::otlp::{Attributes, Value};

/// Longest value, in bytes.
const LONGEST: usize = 256;

/// Seed names and what the semantic conventions 1.37 call them.
const SEMCONV: [(&str, &str); 9] = [
    ("prNumber", "vcs.change.id"),
    ("ref", "vcs.ref.head.name"),
    ("commitSha", "vcs.ref.head.revision"),
    ("workflowName", "cicd.pipeline.name"),
    ("workflow.run_id", "cicd.pipeline.run.id"),
    ("stepName", "cicd.pipeline.task.name"),
    ("workflow.job_id", "cicd.pipeline.task.run.id"),
    ("namespace", "k8s.namespace.name"),
    ("environment", "deployment.environment.name"),
];

/// Sets an attribute, in its place where it is there.
pub fn put(attributes: &mut Attributes, key: &str, value: &str) {
    let value = Value::Text(clean(value));
    match attributes.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => attributes.push((key.to_owned(), value)),
    }
}

/// A value without control characters, cut.
pub fn clean(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control()).collect();
    kept[..kept.floor_char_boundary(LONGEST)].to_owned()
}

/// The attributes of a step, by the names its policy wants.
pub fn of_step(config: &Config, values: &[(String, String)]) -> Attributes {
    let mut all: Vec<(&str, &str)> = values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    all.push(("nodeId", &config.node_id));
    all.push(("workflow.run_id", &config.workflow_uid));
    all.push(("workflow.job_id", &config.node_id));
    let mut attributes = Attributes::new();
    if config.attribute_names != "semconv" {
        all.iter().filter(|(_, value)| !value.is_empty()).for_each(|(key, value)| put(&mut attributes, key, value));
    }
    if config.attribute_names != "seed" {
        semconv(&mut attributes, &all);
        put(&mut attributes, "k8s.container.name", &config.container);
    }
    attributes
}

fn semconv(attributes: &mut Attributes, all: &[(&str, &str)]) {
    let own = ["repo", "taskId", "agent", "nodeId"];
    for (key, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
        match SEMCONV.iter().find(|(seed, _)| seed == key) {
            Some((_, name)) => put(attributes, name, value),
            None if *key == "repo" => {
                let (owner, name) = value.rsplit_once('/').unwrap_or(("", value));
                put(attributes, "vcs.repository.name", name);
                if !owner.is_empty() {
                    put(attributes, "vcs.owner.name", owner);
                }
            }
            // What the conventions have no name for keeps ours.
            None if own.contains(key) && attributes.iter().any(|(name, _)| name == key) => {}
            None => put(attributes, key, value),
        }
    }
}

/// The attributes of a part of a step: the values that the step handed on.
pub fn of_part(values: &[(String, String)]) -> Attributes {
    let mut attributes = Attributes::new();
    for (key, value) in values {
        put(&mut attributes, key, value);
    }
    attributes
}

/// What is known at the end: the command's name, never its arguments; exit code; the kind of error.
pub fn at_end(attributes: &mut Attributes, program: &str, ended: Ended, failed: bool) {
    put(attributes, "process.executable.name", program.rsplit('/').next().unwrap_or(program));
    attributes.push(("process.exit.code".to_owned(), Value::Int(i64::from(ended.exit_code()))));
    if failed {
        put(attributes, "error.type", &ended.signal_name().unwrap_or_else(|| ended.exit_code().to_string()));
    }
}

/// The span's name: `{key}` in the policy's text is the attribute; what is missing leaves no `/` behind.
pub fn span_name(text: &str, container: &str, of: impl Fn(&str) -> Option<String>) -> String {
    let mut name = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((key, after)) = after.split_once('}') else { break };
        name.push_str(before);
        name.push_str(&of(key).unwrap_or_default());
        rest = after;
    }
    name.push_str(rest);
    let name = clean(name.trim_matches('/'));
    if name.is_empty() { container.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let of = |key: &str| (key == "agent").then(|| "coder".to_owned());
        assert_eq!(span_name("{agent}/{stepName}", "main", of), "coder");
        assert_eq!(span_name("x {agent} {", "main", of), "x coder {");
        assert_eq!(span_name("{stepName}", "main", of), "main");
    }

    #[test]
    fn values_have_both_names_where_the_policy_says_both() {
        let pairs = |names: &str| {
            let config = Config {
                attribute_names: names.into(),
                container: "main".into(),
                node_id: "n".into(),
                ..Config::default()
            };
            let values = [("repo".to_owned(), "acme/widgets".to_owned()), ("taskId".to_owned(), "t\n1".to_owned())];
            of_step(&config, &values).into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(pairs("seed"), "repo taskId nodeId workflow.job_id");
        let semconv = "vcs.repository.name vcs.owner.name taskId nodeId cicd.pipeline.task.run.id k8s.container.name";
        assert_eq!(pairs("semconv"), semconv);
        let both = "repo taskId nodeId workflow.job_id vcs.repository.name vcs.owner.name cicd.pipeline.task.run.id k8s.container.name";
        assert_eq!(pairs("both"), both);
    }

    /// Names of the semantic conventions' registry: VCS, CICD, Kubernetes, deployment.
    #[test]
    fn the_conventions_have_names_for_most() {
        let config = Config { attribute_names: "semconv".into(), container: "main".into(), ..Config::default() };
        for (key, name) in [
            ("prNumber", "vcs.change.id"),
            ("ref", "vcs.ref.head.name"),
            ("commitSha", "vcs.ref.head.revision"),
            ("workflowName", "cicd.pipeline.name"),
            ("stepName", "cicd.pipeline.task.name"),
            ("namespace", "k8s.namespace.name"),
            ("environment", "deployment.environment.name"),
        ] {
            let found = of_step(&config, &[(key.to_owned(), "value".to_owned())]);
            assert!(found.contains(&(name.to_owned(), "value".into())), "{key}: {found:?}");
            assert!(!found.iter().any(|(found, _)| found == key), "{key}: {found:?}");
        }
    }

    #[test]
    fn the_end_tells_code_and_signal_and_no_arguments() {
        let mut attributes = Attributes::new();
        at_end(&mut attributes, "/bin/sh", Ended::Signal(9), true);
        let expected = [
            ("process.executable.name".to_owned(), "sh".into()),
            ("process.exit.code".to_owned(), Value::Int(137)),
            ("error.type".to_owned(), "SIGKILL".into()),
        ];
        assert_eq!(attributes, expected);
    }
}
