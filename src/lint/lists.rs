//! `kind: List`, in which `kubectl get -o yaml` writes several resources: each item counts as a document of its own.

use serde_json::Value;

use crate::policy::compile::Rules;
use crate::policy::load::{self, Other, PolicyError, PolicyFile, Read, Written};
use crate::yaml::{Kind, Node, Span, Spanned};

/// Puts what the items of lists are in the place of the lists.
pub(super) fn open(read: &mut Read, rules: &Rules) {
    let all = std::mem::take(&mut read.others).into_iter();
    let (lists, others): (Vec<Other>, Vec<Other>) = all.partition(|other| is_list(&other.place.root));
    read.others = others;
    for Other { file, place } in lists {
        for item in items(place) {
            one(&file, &item, rules, read);
        }
    }
}

/// The items of a list, lists in it opened too; of anything else, itself.
pub(super) fn items(place: Spanned) -> Vec<Spanned> {
    fn collect<'n>(node: &'n Node, into: &mut Vec<&'n Node>) {
        if !is_list(node) {
            into.push(node);
        } else if let Some(Node { kind: Kind::Seq(items), .. }) = node.get("items") {
            for item in items {
                collect(item, into);
            }
        }
    }
    if !is_list(&place.root) {
        return vec![place];
    }
    let mut items = Vec::new();
    collect(&place.root, &mut items);
    items.into_iter().map(|item| Spanned { root: item.clone() }).collect()
}

fn is_list(root: &Node) -> bool {
    let says = |field: &str, text: &str| root.get(field).is_some_and(|node| node.kind == Kind::Scalar(text.into()));
    says("apiVersion", "v1") && says("kind", "List")
}

/// Reads an item by the rules for documents, and says where things stand in the list.
fn one(file: &str, item: &Spanned, rules: &Rules, read: &mut Read) {
    let mut value = item.to_value();
    if value.is_null() {
        return;
    }
    // What a cluster shows of a resource is the controller's word, not the author's.
    if let Value::Object(fields) = &mut value {
        fields.shift_remove("status");
    }
    let document = PolicyFile { name: file.to_owned(), text: value.to_string() };
    let Read { written, others, errors } = load::read(&[document], rules);
    read.written.extend(written.into_iter().map(|written| Written { place: item.clone(), ..written }));
    read.others.extend(others.into_iter().map(|other| Other { place: item.clone(), ..other }));
    read.errors.extend(errors.into_iter().map(|error| {
        let Span { line, column } = item.span(&error.path);
        PolicyError { line, column, ..error }
    }));
}
