//! Places of nodes, and that the tree says what [`read`] says.

use proptest::prelude::*;
use serde_json::json;

use super::write::{json as any_json, written};
use crate::yaml::{Span, Spanned, comments, read};

const POLICY: &str = "\
# a policy
spec:
  match:
    when:
    - one
    - two: &x {deep: 1}
  other: *x
  \"a.b\": 1
";

fn at(line: usize, column: usize) -> Span {
    Span { line, column }
}

#[test]
fn a_path_leads_to_its_place() {
    let tree = Spanned::read(POLICY, 11).unwrap();
    assert_eq!(tree.span(""), at(12, 1));
    assert_eq!(tree.span("spec"), at(12, 1));
    assert_eq!(tree.span("spec.match.when"), at(14, 5));
    assert_eq!(tree.span("spec.match.when[0]"), at(15, 7));
    assert_eq!(tree.span("spec.match.when[1].two.deep"), at(16, 16));
    assert_eq!(tree.span("spec.other"), at(17, 3));
    assert_eq!(tree.span(r#"spec["a.b"]"#), at(18, 3));
    assert_eq!(tree.node("spec.match.when[0]").unwrap().to_value(), json!("one"));
    assert_eq!(tree.node("spec.other.deep").unwrap().to_value(), json!(1));
}

#[test]
fn a_path_has_a_region_on_its_line_and_comments_stand_beside() {
    let text = "# one\nspec:  # two\n  a: 'x # y' # three\n  block: |\n    # text\n    more\n  list: [1, 22]\n";
    let tree = Spanned::read(text, 1).unwrap();
    assert_eq!(tree.region("spec.a"), (at(3, 3), at(3, 13)));
    assert_eq!(tree.region("spec.list[1]"), (at(7, 13), at(7, 15)));
    assert_eq!(tree.region("spec.list"), (at(7, 3), at(7, 16)));
    assert_eq!(tree.region("spec"), (at(2, 1), at(2, 5)));
    assert_eq!(tree.region("spec.block"), (at(4, 3), at(4, 8)));
    assert_eq!(tree.lines("spec.list[1]").collect::<Vec<_>>(), [2, 2, 7, 7]);
    let found: Vec<_> = comments(text, 11).into_iter().map(|c| (c.span, c.text, c.alone)).collect();
    let expected = [(at(11, 1), " one", true), (at(12, 8), " two", false), (at(13, 14), " three", false)];
    assert_eq!(found, expected.map(|(span, text, alone)| (span, text.to_owned(), alone)));
}

#[test]
fn a_path_that_is_not_there_leads_to_its_nearest_ancestor() {
    let tree = Spanned::read(POLICY, 1).unwrap();
    assert_eq!(tree.span("spec.match.missing.more"), at(3, 3));
    assert_eq!(tree.span("spec.match.when[7]"), at(4, 5));
    assert_eq!(tree.span("spec[0]"), at(2, 1));
    assert_eq!(tree.span("]..[[\"x"), at(2, 1));
    assert!(tree.node("spec.match.missing").is_none());
}

proptest! {
    #[test]
    fn the_tree_says_what_read_says(value in any_json()) {
        let text = written(&value);
        prop_assert_eq!(Spanned::read(&text, 1).map(|tree| tree.to_value()), read(&text, 1));
    }
}
