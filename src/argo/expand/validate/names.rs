//! Names: there, once, and of the form that Argo asks for (`validateWorkflowFieldNames`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::argo::expand::raw::text;

/// What a name may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Of templates, steps, tasks and containers.
    Field,
    /// Of parameters and artifacts.
    Parameter,
}

/// Longest name of a template, step, task or container.
const MAX_FIELD: usize = 128;

/// The mistakes, each with the name that it is about. What has a tag for a name is not looked at.
pub(super) fn mistakes<'v>(all: impl IntoIterator<Item = &'v Value>, what: &str, form: Form) -> Vec<(&'v str, String)> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for one in all {
        let name = text(one, "name");
        if name.is_empty() {
            let article = if what.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
            found.push((name, format!("{article} {what} has no name")));
        } else if !seen.insert(name) {
            found.push((name, format!("two {what}s are called {name}")));
        } else if !name.contains("{{") && !is_well_formed(name, form) {
            let allowed = match form {
                Form::Field => "letters, digits and - (no - first), 128 of them at most",
                Form::Parameter => "letters, digits, - and _",
            };
            found.push((name, format!("{what} {name:?}: its name can have {allowed}")));
        }
    }
    found
}

fn is_well_formed(name: &str, form: Form) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match form {
        Form::Field => name.len() <= MAX_FIELD && !name.starts_with('-') && name.chars().all(fits),
        Form::Parameter => name.chars().all(|c| fits(c) || c == '_'),
    }
}
