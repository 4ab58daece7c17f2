//! Where documents start and end.

use std::io::{BufReader, Read};

use proptest::prelude::*;
use serde_json::json;

use crate::yaml::{Document, DocumentError, Format, documents, documents_up_to};

fn split(bytes: &[u8]) -> Vec<Result<Document, String>> {
    documents(bytes).map(|result| result.map_err(|e| e.to_string())).collect()
}

/// Line and text of each document, or the error.
fn seen(bytes: impl AsRef<[u8]>) -> Vec<String> {
    split(bytes.as_ref())
        .into_iter()
        .map(|result| match result {
            Ok(d) => format!("{}:{:?}:{}", d.line, d.format, d.text),
            Err(error) => error,
        })
        .collect()
}

#[test]
fn a_line_that_starts_with_three_dashes_separates() {
    assert_eq!(seen("a: 1\n---\nb: 2\n"), ["1:Yaml:a: 1\n", "3:Yaml:b: 2\n"]);
    assert_eq!(seen("---\na: 1\n--- # note\n\n\nb: 2"), ["2:Yaml:a: 1\n", "6:Yaml:b: 2"]);
    assert_eq!(seen("a: 1\r\n---\r\nb: 2\r\n"), ["1:Yaml:a: 1\r\n", "3:Yaml:b: 2\r\n"]);
    assert_eq!(seen("a: |\n  ---\n  x\n---\nb: 2\n"), ["1:Yaml:a: |\n  ---\n  x\n", "5:Yaml:b: 2\n"]);
    assert_eq!(
        seen("a: 1\n--- b\nc: 2\n"),
        ["line 2, column 4: only a comment may follow `---` on its line", "3:Yaml:c: 2\n"]
    );
}

#[test]
fn documents_without_content_are_left_out() {
    assert!(seen("").is_empty());
    assert!(seen("\n\n---\n# x\n---\n---\n...\n").is_empty());
    assert_eq!(seen("%YAML 1.2\n---\na: 1\n...\n---\n  # b\n"), ["3:Yaml:a: 1\n...\n"]);
    let indices: Vec<_> =
        split(b"---\n---\na: 1\n---\n# x\n---\nb: 2\n").into_iter().map(|d| d.unwrap().index).collect();
    assert_eq!(indices, [0, 1]);
}

#[test]
fn a_byte_order_mark_is_no_content() {
    assert_eq!(seen("\u{feff}a: 1\n"), ["1:Yaml:a: 1\n"]);
    assert_eq!(seen("\u{feff}{\"a\":1}"), ["1:Json:{\"a\":1}"]);
}

#[test]
fn json_documents_follow_one_another() {
    assert_eq!(
        seen("{\"a\":1}{\"b\":[2]} [3]\n\n {\"c\":\"}\\\"{\"}\n"),
        ["1:Json:{\"a\":1}", "1:Json:{\"b\":[2]}", "1:Json:[3]", "3:Json:{\"c\":\"}\\\"{\"}"]
    );
    assert_eq!(seen("{\n \"a\": 1\n}\n---\nb: 2\n---\n{}\n"), ["1:Json:{\n \"a\": 1\n}", "5:Yaml:b: 2\n", "7:Json:{}"]);
}

#[test]
fn flow_yaml_reads_as_yaml() {
    let all = split(b"{a: [b, 'c']}\n---\n{a: \"x\n  y\"}\n---\n{a: it's}\n");
    let values: Vec<_> = all.into_iter().map(|d| d.unwrap().read().unwrap()).collect();
    assert_eq!(values, [json!({"a": ["b", "c"]}), json!({"a": "x y"}), json!({"a": "it's"})]);
}

