//! The metrics of steps as `OpenMetrics` text (specification 1.0, section "Text format").
//!
//! Written here: prometheus-client's histograms cannot begin with what was counted before, and its exemplars can be made by nothing but them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::counts::{BOUNDS_MS, Durations, Labels, Sums};
use super::ledger::{Exemplar, Exemplars};
use super::seen::Active;
use crate::trace::outcome::Outcome;
use crate::trace::status::SECOND;

/// What is shown of the steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    pub(super) sums: BTreeMap<Labels, Sums>,
    pub(super) active: Active,
    pub(super) exemplars: Exemplars,
}

impl Steps {
    /// All of it.
    pub(super) fn write(&self, out: &mut String) -> fmt::Result {
        head(out, "agent_step_duration_ms", "histogram", "Milliseconds that a step took, in whole seconds")?;
        for (labels, sums) in &self.sums {
            // What has not happened is there at 0: else its first time would be no increase.
            let usual = [Outcome::Success, Outcome::Failure];
            let outcomes: BTreeSet<Outcome> = sums.durations.keys().copied().chain(usual).collect();
            let none = Durations::default();
            let exemplars = self.exemplars.get(labels);
            for outcome in outcomes {
                let durations = sums.durations.get(&outcome).unwrap_or(&none);
                let exemplar = |bucket| exemplars?.get(&(outcome, bucket));
                histogram((labels, outcome), durations, exemplar, out)?;
            }
        }
        head(out, "agent_step_success", "counter", "Steps that succeeded")?;
        for (labels, sums) in &self.sums {
            writeln!(out, "agent_step_success_total{{{}}} {}", Set(labels), sums.success)?;
        }
        head(out, "agent_step_fail", "counter", "Steps that failed or ended in error")?;
        for (labels, sums) in &self.sums {
            writeln!(out, "agent_step_fail_total{{{}}} {}", Set(labels), sums.fail)?;
        }
        // A repo that has none any more has 0 of them, as long as its counts are shown.
        let repos: BTreeSet<&str> = self
            .active
            .steps
            .keys()
            .map(String::as_str)
            .chain(self.sums.keys().map(|labels| labels.get("repo")))
            .collect();
        head(out, "agent_steps_in_flight", "gauge", "Steps that run")?;
        for repo in &repos {
            let count = self.active.steps.get(*repo).copied().unwrap_or_default();
            writeln!(out, "agent_steps_in_flight{{{}}} {count}", Repo(repo))?;
        }
        head(out, "agent_prs_active", "gauge", "Pull requests whose Workflows go on")?;
        for repo in &repos {
            let count = self.active.prs.get(*repo).map_or(0, BTreeSet::len);
            writeln!(out, "agent_prs_active{{{}}} {count}", Repo(repo))?;
        }
        Ok(())
    }
}

fn histogram<'e>(
    (labels, outcome): (&Labels, Outcome),
    durations: &Durations,
    exemplar: impl Fn(usize) -> Option<&'e Exemplar>,
    out: &mut String,
) -> fmt::Result {
    let set = format!("{}{}outcome=\"{}\"", Set(labels), separator(labels), outcome.as_str());
    let mut count = 0;
    for (at, in_bucket) in durations.buckets.iter().enumerate() {
        count += in_bucket;
        write!(out, "agent_step_duration_ms_bucket{{{set},le=\"")?;
        match BOUNDS_MS.get(at) {
            Some(bound) => write!(out, "{bound}.0")?,
            None => out.push_str("+Inf"),
        }
        write!(out, "\"}} {count}")?;
        if let Some(exemplar) = exemplar(at).filter(|_| *in_bucket > 0) {
            let seconds = exemplar.at / SECOND;
            write!(out, " # {{trace_id=\"{}\"}} {} {seconds}.0", exemplar.trace, exemplar.took_ms)?;
        }
        out.push('\n');
    }
    writeln!(out, "agent_step_duration_ms_sum{{{set}}} {}", durations.sum_ms)?;
    writeln!(out, "agent_step_duration_ms_count{{{set}}} {count}")
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}.")?;
    writeln!(out, "# TYPE {name} {kind}")
}

fn separator(labels: &Labels) -> &'static str {
    if labels.pairs().next().is_some() { "," } else { "" }
}

/// A label set, without its braces.
struct Set<'l>(&'l Labels);

impl fmt::Display for Set<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.pairs().enumerate() {
            write!(f, "{}{name}=\"{}\"", if at > 0 { "," } else { "" }, Escaped(value))?;
        }
        Ok(())
    }
}

/// The label of a repo, where there is one.
struct Repo<'r>(&'r str);

impl fmt::Display for Repo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "repo=\"{}\"", Escaped(self.0)) }
    }
}

/// A label's value between its quotes.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}
