use std::sync::Arc;

use cel::{Context, Env, Value as CelValue, extensions};
use proptest::prelude::*;

use super::*;
use crate::policy::expr::eval;
use crate::policy::expr::value::Item;

/// The result as JSON, for a comparison.
fn ours(expression: &Expression, scope: &Scope<'_>) -> Option<Value> {
    fn json(item: &Item<'_>) -> Option<Value> {
        Some(match item {
            Item::Null => Value::Null,
            Item::Bool(value) => Value::from(*value),
            Item::Int(value) => Value::from(*value),
            Item::Double(value) => Value::from(*value),
            Item::Text(text) => Value::from(&**text),
            Item::Optional(_) => return None,
            list if list.type_name() == "list" => {
                Value::Array(list.iterate().into_iter().flatten().map(|item| json(&item)).collect::<Option<_>>()?)
            }
            // Maps of the reference have no order.
            map => json!({"entries": map.len()}),
        })
    }
    json(&eval::evaluate(&expression.0.root, scope).ok()?)
}

/// What the interpreter of the `cel` crate makes of the same source.
fn theirs(source: &str, pod: &Value) -> Option<Value> {
    fn json(value: &CelValue) -> Option<Value> {
        Some(match value {
            CelValue::Null => Value::Null,
            CelValue::Bool(value) => Value::from(*value),
            CelValue::Int(value) => Value::from(*value),
            CelValue::Float(value) => Value::from(*value),
            CelValue::String(text) => Value::from(text.as_str()),
            CelValue::List(list) => Value::Array(list.iter().map(json).collect::<Option<_>>()?),
            CelValue::Map(map) => json!({"entries": map.map.len()}),
            _ => return None,
        })
    }
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).unwrap();
    let env = Arc::new(env);
    let program = env.compile(source).ok()?;
    let mut context = Context::with_env(env);
    context.add_variable("pod", pod).unwrap();
    context.add_variable("template", "verify-unit").unwrap();
    json(&program.execute(&context).ok()?)
}

/// Numbers of JSON reach the reference as unsigned where they are not negative, so none are in this pod.
fn textual_pod() -> Value {
    let mut pod = pod();
    pod["spec"]["priority"] = json!(-7);
    pod
}

fn leaf() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "pod.metadata.labels",
        "pod.metadata.name",
        "pod.spec.containers",
        "pod.spec.containers[0]",
        "pod.spec.priority",
        "pod.metadata.labels.tier",
        "pod.metadata.labels.other",
        "pod.spec.ratio",
        "pod.spec.nothing",
        "template",
        "pod.metadata.annotations.refs",
        "pod.metadata.deletionTimestamp",
        "true",
        "false",
        "null",
        "0",
        "1",
        "-3",
        "2.5",
        "'a'",
        "'build'",
        "','",
        "''",
        "[]",
        "[1, 2]",
        "['a', 'b']",
        "{'a': 1}",
        "pod",
        "pod.?x",
        "pod.?metadata",
        "pod.metadata.labels[?'a/b']",
        "x",
    ])
    .prop_map(str::to_owned)
}

/// Sources that mostly parse, and of which a good part makes sense.
fn source() -> impl Strategy<Value = String> {
    leaf().prop_recursive(5, 40, 3, |inner| {
        let binary =
            prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"]);
        let method =
            prop::sample::select(vec!["size", "trim", "lowerAscii", "upperAscii", "hasValue", "value", "join"]);
        let with = prop::sample::select(vec![
            "startsWith",
            "endsWith",
            "contains",
            "split",
            "orValue",
            "or",
            "indexOf",
            "join",
            "substring",
        ]);
        let call = prop::sample::select(vec!["size", "string", "int", "double", "!", "-"]);
        let each = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        let field = prop::sample::select(vec!["name", "metadata", "x", "env", "image", "tier"]);
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), method).prop_map(|(a, f)| format!("({a}).{f}()")),
            (inner.clone(), with, inner.clone()).prop_map(|(a, f, b)| format!("({a}).{f}({b})")),
            (call, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), each, inner.clone()).prop_map(|(a, f, b)| format!("({a}).{f}(x, {b})")),
            (inner.clone(), field.clone()).prop_map(|(a, f)| format!("({a}).{f}")),
            (inner.clone(), field.clone()).prop_map(|(a, f)| format!("({a}).?{f}")),
            (inner.clone(), field).prop_map(|(a, f)| format!("has(({a}).{f})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}).replace({b}, {c})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[{a}, {b}]")),
        ]
    })
}

/// Words of the language in any order: nearly none of it parses.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "pod",
        ".",
        ".?",
        "[",
        "]",
        "[?",
        "(",
        ")",
        "{",
        "}",
        ":",
        "?",
        ",",
        "+",
        "-",
        "!",
        "&&",
        "||",
        "==",
        "<",
        "in",
        "'a'",
        "\"",
        "'",
        "1",
        "1u",
        "2.5",
        "0x",
        "b'a'",
        "r'\\'",
        "'''",
        "null",
        "true",
        "all",
        "has",
        "map",
        "x",
        "size",
        "matches",
        "namespace",
        "//",
        "\n",
        "`a`",
        "\\",
        "ß",
        "@",
        "Foo{",
        "1e999",
        "--",
        "\u{0}",
        "as",
        "_",
        "",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_interpreter_of_the_crate(source in source()) {
        let pod = textual_pod();
        if let Ok(expression) = Expression::compile(&source) {
            let ours = with_scope(&pod, |scope| ours(&expression, scope));
            let theirs = theirs(&source, &pod);
            // A plain `.x` on an optional string: an error there, an optional without a value here.
            if theirs.is_some() || !source.contains('?') {
                prop_assert_eq!(ours, theirs, "{}", source);
            }
        }
    }

    #[test]
    fn any_words_are_compiled_and_evaluated_or_refused(source in soup()) {
        if let Ok(expression) = Expression::compile(&source) {
            let _ = test_on_pod(&expression);
        }
    }

    #[test]
    fn any_text_is_compiled_and_evaluated_or_refused(source in "\\PC{0,80}") {
        if let Ok(expression) = Expression::compile(&source) {
            let _ = test_on_pod(&expression);
        }
    }
}

fn test_on_pod(expression: &Expression) -> (Result<bool, EvalError>, Result<Option<String>, EvalError>) {
    with_scope(&pod(), |scope| (expression.test(scope), expression.text(scope)))
}
