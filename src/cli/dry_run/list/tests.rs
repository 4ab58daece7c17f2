//! Lists of kubectl, and what only looks like one.

use super::*;

fn entries(text: &str) -> Vec<Result<(usize, serde_json::Value), String>> {
    let read = |d: Document| Ok((d.line, d.read().map_err(|e| e.to_string())?));
    Entries::new(text.as_bytes()).map(|d| d.map_err(|e| e.to_string()).and_then(read)).collect()
}

#[test]
fn a_list_of_kubectl_is_taken_apart_with_places_kept() {
    let text = "apiVersion: v1\nitems:\n- kind: Pod\n  spec:\n    a:\n    - |\n      - x\n\n      y\n- kind: Pod\n  b: 2\n\
                kind: List\nmetadata:\n  resourceVersion: \"\"\n---\nkind: Pod\nc: 3\n";
    let found: Vec<_> = entries(text).into_iter().map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 10, 16]);
    assert_eq!(found[0].1["spec"]["a"][0], "- x\n\ny\n");
    assert_eq!((&found[1].1["b"], &found[2].1["c"]), (&2.into(), &3.into()));
}

#[test]
fn a_broken_item_is_one_error_with_its_line() {
    let text = "apiVersion: v1\nitems:\n- kind: Pod\n  a: [1\n- kind: Pod\n  b: 2\nkind: List\n";
    let found = entries(text);
    assert!(found[0].as_ref().unwrap_err().contains("line 4") || found[0].as_ref().unwrap_err().contains("line 5"));
    assert_eq!(found[1].as_ref().unwrap().1["b"], 2);
    assert_eq!(found.len(), 2);
}

/// Broken, a key twice, a separator with content behind it, an item that is none; and what is behind all that is still found.
#[test]
fn what_stands_behind_the_items_is_held_to_the_same_rules() {
    let list = "apiVersion: v1\nitems:\n- kind: Pod\n  a: 1\n";
    for (tail, line) in [
        ("kind: [\n- kind: Pod\n  foo: \"\n", 5..=8),
        ("kind: List\nkind: List\n", 6..=6),
        ("kind: List\napiVersion: v1\n", 6..=6),
        ("kind: List\nitems: []\n", 6..=6),
        ("kind: List\n- kind: Pod\n", 6..=6),
        ("{kind: List}\n", 5..=5),
        ("--- x\n", 5..=5),
    ] {
        let found = entries(&format!("{list}{tail}---\nkind: Pod\nb: 2\n"));
        assert_eq!(found[0].as_ref().unwrap().1["a"], 1, "{tail}");
        let error = found[1].as_ref().unwrap_err();
        assert!(line.clone().any(|line| error.starts_with(&format!("line {line},"))), "{tail}: {error}");
        assert_eq!((found.len(), &found[2].as_ref().unwrap().1["b"]), (3, &2.into()), "{tail}");
    }
    let found = entries(&KUBECTL.replace("\"resourceVersion\": \"\"", "\"resourceVersion\": [}"));
    assert!(found[2].as_ref().unwrap_err().starts_with("line 20, column "), "{found:?}");
}

/// What one document would be: all the items that are left, under the kind that the List has.
#[test]
fn items_that_do_not_stand_alone_are_read_together() {
    let list = "apiVersion: v1\nitems:\n- kind: Pod\n  a: 1\n- kind: Pod\n  spec: &s {b: [2]}\n- kind: Pod\n  spec: *s\nkind: List\n---\nc: 3\n";
    let found: Vec<_> = entries(list).into_iter().map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 3, 11]);
    assert_eq!(found[0].1["a"], 1);
    assert_eq!((&found[1].1["kind"], &found[1].1["items"][1]["spec"]["b"][0]), (&"List".into(), &2.into()));
    // Without a kind, or in brackets, where nobody sees at a glance whose kind it is.
    for (items, lines) in [
        ("- kind: Pod\n- metadata:\n    kind: x\n", vec![3, 2]),
        ("-   kind: Pod\n    a: 1\n- \"kind\": Pod\n-\n  kind: Pod\n- {kind: Pod}\n", vec![3, 5, 6, 8]),
        ("- {}\n- kind: Pod\n", vec![1]),
        ("- text\n", vec![1]),
    ] {
        let found = entries(&format!("apiVersion: v1\nitems:\n{items}kind: PodList\n"));
        assert_eq!(found.iter().map(|one| one.as_ref().unwrap().0).collect::<Vec<_>>(), lines, "{items}");
    }
    // The script of a step is full of what looks like an anchor.
    let script =
        "apiVersion: v1\nitems:\n- kind: Pod\n  a: |\n    f(x, &y)\n    &z\n- kind: Pod\n  a: b &c\nkind: List\n";
    assert_eq!(entries(script).into_iter().map(|one| one.unwrap().0).collect::<Vec<_>>(), [3, 7]);
}

