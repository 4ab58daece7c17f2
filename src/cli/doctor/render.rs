//! A [`Report`] as lines for people and as JSON for programs.

use std::io::{self, Write};

use serde_json::json;

use crate::{
    cli::palette::{Palette, Tone, harmless},
    doctor::report::{Finding, Group, Report, State, Subject, Tally},
};

/// Groups of lines: state, check, what was found; below it how to mend it.
pub(super) fn table(report: &Report, palette: Palette, out: &mut Vec<u8>) -> io::Result<()> {
    let checks = report.groups.iter().flat_map(|group| &group.findings).map(|finding| finding.check.len());
    let width = checks.max().unwrap_or_default();
    for (at, Group { subject, findings }) in report.groups.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", palette.paint(Tone::Strong, title(subject)))?;
        for finding in findings {
            line(finding, width, palette, out)?;
        }
    }
    Ok(())
}

fn title(subject: &Subject) -> String {
    match subject {
        Subject::Cluster => "cluster".into(),
        Subject::Install => "install".into(),
        Subject::Namespace(name) => format!("namespace {}", harmless(name)),
    }
}

fn line(finding: &Finding, width: usize, palette: Palette, out: &mut Vec<u8>) -> io::Result<()> {
    let Finding { state, check, found, hint } = finding;
    let tone = match state {
        State::Ok => Tone::Good,
        State::Warn => Tone::Warning,
        State::Fail => Tone::Bad,
        State::Skip => Tone::Quiet,
    };
    let pad = " ".repeat(4 - state.label().len());
    let word = palette.paint(tone, state.label());
    let found = palette.paint(if *state == State::Skip { Tone::Quiet } else { Tone::Plain }, harmless(found));
    writeln!(out, "  {word}{pad}  {check:width$}  {found}")?;
    if let Some(hint) = hint {
        let indent = " ".repeat(2 + 4 + 2 + width + 2);
        writeln!(out, "{indent}{}", palette.paint(Tone::Quiet, format!("hint: {}", harmless(hint))))?;
    }
    Ok(())
}

/// How many checks came out how.
pub(super) fn summary(tally: Tally) -> String {
    let Tally { ok, warn, fail, skip } = tally;
    format!("{ok} ok, {warn} warn, {fail} fail, {skip} skip")
}

/// One object: every check with its group, and the sums.
pub(super) fn json(report: &Report, out: &mut Vec<u8>) -> io::Result<()> {
    let mut checks = Vec::new();
    for Group { subject, findings } in &report.groups {
        let (group, namespace) = match subject {
            Subject::Cluster => ("cluster", None),
            Subject::Install => ("install", None),
            Subject::Namespace(name) => ("namespace", Some(name)),
        };
        for finding in findings {
            let mut check = json!({"group": group});
            if let Some(name) = namespace {
                check["namespace"] = name.as_str().into();
            }
            for field in ["check", "state", "found", "hint"] {
                let value = serde_json::to_value(finding)?[field].take();
                if !value.is_null() {
                    check[field] = value;
                }
            }
            checks.push(check);
        }
    }
    serde_json::to_writer_pretty(&mut *out, &json!({"checks": checks, "summary": report.tally()}))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let cluster = vec![
            Finding::ok("server", "Kubernetes v1.34.4"),
            Finding::warn("argo", "no\u{1b}[31m controller", "install it"),
        ];
        let namespace = vec![Finding::fail("endpoint", "no Service c", "create it")];
        Report {
            groups: vec![
                Group { subject: Subject::Cluster, findings: cluster },
                Group { subject: Subject::Namespace("ci".into()), findings: namespace },
            ],
        }
    }

    #[test]
    fn lines_are_aligned_and_harmless() {
        let mut out = Vec::new();
        table(&report(), Palette::new(false), &mut out).unwrap();
        let expected = "\
cluster
  ok    server    Kubernetes v1.34.4
  warn  argo      no\\u{1b}[31m controller
                  hint: install it

namespace ci
  fail  endpoint  no Service c
                  hint: create it
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_has_the_same_as_data() {
        let mut out = Vec::new();
        json(&report(), &mut out).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["summary"], json!({"ok": 1, "warn": 1, "fail": 1, "skip": 0}));
        let expected = json!({"group": "namespace", "namespace": "ci", "check": "endpoint", "state": "fail",
            "found": "no Service c", "hint": "create it"});
        assert_eq!(read["checks"][2], expected);
    }
}
