//! Values set in a text: the document then has them, and nothing else has changed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::write::{json as any_json, written};
use crate::yaml::{Edit, EditError, edit, read};

fn set(text: &str, path: &str, value: Value) -> String {
    edit(text, &[Edit { path: path.to_owned(), value }]).unwrap()
}

#[test]
fn only_the_value_changes() {
    let text =
        "# top\na: one  # why\nb:\n  - x: 1\n    w: {p: q, r: [1, 2]}  # both\n  - plain\nc: |\n  text\n  more\nd:\n";
    for (path, value, expected) in [
        ("a", json!("two"), text.replace("one", "two")),
        ("a", json!("with # hash"), text.replace("one", "'with # hash'")),
        ("b[0].w.p", json!("a, b"), text.replace("p: q", "p: \"a, b\"")),
        ("b[0].w.r", json!([]), text.replace("[1, 2]", "[]")),
        ("b[0].w", json!({"k": true}), text.replace("{p: q, r: [1, 2]}", "{k: true}")),
        ("b[0].w.new", json!("m"), text.replace("[1, 2]}", "[1, 2], new: m}")),
        ("b[1]", json!({"z": 1}), text.replace("- plain", "- {z: 1}")),
        ("b[0].z", json!(3), text.replace("# both\n", "# both\n    z: 3\n")),
        ("c", json!("short"), text.replace("|\n  text\n  more\n", "short\n")),
        ("d", json!({"e": 1}), text.replace("d:", "d: {e: 1}")),
        ("e", json!([1]), format!("{text}e: [1]\n")),
    ] {
        assert_eq!(set(text, path, value), expected, "{path}");
    }
}

#[test]
fn what_is_long_goes_below_its_key() {
    let long = json!({"labels": {"a": "x".repeat(60), "b": "y".repeat(60)}});
    let (a, b) = ("x".repeat(60), "y".repeat(60));
    assert_eq!(
        set("k:\n  pod: {}  # c\n", "k.pod", long.clone()),
        format!("k:\n  pod:\n    labels:\n      a: {a}\n      b: {b}  # c\n")
    );
    assert_eq!(
        set("pod:\n   old: 1\nz: 1\n", "pod", long.clone()),
        format!("pod:\n   labels:\n     a: {a}\n     b: {b}\nz: 1\n")
    );
    assert_eq!(set("z: 1", "pod", long), format!("z: 1\npod:\n  labels:\n    a: {a}\n    b: {b}"));
}

#[test]
fn several_new_keys_stand_in_their_order_and_line_breaks_stay() {
    let edits = |keys: &[&str]| -> Vec<Edit> {
        keys.iter().map(|key| Edit { path: format!("m{key}"), value: json!(1) }).collect()
    };
    let new = edits(&[".b", "[\"c.d/e\"]", "[\"true\"]"]);
    assert_eq!(edit("m:\n  a: 0  # c\n", &new).unwrap(), "m:\n  a: 0  # c\n  b: 1\n  c.d/e: 1\n  \"true\": 1\n");
    assert_eq!(edit("m: {a: 0}  # c\n", &new[..2]).unwrap(), "m: {a: 0, b: 1, c.d/e: 1}  # c\n");
    assert_eq!(edit("m:\r\n  a: 0  # c\r\n", &new[..1]).unwrap(), "m:\r\n  a: 0  # c\r\n  b: 1\r\n");
}

#[test]
fn what_is_not_there_and_what_is_an_alias_is_told() {
    let of =
        |path: &str| edit("a: &x {b: 1}\nc: *x\n", &[Edit { path: path.to_owned(), value: json!(2) }]).unwrap_err();
    assert_eq!(of("c"), EditError::Alias { path: "c".into(), line: 1 });
    assert_eq!(of("c.b"), EditError::Alias { path: "c.b".into(), line: 1 });
    let merged = edit("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n", &[Edit { path: "c.b".into(), value: json!(2) }]);
    assert_eq!(merged, Err(EditError::Alias { path: "c.b".into(), line: 1 }));
    assert_eq!(of("d.e"), EditError::NoPlace("d.e".into()));
    assert_eq!(of("a.b.c"), EditError::NoPlace("a.b.c".into()));
}

/// The paths of all values but the root's.
fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
    let mut deeper = |path: String, value: &Value| {
        all.push(path.clone());
        paths(value, &path, all);
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let plain = !key.is_empty() && !key.contains(['.', '[', ']', '"']);
                if plain {
                    deeper(if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, value);
                }
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                deeper(format!("{at}[{i}]"), value);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_is_set_is_read_and_the_rest_stays(one in any_json(), two in any_json(), value in any_json(), pick in any::<prop::sample::Index>(), brackets: bool) {
        let document = json!({"one": one, "two": two});
        let text = if brackets { document.to_string() } else { written(&document) };
        let (Ok(before), Ok(value)) = (read(&text, 1), read(&written(&value), 1)) else { return Ok(()) };
        let mut all = Vec::new();
        paths(&before, "", &mut all);
        let path = &all[pick.index(all.len())];
        let after = edit(&text, &[Edit { path: path.clone(), value: value.clone() }]).unwrap();
        let mut expected = before;
        let pointer = crate::yaml::Spanned::read(&text, 1).unwrap();
        prop_assume!(pointer.node(path).is_some());
        *at(&mut expected, path) = value;
        prop_assert_eq!(read(&after, 1), Ok(expected), "{} in\n{}\ngives\n{}", path, text, after);
    }
}

fn at<'v>(document: &'v mut Value, path: &str) -> &'v mut Value {
    let mut value = document;
    for part in path.split('.') {
        let mut pieces = part.split('[');
        let key = pieces.next().unwrap();
        if !key.is_empty() {
            value = &mut value[key];
        }
        for index in pieces {
            value = &mut value[index.trim_end_matches(']').parse::<usize>().unwrap()];
        }
    }
    value
}

/// The parser places such a list at the sign of its first item's style.
#[test]
fn a_list_that_begins_with_a_text_in_block_style_is_replaced() {
    let text = "one: 1\ntwo:\n- |-\n  A\n   a\n- b\nthree: 3\n";
    assert_eq!(set(text, "two", json!(null)), "one: 1\ntwo:\n  null\nthree: 3\n");
    assert_eq!(set(text, "two[0]", json!("x")), "one: 1\ntwo:\n- x\n- b\nthree: 3\n");
    // What looks like a comment, and what is one.
    let text = "' #': |-  # a > b\n  A\nb: |\n  # B\n  C\n";
    assert_eq!(set(text, "[\" #\"]", json!("x")), "' #': x\nb: |\n  # B\n  C\n");
    assert_eq!(set(text, "b", json!("x")), "' #': |-  # a > b\n  A\nb: x\n");
}
