//! What expressions mean (`language`), what they refuse (`refusals`), what they may cost (`costs`), and that they agree
//! with the interpreter of the `cel` crate (`agreement`).

mod agreement;
mod costs;
mod language;
mod refusals;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{EvalError, Expression, ExpressionError, References, Scope, Workflow};

fn pod() -> Value {
    json!({
        "metadata": {
            "name": "build-x7k2",
            "labels": {"tier": "gold", "workflows.argoproj.io/workflow": "build", "a/b": "slash", "empty": ""},
            "annotations": {"refs": "main,release/1.2, dev"},
            "deletionTimestamp": null,
        },
        "spec": {
            "priority": 7,
            "ratio": 0.5,
            "hostNetwork": false,
            "containers": [
                {"name": "main", "image": "registry.local/team/app:1.2", "env": [{"name": "A", "value": "1"}, {"name": "B"}]},
                {"name": "wait", "image": "argoexec:v3.7.3", "env": []},
            ],
            "nothing": [],
        },
    })
}

fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Runs `check` with a scope of the pod above in which everything is known.
fn with_scope<T>(pod: &Value, check: impl FnOnce(&Scope<'_>) -> T) -> T {
    let (namespace_labels, inputs) = (texts(&[("team", "build")]), texts(&[("msg", "hello")]));
    let (parameters, empty) = (texts(&[("repo", "org/app"), ("pr", "42")]), BTreeMap::new());
    let workflow =
        Workflow { name: "build-x7k2", uid: "0b1c", parameters: &parameters, labels: &empty, annotations: &empty };
    check(&Scope {
        namespace: "argo",
        namespace_labels: Some(&namespace_labels),
        template: "verify-unit",
        container: "main",
        workflow,
        inputs: &inputs,
        ..Scope::of_pod(&pod.into())
    })
}

#[track_caller]
fn compiled(source: &str) -> Expression {
    match Expression::compile(source) {
        Ok(expression) => expression,
        Err(error) => panic!("{source}: {error}"),
    }
}

#[track_caller]
fn test(source: &str) -> Result<bool, EvalError> {
    let expression = compiled(source);
    with_scope(&pod(), |scope| expression.test(scope))
}

#[track_caller]
fn text(source: &str) -> Result<Option<String>, EvalError> {
    let expression = compiled(source);
    with_scope(&pod(), |scope| expression.text(scope))
}

#[track_caller]
fn refused(source: &str) -> ExpressionError {
    match Expression::compile(source) {
        Err(error) => error,
        Ok(_) => panic!("compiled: {source}"),
    }
}
