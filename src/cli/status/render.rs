//! A [`Report`] as a table.

use std::io::{self, Write};

use crate::cli::palette::{Palette, Tone, harmless};
use crate::coverage::report::{Report, Tally, Window};

/// Namespaces with their numbers, then what was not injected, newest last.
pub(super) fn table(report: &Report, palette: Palette, out: &mut Vec<u8>) -> io::Result<()> {
    if report.namespaces.is_empty() {
        return writeln!(out, "no pods of workflows");
    }
    let width = report.namespaces.keys().map(|name| name.chars().count()).max().unwrap_or_default().max(9);
    let head = format!("{:width$}  INJECTED  MISSED  SKIPPED  LEFT OUT  COVERAGE", "NAMESPACE");
    writeln!(out, "{}", palette.paint(Tone::Strong, head))?;
    for (name, tally) in &report.namespaces {
        numbers(name, *tally, width, palette, out)?;
    }
    if report.namespaces.len() > 1 {
        numbers("all", report.total, width, palette, out)?;
    }
    let (not_meant, not_injected): (Vec<_>, Vec<_>) = report.windows.iter().partition(|w| w.outcome == "left-out");
    windows("Not injected", &not_injected, palette, out)?;
    windows("Left out: no policy means them, or there is no command to wrap", &not_meant, palette, out)
}

fn numbers(name: &str, tally: Tally, width: usize, palette: Palette, out: &mut Vec<u8>) -> io::Result<()> {
    let Tally { injected, missed, skipped, left_out } = tally;
    let percent = tally.percent();
    let tone = if percent == 100 { Tone::Good } else { Tone::Bad };
    let percent = palette.paint(tone, format!("{percent:>6} %"));
    writeln!(out, "{:width$}  {injected:8}  {missed:6}  {skipped:7}  {left_out:8}  {percent}", harmless(name))
}

fn windows(title: &str, windows: &[&Window], palette: Palette, out: &mut Vec<u8>) -> io::Result<()> {
    if windows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", palette.paint(Tone::Strong, title))?;
    let width = windows.iter().map(|window| window.reason.chars().count()).max().unwrap_or_default();
    let mut hinted = Vec::new();
    for window in windows {
        let Window { namespace, reason, pods, from, to, example, hint, .. } = window;
        let when = if from == to { from.clone() } else { format!("{from} to {to}") };
        let pod = harmless(&format!("{namespace}/{example}"));
        let word = if *pods == 1 { "pod " } else { "pods" };
        writeln!(out, "  {reason:width$}  {pods:5} {word}  {when}  {}", palette.paint(Tone::Quiet, pod))?;
        if let Some(hint) = hint.filter(|_| !hinted.contains(&reason)) {
            hinted.push(reason);
            writeln!(out, "  {:width$}  {}", "", palette.paint(Tone::Quiet, format!("hint: {hint}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(namespace: &str, outcome: &'static str, reason: &str, pods: usize, to: &str) -> Window {
        Window {
            namespace: namespace.into(),
            outcome,
            reason: reason.into(),
            pods,
            from: "2026-11-23T10:20:04Z".into(),
            to: to.into(),
            example: "ci-x7k2q-build-1096543773".into(),
            hint: (outcome == "missed").then_some("the webhook was away"),
        }
    }

    fn drawn(report: &Report) -> String {
        let mut out = Vec::new();
        table(report, Palette::new(false), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_come_first_then_reasons_by_time() {
        let (ci, builds) =
            (Tally { injected: 118, missed: 5, skipped: 1, left_out: 2 }, Tally { injected: 40, ..Tally::default() });
        let windows = vec![
            window("ci", "missed", "unanswered", 4, "2026-11-23T10:21:30Z"),
            window("ci", "left-out", "resource", 2, "2026-11-23T10:29:00Z"),
            window("ci", "skipped", "missing-repo", 1, "2026-11-23T10:20:04Z"),
            window("ci", "missed", "unanswered", 1, "2026-11-23T10:20:04Z"),
        ];
        let total = Tally { injected: 158, missed: 5, skipped: 1, left_out: 2 };
        let namespaces = [("builds".to_owned(), builds), ("ci".to_owned(), ci)].into();
        let report = Report { coverage: total.percent(), total, namespaces, windows };
        let wanted = "\
NAMESPACE  INJECTED  MISSED  SKIPPED  LEFT OUT  COVERAGE
builds           40       0        0         0     100 %
ci              118       5        1         2      95 %
all             158       5        1         2      96 %

Not injected
  unanswered        4 pods  2026-11-23T10:20:04Z to 2026-11-23T10:21:30Z  ci/ci-x7k2q-build-1096543773
                hint: the webhook was away
  missing-repo      1 pod   2026-11-23T10:20:04Z  ci/ci-x7k2q-build-1096543773
  unanswered        1 pod   2026-11-23T10:20:04Z  ci/ci-x7k2q-build-1096543773

Left out: no policy means them, or there is no command to wrap
  resource      2 pods  2026-11-23T10:20:04Z to 2026-11-23T10:29:00Z  ci/ci-x7k2q-build-1096543773
";
        assert_eq!(drawn(&report), wanted);
        assert_eq!(drawn(&Report::default()), "no pods of workflows\n");
    }
}
