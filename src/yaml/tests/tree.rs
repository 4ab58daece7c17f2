//! The borrowing tree says what [`read`] says, of YAML and of JSON.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, to_value};

use super::write::{json as any_json, written};
use crate::yaml::{Tree, YamlError, read};

fn as_value(text: &str) -> Result<Value, YamlError> {
    Tree::read(text, 1).map(|tree| to_value(tree).unwrap())
}

#[test]
fn a_map_of_thousands_of_keys_keeps_their_order_and_knows_a_repeated_one() {
    let mut text = (0..10_000).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "k{}: {i}", i * 7919 % 10_007);
        text
    });
    let value = as_value(&text).unwrap();
    assert_eq!(value.to_string(), read(&text, 1).unwrap().to_string());
    for repeated in ["k0", "k7919"] {
        text.push_str(repeated);
        text.push_str(": again\n");
        assert_eq!(as_value(&text), read(&text, 1));
        assert!(as_value(&text).is_err());
    }
}

#[test]
fn of_a_name_repeated_in_json_the_last_counts_in_the_place_of_the_first() {
    let few = r#"{"a":1,"b":2,"a":3}"#;
    let many: Vec<_> = (0..100).map(|i| format!("\"{}\":{i}", i % 60)).collect();
    for text in [few, &format!("{{{}}}", many.join(","))] {
        let tree: Tree<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(to_value(tree).unwrap().to_string(), serde_json::from_str::<Value>(text).unwrap().to_string());
    }
}

proptest! {
    #[test]
    fn the_tree_says_what_read_says(value in any_json()) {
        let text = written(&value);
        prop_assert_eq!(as_value(&text), read(&text, 1));
        let json = value.to_string();
        let tree: Tree<'_> = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(serde_json::to_string(&tree).unwrap(), json);
    }

    #[test]
    fn errors_and_oddities_are_the_same(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "a: ", "b: ", "a", "1", "- ", "\n", "\n  ", "&x ", "*x", "<<: ", "{", "}", "[", "]", ", ", "'q'", "\"\\n\"", "!!int ",
            "!!binary aGk=", "|\n  t\n", "0x1f", ".inf", "1.0", "~", "yes", "? ", "#c\n", "---\n",
        ]), 0..14)
    ) {
        let text = pieces.concat();
        prop_assert_eq!(as_value(&text), read(&text, 1));
    }
}