const KUBECTL: &str = r#"{
    "apiVersion": "v1",
    "items": [
        {
            "kind": "Pod",
            "spec": {
                "a": [
                    {}
                ]
            }
        },
        {
            "kind": "Pod",
            "b": 2
        }
    ],
    "kind": "List",
    "metadata": {
        "more": 1,
        "resourceVersion": ""
    }
}
---
c: 3
"#;

#[test]
fn a_list_in_json_is_taken_apart_too() {
    let others = [("    ", "  "), ("    ", "\t"), ("\n", "\r\n")].map(|(from, to)| KUBECTL.replace(from, to));
    for text in others.iter().map(String::as_str).chain([KUBECTL]) {
        let found: Vec<_> = entries(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 12, 24]);
        let list: serde_json::Value = yaml::documents(text.as_bytes()).next().unwrap().unwrap().read().unwrap();
        let items: Vec<_> = found.into_iter().map(|(_, item)| item).collect();
        assert_eq!((&items[..2], &items[2]["c"]), (&list["items"].as_array().unwrap()[..], &3.into()));
    }
}

/// A kind that stands behind the items, a layout that changes, a comma too many or too few.
#[test]
fn a_list_in_json_that_is_none_of_kubectl_is_read_as_it_stands() {
    let whole = |text: &str| yaml::documents(text.as_bytes()).next().unwrap().unwrap().read();
    let without = KUBECTL.replace("            \"kind\": \"Pod\",\n", "").replace("\"List\"", "\"PodList\"");
    let empty = KUBECTL.replace("        },\n        {\n", "        },\n        {},\n        {\n");
    let first = KUBECTL.replace("        },\n        {\n", "        }\n        , {\n");
    let line = KUBECTL.replace(
        "        {\n            \"kind\": \"Pod\",\n            \"b\": 2\n        }\n",
        "        {\"b\": 2}\n",
    );
    for text in [without, empty, first, line] {
        assert_ne!(text, KUBECTL);
        let found = entries(&text);
        let items_of =
            |one: &serde_json::Value| one["items"].as_array().map_or_else(|| vec![one.clone()], Clone::clone);
        let items: Vec<_> = found.iter().flat_map(|one| items_of(&one.as_ref().unwrap().1)).collect();
        let list = whole(&text).unwrap();
        assert_eq!(items[..items.len() - 1], list["items"].as_array().unwrap()[..], "{text}");
        assert_eq!(items.last().unwrap()["c"], 3);
    }
    let found = entries(&KUBECTL.replace("        },\n", "        }\n"));
    assert!(found[0].is_err() && found.last().unwrap().as_ref().unwrap().1["c"] == 3, "{found:?}");
}

#[test]
fn a_list_in_json_that_ends_early_says_so_wherever_it_does() {
    let end = KUBECTL.find("\n}\n").unwrap() + 2;
    for at in 0..end - 1 {
        let found = entries(&KUBECTL[..at]);
        assert!(found.is_empty() && at == 0 || found.iter().any(Result::is_err), "{:?}: {found:?}", &KUBECTL[..at]);
    }
    let found = entries(&KUBECTL.replace("\"b\": 2", "\"b\": [2"));
    assert!(found[1].as_ref().unwrap_err().starts_with("line 15, column 9"), "{found:?}");
    assert_eq!(found.iter().filter(|found| found.is_err()).count(), 1);
}

#[test]
fn lists_of_any_length_are_read() {
    let pod = format!("{{\n            \"kind\": \"Pod\",\n            \"a\": \"{}\"\n        }}", "x".repeat(1 << 20));
    let items = vec![pod.as_str(); 20].join(",\n        ");
    let text = format!("{{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {items}\n    ]\n}}\n");
    assert!(text.len() > MAX_DOCUMENT && yaml::documents(text.as_bytes()).any(|document| document.is_err()));
    let found = entries(&text);
    assert_eq!((found.len(), found.iter().filter(|found| found.is_err()).count()), (20, 0));
    let pod = format!("- kind: Pod\n  a: |\n    x && y\n    {}\n", "x".repeat(1 << 20));
    let found = entries(&format!("apiVersion: v1\nitems:\n{}kind: List\n", pod.repeat(20)));
    assert_eq!((found.len(), found.iter().filter(|found| found.is_err()).count()), (20, 0));
}

#[test]
fn anything_else_is_read_as_documents() {
    for text in
        ["", "a: 1\n", "apiVersion: v1\n", "apiVersion: v1\nitems:\n", "apiVersion: v1\nitems: []\nkind: List\n"]
    {
        let whole: Vec<_> = yaml::documents(text.as_bytes()).map(|d| d.unwrap().read().unwrap()).collect();
        let ours: Vec<_> = entries(text).into_iter().map(|e| e.unwrap().1).collect();
        assert_eq!(ours, whole, "{text:?}");
    }
}
