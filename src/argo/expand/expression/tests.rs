use super::*;

/// Expression, tab, what `template.Replace` of Argo 3.7.3 made of it as JSON; `!stays` where it left the tag. Values as in [`values`].
const EXPECTED: &str = include_str!("expected.tsv");

fn values() -> Values {
    let all = [
        ("workflow.name", "ci-1"),
        ("workflow.parameters", r#"[{"name":"repo","value":"acme/web"}]"#),
        ("workflow.parameters.json", r#"[{"name":"repo","value":"acme/web"}]"#),
        ("workflow.parameters.repo", "acme/web"),
        ("workflow.parameters.n", "3"),
        ("workflow.parameters.list", r#"["a","b<c"]"#),
        ("workflow.parameters.umlaut", "grün"),
        ("workflow.labels.app.kubernetes.io/name", "x"),
        ("workflow.parameters.map", r#"{"b":1.0,"a":{"c":[1,2]}}"#),
        ("inputs.parameters.msg", "it's \"q\"\n"),
        ("inputs.parameters.a-b", "dash"),
        ("item", "7"),
        ("item.os", "linux"),
        ("steps.one.outputs.result", "5"),
        ("retries", "0"),
    ];
    all.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[test]
fn what_is_decided_is_what_argo_says() {
    let values = values();
    let mut differing = Vec::new();
    for line in EXPECTED.lines() {
        let (source, expected) = line.split_once('\t').unwrap();
        let found = evaluate(source, &values);
        let shown = match &found {
            Ok(value) => Value::from(written(value)).to_string(),
            Err(_) => "!stays".to_owned(),
        };
        let expected = match serde_json::from_str::<Value>(expected) {
            Ok(value) => value.to_string(),
            Err(_) => expected.to_owned(),
        };
        if shown != expected {
            differing.push(format!("{source}: {shown}, not {expected} ({found:?})"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// The same for expressions as people write them, functions included that are not read here: what is decided is what Argo says.
#[test]
fn nothing_is_decided_otherwise() {
    let values: Values = serde_json::from_str(include_str!("more.json")).unwrap();
    let (mut differing, mut decided, mut left) = (Vec::new(), 0, 0);
    for line in include_str!("more.tsv").lines() {
        let (source, expected) = line.split_once('\t').unwrap();
        match evaluate(source, &values) {
            Err(_) if expected == "!stays" => decided += 1,
            Err(_) => left += 1,
            Ok(value) => match Value::from(written(&value)).to_string() {
                shown if shown == expected => decided += 1,
                shown => differing.push(format!("{source}: {shown}, not {expected}")),
            },
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(decided > 5 * left, "{decided} decided, {left} left open");
}

/// A value that only the run has is told from a mistake.
#[test]
fn what_is_not_known_is_named() {
    let unknown = |source: &str| evaluate(source, &values()).unwrap_err();
    assert_eq!(unknown("tasks.a.outputs.result"), Undecided::Unknown("tasks.a.outputs.result".into()));
    assert_eq!(unknown("lastRetry.exitCode == '1'"), Undecided::Unknown("lastRetry.exitCode".into()));
    let mut later = values();
    later.insert("inputs.parameters.later".into(), "{{tasks.a.outputs.result}}".into());
    let found = evaluate("inputs.parameters.later == 'x'", &later);
    assert_eq!(found, Err(Undecided::Unknown("tasks.a.outputs.result".into())));
    assert!(matches!(unknown("1 +"), Undecided::Unclear(_)));
    assert!(matches!(unknown("now()"), Undecided::Unclear(_)));
}

#[test]
fn nothing_unbounded_is_evaluated() {
    let doubling = format!("['xxxxxxxxxxxxxxxx']{}", " | map(# + #)".repeat(60));
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(3000), close.repeat(3000));
    let loops = format!("{}1{}", "map(1..9999, ".repeat(6), ")".repeat(6));
    for source in [
        doubling,
        nested("(", ")"),
        nested("[", "]"),
        nested("-", ""),
        nested("!", ""),
        "1..100000000".into(),
        "repeat('x', 1000000000)".into(),
        "replace(repeat('a', 9999), 'a', repeat('b', 9999))".into(),
        loops,
        format!("a{}", ".b".repeat(3000)),
        format!("a{}", "[0]".repeat(500)),
        "x".repeat(MAX_SOURCE + 1),
        "1 ? ".repeat(900),
        "'a' matches '(a{9999}){9999}'".into(),
    ] {
        assert!(evaluate(&source, &values()).is_err(), "{}", &source[..source.len().min(40)]);
    }
}

proptest::proptest! {
    /// Whatever stands there, it is answered.
    #[test]
    fn nothing_panics(source in "[-a-c0-9.\\[\\](){}'\"`#|?:!=<>+*/% ,$äint]{0,40}") {
        let _ = evaluate(&source, &values());
    }
}
