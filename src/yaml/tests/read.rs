//! Reading by hand-picked cases; the oracle has the many.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::yaml::read;

fn error(text: &str) -> String {
    let error = read(text, 1).expect_err(text);
    match &error.hint {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn no_content_is_null() {
    assert_eq!(read("", 1), Ok(json!(null)));
    assert_eq!(read("# nothing\n", 1), Ok(json!(null)));
}

#[test]
fn keys_keep_their_order() {
    let value = read("z: 1\na: 2\nm: {x: 1, b: 2}\n", 1).unwrap();
    assert_eq!(value.to_string(), r#"{"z":1,"a":2,"m":{"x":1,"b":2}}"#);
}

#[test]
fn crlf_reads_as_lf() {
    assert_eq!(read("a: 1\r\nb: |\r\n  x\r\n  y\r\n", 1), Ok(json!({"a": 1, "b": "x\ny\n"})));
}

#[test]
fn errors_name_lines_of_the_file() {
    assert_eq!(read("a: 1\nb: [\n", 41).unwrap_err().line, 42);
    assert_eq!(
        read("a: 1\nb: 2\na: 3\n", 11).unwrap_err().to_string(),
        "line 13, column 1: key \"a\" is already on line 11"
    );
    assert_eq!(
        error("x:\n  b: {c: 1}\n  1: a\n  '1': b\n"),
        "line 4, column 3: key \"1\" is already on line 3; remove one of the two"
    );
}

#[test]
fn a_merge_is_no_duplicate_but_a_third_key_is() {
    assert_eq!(read("<<: {a: 1}\na: 2\n", 1), Ok(json!({"a": 2})));
    assert_eq!(
        error("b: 0\n<<: {a: 1}\na: 2\na: 3\n"),
        "line 4, column 1: key \"a\" is already on line 3; remove one of the two"
    );
    assert_eq!(
        error("b: 0\n<<: {a: 1}\nc: 2\nc: 3\n"),
        "line 4, column 1: key \"c\" is already on line 3; remove one of the two"
    );
}

#[test]
fn what_json_cannot_hold_is_refused() {
    assert_eq!(error("a: .nan\n"), "line 1, column 4: `.nan` is not a number that JSON has");
    assert_eq!(error("~: 1\n"), "line 1, column 1: null cannot be a key; write the key in quotes");
    assert_eq!(
        error("a: {{x}}\n"),
        "line 1, column 5: a map or a sequence cannot be a key; quote text that starts with `{` or `[`, such as '{{...}}'"
    );
    assert_eq!(error("a: !!int x\n"), "line 1, column 10: `x` is not a int");
}

#[test]
fn depth_is_limited_with_aliases_and_without() {
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(read(&nested(100), 1).is_ok());
    assert_eq!(error(&nested(101)), "line 1, column 101: nested deeper than 100 levels");
    assert!(error(&"[".repeat(100_000)).contains("nested deeper"));
    assert!(error(&"- ".repeat(100_000)).contains("nested deeper"));
    assert!(error(&"{a: ".repeat(100_000)).contains("nested deeper"));
    let half = nested(60);
    assert!(error(&format!("a: &a {half}\nb: {}*a{}\n", "[".repeat(60), "]".repeat(60))).contains("nested deeper"));
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    use std::fmt::Write as _;
    let mut bomb = "a0: &a0 lol\n".to_owned();
    for i in 1..60 {
        writeln!(bomb, "a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(", ")).unwrap();
    }
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    let start = Instant::now();
    assert!(error(&bomb).contains("more than 1000000 nodes"));
    assert!(error(&text).contains("aliases expand to more than 67108864 bytes"));
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}

#[test]
fn many_nodes_are_refused() {
    assert!(error(&"- a\n".repeat(1_000_001)).contains("more than 1000000 nodes"));
}

#[test]
fn an_alias_inside_its_own_node_is_refused() {
    assert_eq!(error("a: &a [*a]\n"), "line 1, column 8: the alias stands inside the node that it names");
}

#[test]
fn a_second_document_is_refused() {
    assert_eq!(
        error("a: 1\n---\nb: 2\n"),
        "line 2, column 1: a second document starts here; separate documents by a line `---`"
    );
}
