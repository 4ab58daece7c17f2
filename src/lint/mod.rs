//! What is likely wrong with policies although they load, and all that keeps them from loading, with its place.
//!
//! Files -> policies with their places ([`crate::policy::load::read`], and [`lists`]) -> mistakes ([`invalid`]) and the rules of [`rule`],
//! room by room ([`matching`], [`overlap`], [`conditions`], [`values`], [`delivery`], [`protocol`]) -> [`Finding`]s, less those that a comment
//! allows ([`allow`]).
//!
//! A rule says nothing it is not sure of: what it calls unreachable, shadowed or never true is so on every pod. docs/lint.md has a section for each,
//! whose examples the tests run.

mod allow;
mod conditions;
mod delivery;
mod invalid;
mod lists;
mod matching;
mod overlap;
mod protocol;
pub mod rule;
mod secret;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::policy::compile::Rules;
use crate::policy::load::{self, Other, PolicyFile, Read, Written};
use crate::yaml::{Span, Spanned};
pub use rule::{Rule, Severity};

/// One thing that a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Where it starts; line 0 where the whole file is meant.
    pub start: Span,
    /// Where it ends, behind the last character.
    pub end: Span,
    /// The field, such as `spec.match.when[0]`.
    pub path: String,
    /// What is wrong, without any secret.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// The lines of the keys above it, for comments that allow it.
    lines: Vec<usize>,
}

/// What was found, and what was looked at.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order of the files and their lines.
    pub findings: Vec<Finding>,
    /// How many were allowed by comments.
    pub allowed: usize,
    /// How many policies were looked at.
    pub policies: usize,
    /// How many configurations of webhooks were looked at.
    pub webhooks: usize,
    /// How many documents of other kinds were passed over.
    pub others: usize,
}

/// Looks at policy files.
pub fn lint(files: &[PolicyFile], rules: &Rules) -> Report {
    let mut read = load::read(files, rules);
    lists::open(&mut read, rules);
    let Read { written, others, mut errors } = read;
    errors.extend(load::compiled(&written, rules).err().unwrap_or_default());
    let mut findings = invalid::findings(errors, files);
    let order = in_order(&written);
    for one in &written {
        let mut found = Found { file: &one.file, place: &one.place, findings: &mut findings };
        matching::check(one, &mut found);
        conditions::check(one, &mut found);
        values::check(one, &order, &mut found);
        delivery::check(one, &order, &mut found);
    }
    overlap::check(&order, &mut findings);
    protocol::check(&order, &mut findings);
    for Other { file, place } in &others {
        delivery::check_webhooks(place, &mut Found { file, place, findings: &mut findings });
    }
    let allowed = allow::apply(files, &mut findings);
    findings.iter_mut().for_each(Finding::hide_secrets);
    let file_order: BTreeMap<&str, usize> = files.iter().enumerate().map(|(i, f)| (f.name.as_str(), i)).collect();
    findings.sort_by_key(|f| (file_order.get(f.file.as_str()).copied(), f.start, f.rule.id));
    let webhooks = others.iter().filter(|other| delivery::is_webhooks(&other.place)).count();
    Report { findings, allowed, policies: written.len(), webhooks, others: others.len() - webhooks }
}

/// The policies as they take turns: higher priority first, ties by name.
fn in_order(written: &[Written]) -> Vec<&Written> {
    let mut order: Vec<&Written> = written.iter().collect();
    order.sort_by(|a, b| turn(a).cmp(&turn(b)));
    order
}

fn turn(one: &Written) -> (std::cmp::Reverse<i32>, &str) {
    (std::cmp::Reverse(one.policy.spec.priority.unwrap_or(0)), &one.policy.metadata.name)
}

impl Finding {
    /// Messages quote what is written, and end in logs.
    fn hide_secrets(&mut self) {
        for text in std::iter::once(&mut self.message).chain(&mut self.hint) {
            *text = secret::hidden(text);
        }
    }
}

/// Where rules put what they find of one document.
struct Found<'a> {
    file: &'a str,
    place: &'a Spanned,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    fn add(&mut self, rule: &'static Rule, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add_as(rule, rule.severity, path, message, hint);
    }

    fn add_as(
        &mut self,
        rule: &'static Rule,
        severity: Severity,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (start, end) = self.place.region(path);
        let hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty());
        let (file, path, lines) = (self.file.to_owned(), path.to_owned(), self.place.lines(path).collect());
        self.findings.push(Finding { rule, severity, file, start, end, path, message: message.into(), hint, lines });
    }
}
