//! Comments that allow findings: `# stepspan-lint: allow(match-all, bare-host) every namespace has a Collector`.
//!
//! Behind a line's content it is for that line, alone on a line for the next one that is no comment; and for everything below the key there, so
//! that one above a document's first key is for the whole document. As the first line below a key it is also for what is told of that key.

use std::ops::Range;

use super::rule::{self, Rule};
use super::{Finding, Severity};
use crate::policy::check::nearest;
use crate::policy::load::PolicyFile;
use crate::yaml::{self, Comment, Span};

const MARK: &str = "stepspan-lint:";

/// A comment that allows, as far as it is right.
struct Allow {
    comment: Comment,
    /// The line it is for.
    line: usize,
    /// The line of the key below which it is the first thing.
    below: Option<usize>,
    /// The lines of its document.
    document: Range<usize>,
    rules: Vec<&'static Rule>,
    used: bool,
}

/// Takes out the findings that comments allow, and adds what is wrong with the comments; how many were taken out.
pub(super) fn apply(files: &[PolicyFile], findings: &mut Vec<Finding>) -> usize {
    let before = findings.len();
    let broken = findings.iter().filter(|finding| finding.rule == &rule::INVALID);
    let broken: Vec<(String, usize)> = broken.map(|finding| (finding.file.clone(), finding.start.line)).collect();
    let mut wrong = Vec::new();
    for file in files {
        let mut allows = allows(file, &mut wrong);
        findings.retain(|finding| {
            let allows = allows.iter_mut().filter(|allow| {
                finding.file == file.name
                    && allow.rules.contains(&finding.rule)
                    && (finding.lines.contains(&allow.line)
                        || [Some(allow.line), allow.below].contains(&Some(finding.start.line)))
            });
            allows.map(|allow| allow.used = true).count() == 0
        });
        for allow in
            allows.iter().filter(|allow| !allow.used && !allow.rules.is_empty() && looked(allow, file, &broken))
        {
            wrong.push(about(file, &allow.comment, "it allows nothing: there is no such finding here", "take it out"));
        }
    }
    let taken = before - findings.len();
    findings.append(&mut wrong);
    taken
}

/// Whether the rules that a comment names have looked at all they look at: not at what does not load, nor at another policy beside it.
fn looked(allow: &Allow, file: &PolicyFile, broken: &[(String, usize)]) -> bool {
    let beside = [&rule::SHADOWED_POLICY, &rule::EQUAL_PRIORITY, &rule::PROTOCOL_PORT];
    let here = |(name, line): &(String, usize)| *name == file.name && (*line == 0 || allow.document.contains(line));
    !broken.iter().any(here) && (broken.is_empty() || !allow.rules.iter().any(|rule| beside.contains(rule)))
}

fn allows(file: &PolicyFile, wrong: &mut Vec<Finding>) -> Vec<Allow> {
    let mut allows = Vec::new();
    for document in yaml::documents(file.text.as_bytes()).flatten() {
        let comments = yaml::comments(&document.text, document.line);
        let lines: Vec<&str> = document.text.lines().collect();
        for comment in &comments {
            let Some(text) = comment.text.trim().strip_prefix(MARK) else { continue };
            let line = if comment.alone { next_content(&lines, comment, document.line) } else { comment.span.line };
            let below = opened(&lines, comment, document.line).filter(|_| comment.alone);
            let (comment, document) = (comment.clone(), document.line..document.line + lines.len());
            match rules(text) {
                Ok(rules) => allows.push(Allow { comment, line, below, document, rules, used: false }),
                Err((message, hint)) => wrong.push(about(file, &comment, &message, &hint)),
            }
        }
    }
    allows
}

/// The first line behind a comment that is neither empty nor a comment.
fn next_content(lines: &[&str], comment: &Comment, first: usize) -> usize {
    let behind = lines.iter().skip(comment.span.line + 1 - first);
    behind.take_while(|line| !is_content(line)).count() + comment.span.line + 1
}

/// The line before a comment, where a key stands there whose fields begin with the comment: `spec:`.
fn opened(lines: &[&str], comment: &Comment, first: usize) -> Option<usize> {
    let mut before = lines.iter().enumerate().take(comment.span.line - first);
    let (at, line) = before.rfind(|(_, line)| is_content(line))?;
    let indent = line.len() - line.trim_start().len();
    let bare = line.split_once(" #").map_or(*line, |(bare, _)| bare).trim_end();
    (bare.ends_with(':') && indent + 1 < comment.span.column).then_some(first + at)
}

fn is_content(line: &str) -> bool {
    !matches!(line.trim_start().bytes().next(), None | Some(b'#'))
}

/// The rules of `allow(id, id) reason`.
fn rules(text: &str) -> Result<Vec<&'static Rule>, (String, String)> {
    let form =
        || ("it is not of the form allow(rule) reason".to_owned(), "allow(match-all) why that is meant".to_owned());
    let (names, reason) = text.trim().strip_prefix("allow(").and_then(|rest| rest.split_once(')')).ok_or_else(form)?;
    if reason.trim().is_empty() {
        return Err(("it gives no reason".into(), "say behind the bracket why it is meant".into()));
    }
    names.split(',').map(|name| allowed(name.trim())).collect()
}

fn allowed(name: &str) -> Result<&'static Rule, (String, String)> {
    let rule = rule::named(name).filter(|rule| *rule != &rule::ALLOW_COMMENT);
    rule.ok_or_else(|| {
        let near = nearest(name, rule::ALL.iter().map(|rule| rule.id));
        let list = || "`stepspan lint --rules` lists them".to_owned();
        (format!("`{name}` can't be allowed"), near.map_or_else(list, |near| format!("did you mean `{near}`?")))
    })
}

fn about(file: &PolicyFile, comment: &Comment, message: &str, hint: &str) -> Finding {
    let start = comment.span;
    let end = Span { line: start.line, column: start.column + 1 + comment.text.chars().count() };
    Finding {
        rule: &rule::ALLOW_COMMENT,
        severity: Severity::Warning,
        file: file.name.clone(),
        start,
        end,
        path: String::new(),
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        lines: Vec::new(),
    }
}