#[test]
fn a_broken_document_does_not_stop_the_next_ones() {
    let read = |text: &str| -> Vec<String> {
        split(text.as_bytes())
            .into_iter()
            .map(|d| d.and_then(|d| d.read().map_err(|e| e.to_string())).map_or_else(|e| e, |v| v.to_string()))
            .collect()
    };
    assert_eq!(read("a: [\n---\nb: 2\n")[1], r#"{"b":2}"#);
    assert_eq!(read("{\"a\": [1}\n{\"b\":2}\n{\"c\":3}\n")[1..], [r#"{"b":2}"#, r#"{"c":3}"#]);
    assert_eq!(read("{\"a\": {\"x\":1}\n{\"b\":2}\n")[1..], [r#"{"b":2}"#]);
    assert_eq!(read("{\"a\": \"open\n{\"b\":2}\n")[1..], [r#"{"b":2}"#]);
    assert_eq!(read("{\"a\": [1,\n---\nb: 2\n")[1..], [r#"{"b":2}"#]);
    assert_eq!(read("{\"a\": 1,}\n{\"b\":2}\n"), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!(read("\n{\"a\": tru"), ["line 2, column 9: EOF while parsing a value"]);
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_place() {
    assert_eq!(
        seen(b"a: 1\n---\nb: \xc3\xa9\xff\n---\nc: 3\n"),
        ["1:Yaml:a: 1\n", "line 3, column 5: the text is not UTF-8", "5:Yaml:c: 3\n"]
    );
    let Some(Err(DocumentError::Broken(error))) = documents(&b"\xff\xfea\0"[..]).next() else { panic!("an error") };
    assert_eq!(error.hint.as_deref(), Some("the file is UTF-16: save it as UTF-8"));
}

#[test]
fn a_document_too_large_is_refused_and_skipped() {
    let big = "x".repeat(100);
    let lines = "y: 1\n".repeat(40);
    let text = format!(
        "a: 1\n---\nb: {big}\n---\n{lines}---\n{{\"c\":\"{big}\"}} {{\"d\":1}}\n[\n{}]\n---\ne: 2\n",
        "1,\n".repeat(60)
    );
    let found: Vec<_> = documents_up_to(text.as_bytes(), 64)
        .map(|r| r.map_or_else(|e| e.to_string(), |d| format!("{}:{}", d.line, d.text)))
        .collect();
    let too_large = |line| format!("line {line}, column 1: the document that starts here is larger than 64 bytes");
    assert_eq!(
        found,
        [
            "1:a: 1\n".to_owned(),
            too_large(3),
            too_large(5),
            too_large(46),
            "46:{\"d\":1}".to_owned(),
            too_large(47),
            "110:e: 2\n".to_owned()
        ]
    );
}

#[test]
fn of_json_too_large_the_error_says_how_to_split_it() {
    let error = documents_up_to("{\"items\": [1, 2, 3]}".as_bytes(), 8).next().unwrap().unwrap_err();
    let DocumentError::Broken(error) = error else { panic!("{error}") };
    assert!(error.hint.unwrap().contains("jq -c '.items[]'"));
}

/// Hands out a few bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(out.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn an_anchor_is_one_where_a_node_may_have_one() {
    let has = |text: &str| documents(text.as_bytes()).next().unwrap().unwrap().has_anchor();
    for text in ["a: &x 1\n", "- &x {a: 1}\n", "a: &x\n  b: 1\n", "&x a: 1\n", "a: [&x 1, *x]\n"] {
        assert!(has(text), "{text}");
    }
    for text in ["a: b & c\n", "a: b && c\n", "a: |\n  x: &y 1\n", "a: 'x: &y'\n", "a: 1  # &x\n", "a: b&c\n", "a: [\n"]
    {
        assert!(!has(text), "{text}");
    }
}

#[test]
fn an_input_that_fails_ends_the_documents() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let mut all = documents(BufReader::new(Broken));
    assert!(matches!(all.next(), Some(Err(DocumentError::Io(_)))));
    assert!(all.next().is_none());
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "---\n",
        "---",
        "--",
        "-",
        "\n",
        "a: 1\n",
        " ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "{\"a\":1}",
        "# c\n",
        "...\n",
        "é",
        "\r\n",
        "|\n",
        "  ---\n",
        "\u{feff}",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_size_of_reads_changes_nothing(text in pieces(), step in 1..8_usize, max in prop::sample::select(vec![8, 20, 1 << 20])) {
        let all = |reader: &mut dyn std::io::BufRead| -> Vec<String> {
            documents_up_to(reader, max).map(|r| format!("{r:?}")).collect()
        };
        let whole = all(&mut text.as_bytes());
        let dripped = all(&mut BufReader::with_capacity(step, Drip(text.as_bytes(), step)));
        prop_assert_eq!(whole, dripped);
    }

    #[test]
    fn no_text_is_lost(text in pieces()) {
        // Everything but separators, comments and white space is in some document, in order.
        let mut rest = text.as_str();
        for document in split(text.as_bytes()).into_iter().flatten() {
            let at = rest.find(&document.text);
            prop_assert!(at.is_some());
            rest = &rest[at.unwrap_or(0) + document.text.len()..];
            let _ = document.format == Format::Json;
        }
    }
}
