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

/// Whether an int may be compared with a double that no int equals: the crate makes a double of the int first, where the
/// specification ("Ordering": as though on a continuous number line) and ours do not round.
fn rounds_there(source: &str) -> bool {
    source.contains("9223372036854775807") && source.contains("double(")
}

/// Numbers of JSON reach the reference as unsigned where they are not negative, so none are in this pod.
fn textual_pod() -> Value {
    let mut pod = pod();
    pod["spec"]["priority"] = json!(-7);
    pod
}

fn of(words: &[&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(words.to_vec()).prop_map(str::to_owned).boxed()
}

/// Expressions by type, so that most of them have a value; now and then one of another type, so that some fail.
#[derive(Clone)]
struct Typed {
    text: BoxedStrategy<String>,
    number: BoxedStrategy<String>,
    list: BoxedStrategy<String>,
    any: BoxedStrategy<String>,
}

impl Typed {
    fn leaves() -> Self {
        let text = of(&[
            "pod.metadata.name",
            "pod.metadata.labels.tier",
            "template",
            "''",
            "'a'",
            "'build'",
            "','",
            "x",
            "pod.metadata.annotations.refs",
            "pod.metadata.labels['a/b']",
            "pod.metadata.?nope.orValue('ab,c')",
        ]);
        let number = of(&["pod.spec.priority", "0", "1", "-3", "2.5", "9223372036854775807", "pod.spec.ratio", "2"]);
        let list = of(&[
            "pod.spec.containers",
            "pod.spec.containers[0].env",
            "[]",
            "[1, 2]",
            "['a', 'b']",
            "pod.spec.nothing",
        ]);
        let other = of(&[
            "true",
            "false",
            "null",
            "pod",
            "pod.?x",
            "pod.?metadata",
            "x",
            "pod.metadata.labels.other",
            "pod.metadata.deletionTimestamp",
            "pod.metadata.labels[?'a/b']",
            "{1: 'a', true: 'b'}",
            "pod.metadata.labels",
            "{'a': 1}",
        ]);
        let (text, number, list) = (text.boxed(), number.boxed(), list.boxed());
        Self { any: prop_oneof![text.clone(), number.clone(), list.clone(), other].boxed(), text, number, list }
    }

    /// The same, one level deeper.
    fn deeper(&self) -> Self {
        let Self { text: t, number: n, list: l, any: a } = self.clone();
        let condition = self.bool();
        let text = prop_oneof![
            2 => t.clone(),
            1 => (t.clone(), t.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            1 => (t.clone(), of(&["trim", "lowerAscii", "upperAscii"])).prop_map(|(a, f)| format!("{a}.{f}()")),
            1 => (t.clone(), t.clone(), t.clone()).prop_map(|(a, b, c)| format!("{a}.replace({b}, {c})")),
            1 => (t.clone(), of(&["0", "1", "2"])).prop_map(|(a, i)| format!("{a}.substring({i})")),
            1 => (a.clone(),).prop_map(|(a,)| format!("string({a})")),
            1 => (condition.clone(), t.clone(), t.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            1 => (l.clone(), of(&["x.name", "'-'", "x"])).prop_map(|(a, b)| format!("{a}.map(x, {b}).join('+')")),
            1 => (a.clone(), t.clone()).prop_map(|(a, b)| format!("({a}).?name.orValue({b})")),
            1 => a.clone(),
        ];
        let number = prop_oneof![
            2 => n.clone(),
            2 => (n.clone(), of(&["+", "-", "*", "/", "%"]), n.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            1 => prop_oneof![l.clone(), t.clone()].prop_map(|a| format!("size({a})")),
            1 => (t.clone(), t.clone()).prop_map(|(a, b)| format!("{a}.indexOf({b})")),
            1 => (of(&["int", "double", "-"]), prop_oneof![n.clone(), t.clone()]).prop_map(|(f, a)| format!("{f}({a})")),
            1 => a.clone(),
        ];
        let list = prop_oneof![
            2 => l.clone(),
            1 => (l.clone(), l.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            1 => (t.clone(), t.clone()).prop_map(|(a, b)| format!("{a}.split({b})")),
            1 => (l.clone(), condition.clone()).prop_map(|(a, b)| format!("{a}.filter(x, {b})")),
            1 => (l.clone(), a.clone()).prop_map(|(a, b)| format!("{a}.map(x, {b})")),
            1 => (a.clone(), a.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
        ];
        let any = prop_oneof![
            3 => prop_oneof![text.clone(), number.clone(), list.clone()],
            2 => condition,
            1 => (l.clone(), n).prop_map(|(a, i)| format!("{a}[{i}]")),
            1 => (a.clone(), of(&["name", "env", "tier", "x"])).prop_map(|(a, f)| format!("({a}).{f}")),
            1 => (a.clone(), of(&["name", "env", "tier", "x"])).prop_map(|(a, f)| format!("({a}).?{f}")),
            1 => (t.clone(), a.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            1 => a.prop_map(|a| format!("({a}).or(pod.?metadata).hasValue()")),
        ];
        Self { text: text.boxed(), number: number.boxed(), list: list.boxed(), any: any.boxed() }
    }

    fn bool(&self) -> BoxedStrategy<String> {
        let Self { text: t, number: n, list: l, any: a } = self.clone();
        let order = of(&["<", "<=", ">", ">="]);
        prop_oneof![
            (a.clone(), of(&["==", "!="]), a.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (n.clone(), order.clone(), n).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (t.clone(), order, t.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (t.clone(), of(&["startsWith", "endsWith", "contains"]), t).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            (a.clone(), l.clone()).prop_map(|(a, b)| format!("({a} in {b})")),
            (a.clone(), of(&["name", "metadata", "tier"])).prop_map(|(a, f)| format!("has(({a}).{f})")),
            (
                l,
                of(&["all", "exists", "exists_one"]),
                of(&["x != 'a'", "x.name == 'main'", "x", "x.env[0].value == '1'"])
            )
                .prop_map(|(a, f, b)| format!("{a}.{f}(x, {b})")),
            (of(&["true", "false", "x", "pod.nope"]), of(&["&&", "||"]), a.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            a.prop_map(|a| format!("!({a} == null)")),
        ]
        .boxed()
    }
}

fn source() -> impl Strategy<Value = String> {
    let (one, two) = (Typed::leaves().deeper(), Typed::leaves().deeper().deeper());
    prop_oneof![one.any.clone(), one.bool(), two.any.clone(), two.bool(), two.text, two.list, two.number]
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
            if (theirs.is_some() || !source.contains('?')) && !rounds_there(&source) {
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
