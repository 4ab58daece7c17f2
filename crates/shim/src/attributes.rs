//! The attributes of a step's span, and its name.

pub use stepspan_contract::attributes::clean;
use stepspan_contract::{Config, attributes as names};

use crate::command::Ended;
use crate::otlp::{Attributes, Value};

/// Sets an attribute, in its place where it is there.
pub fn put(attributes: &mut Attributes, key: &str, value: &str) {
    let value = Value::Text(clean(value));
    match attributes.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => attributes.push((key.to_owned(), value)),
    }
}

/// The attributes of a step, by the names its policy wants.
pub fn of_step(config: &Config, values: &[(String, String)]) -> Attributes {
    let mut all: Vec<(&str, &str)> = values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    all.push(("nodeId", &config.node_id));
    all.push(("workflow.run_id", &config.workflow_uid));
    all.push(("workflow.job_id", &config.node_id));
    let named = names::named(&config.attribute_names, &all);
    let mut attributes: Attributes = named.into_iter().map(|(key, value)| (key, Value::Text(value))).collect();
    if config.attribute_names != "seed" {
        put(&mut attributes, "k8s.container.name", &config.container);
    }
    attributes
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
    fn a_step_has_its_node_and_container() {
        let keys = |names: &str| {
            let config = Config {
                attribute_names: names.into(),
                container: "main".into(),
                node_id: "n".into(),
                ..Config::default()
            };
            let values = [("taskId".to_owned(), "t1".to_owned())];
            of_step(&config, &values).into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys("seed"), "taskId nodeId workflow.job_id");
        assert_eq!(keys("both"), "taskId nodeId workflow.job_id cicd.pipeline.task.run.id k8s.container.name");
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
