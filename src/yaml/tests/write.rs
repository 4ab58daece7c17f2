//! What is written reads back as the same JSON.

use proptest::prelude::*;
use serde_json::{Map, Value, json as value};

use crate::yaml::{read, write, write_stream};

pub(super) fn written(value: &Value) -> String {
    let mut out = Vec::new();
    write(value, &mut out).expect("a Vec takes all");
    String::from_utf8(out).expect("YAML is text")
}

/// The value after kubectl had it: floats that are integers become integers.
pub(super) fn as_kubectl(value: &Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => {
            let float = n.as_f64().unwrap_or_default();
            crate::yaml::number::from_float(float).map_or(Value::Null, Value::Number)
        }
        Value::Array(items) => items.iter().map(as_kubectl).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), as_kubectl(v))).collect::<Map<_, _>>()),
        other => other.clone(),
    }
}

/// Strings that trip readers and writers of YAML.
pub(super) fn nasty() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        4 => "[a-zA-Z0-9 ]{0,6}",
        3 => prop::sample::select(vec![
            " ", "\n", "\n\n", "\t", "\r", "\r\n", ":", ": ", " #", "#", "-", "- ", "---", "...", "?", "? ", "'", "\"",
            "\\", "{", "}", "[", "]", ",", "&", "*", "!", "|", ">", "%", "@", "`", "=", "<<", "~", "\0", "\u{7f}",
            "\u{85}", "\u{a0}", "\u{2028}", "\u{2029}", "\u{feff}", "\u{fffe}", "\u{ffff}", "\u{1f600}", "é", "\u{9b}",
            "{{=x}}", "$(HOME)", "\u{1b}", "yes", "1", "0", "_", ".", "e", "+", "x", "\n ", "\n\t", " \n", "\t\n",
        ]).prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        6 => prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat()),
        2 => "[-+.]?[0-9a-fxob_.:eE+-]{0,8}",
        1 => "[yYnNtTfFoO~.<=][a-zA-Z]{0,4}",
        1 => prop::sample::select(vec!["2001-01-01", "1:20", "12:30:45", "0o7", "0777", "1_000", "NULL", "On", "nUlL", ".Inf"])
            .prop_map(String::from),
    ]
}

pub(super) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-100_000..100_000_i32).prop_map(|n| Value::from(f64::from(n) / 64.0)),
        nasty().prop_map(Value::String),
        nasty().prop_map(Value::String),
        nasty().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((nasty(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn reading_gives_back_what_was_written(value in json()) {
        let text = written(&value);
        prop_assert_eq!(read(&text, 1), Ok(as_kubectl(&value)), "{}", text);
    }

    #[test]
    fn a_string_stays_a_string_wherever_it_stands(text in nasty()) {
        let value = value!({text.clone(): text.clone(), "k": [text.clone(), [text.clone()], {text.clone(): {text: 1}}]});
        let written = written(&value);
        prop_assert_eq!(read(&written, 1), Ok(value), "{}", written);
    }

    #[test]
    fn numbers_keep_their_value(float in any::<f64>().prop_filter("JSON", |f| f.is_finite())) {
        let text = written(&Value::from(float));
        let back = read(&text, 1).unwrap().as_f64();
        prop_assert_eq!(back, Some(float), "{}", text);
    }
}

#[test]
fn looks_like_kubectl() {
    let pod = value!({
        "apiVersion": "v1",
        "metadata": {"name": "a", "labels": {}, "annotations": {"x/y": "true", "t": "{{inputs}}"}},
        "spec": {
            "containers": [
                {"name": "main", "args": ["-c", "echo: it's", "a\nb\n", ["x", []]], "ports": [{"containerPort": 80}]},
            ],
            "ratio": 0.5, "big": 1e300, "none": null,
        },
    });
    assert_eq!(
        written(&pod),
        "apiVersion: v1
metadata:
  name: a
  labels: {}
  annotations:
    x/y: \"true\"
    t: '{{inputs}}'
spec:
  containers:
  - name: main
    args:
    - -c
    - 'echo: it''s'
    - |
      a
      b
    - - x
      - []
    ports:
    - containerPort: 80
  ratio: 0.5
  big: 1.0e+300
  none: null
"
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list of strings")]
fn strings_are_quoted_only_where_a_reader_could_err() {
    let plain = [
        "a",
        "a b",
        "/bin/sh",
        "-c",
        "--flag=x",
        "a:b",
        "a#b",
        "10.0.0.1",
        "1.2.3",
        "500m",
        "64Mi",
        "v1",
        "3a5f",
        "日本",
        "nope",
        "yesterday",
        "a,b",
        "a[0]",
        "x{y}",
        "http://x:80/y",
        "123e4567-e89b-12d3",
        "$(HOME)",
        "a'b",
        "\u{1f600}",
    ];
    for text in plain {
        assert_eq!(written(&Value::from(text)), format!("{text}\n"));
    }
    let double = [
        "",
        "yes",
        "No",
        "oN",
        "off",
        "y",
        "N",
        "null",
        "~",
        "true",
        "1",
        "-1",
        "+1",
        "1_000",
        "0o7",
        "0777",
        "0x1f",
        "1:20",
        "1.5",
        ".5",
        "1e3",
        "1,000",
        ".inf",
        "-.INF",
        ".nan",
        "2001-01-01",
        "2001-01-01T00:00:00Z",
        "0b1",
        "0_xE",
        "+_0xE",
        "0__b1",
        "-0_o7",
    ];
    for text in double {
        assert_eq!(written(&Value::from(text)), format!("\"{text}\"\n"));
    }
    let single = [
        " a", "a ", "a: b", "a #b", "a:", "- a", "-", "---", "--- a", "...", "? a", "?a", ":a", "&a", "*a", "!a", "|",
        ">", "%a", "@a", "`a", "{a", "[a", "]", "}", ",a", "#a", "\"a", "=", "<<",
    ];
    for text in single {
        assert_eq!(written(&Value::from(text)), format!("'{text}'\n"));
    }
    assert_eq!(written(&Value::from("a\tb\u{85}\u{feff}\u{1b}\\\"")), "\"a\\tb\\u0085\\uFEFF\\u001B\\\\\\\"\"\n");
}

#[test]
fn a_stream_has_separators_between_documents() {
    let mut out = Vec::new();
    write_stream(&[value!({"a": "x\n\n"}), value!([1]), value!(null)], &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "a: |+\n  x\n\n---\n- 1\n---\nnull\n");
}

#[test]
fn a_long_key_is_written_after_a_question_mark() {
    let key = "k ".repeat(2000);
    for value in [value!(1), value!({"a": [1, {"b": "x\ny"}]}), value!([1, [2]]), value!("a\nb\n")] {
        let document = value!({"first": 0, key.clone(): value, "z": [{key.clone(): {key.clone(): "v"}}]});
        assert_eq!(read(&written(&document), 1), Ok(document));
    }
}
