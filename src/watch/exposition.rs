//! The metrics of steps as `OpenMetrics` text (specification 1.0, section "Text format").
//!
//! Written here: prometheus-client's histograms cannot begin with what was counted before, and its exemplars can be made by nothing but them.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::counts::{BOUNDS_MS, Durations, Labels, Sums};
use super::ledger::Exemplar;
use super::steps::{Steps, help};
use crate::trace::outcome::Outcome;
use crate::trace::status::SECOND;

/// All of it.
pub(super) fn write(steps: &Steps, out: &mut String) -> fmt::Result {
    head(out, "agent_step_duration_ms", "histogram")?;
    for (labels, sums) in &steps.sums {
        let exemplars = steps.exemplars.get(labels);
        for (outcome, durations) in sums.shown() {
            let exemplar = |bucket| exemplars?.get(&(outcome, bucket));
            histogram((labels, outcome), durations, exemplar, out)?;
        }
    }
    counter(steps, "agent_step_success_total", |sums| sums.success, out)?;
    counter(steps, "agent_step_fail_total", |sums| sums.fail, out)?;
    head(out, "agent_steps_in_flight", "gauge")?;
    for repo in steps.repos() {
        let count = steps.active.steps.get(repo).copied().unwrap_or_default();
        writeln!(out, "agent_steps_in_flight{{{}}} {count}", Repo(repo))?;
    }
    head(out, "agent_prs_active", "gauge")?;
    for repo in steps.repos() {
        let count = steps.active.prs.get(repo).map_or(0, BTreeSet::len);
        writeln!(out, "agent_prs_active{{{}}} {count}", Repo(repo))?;
    }
    Ok(())
}

fn counter(steps: &Steps, name: &str, of: fn(&Sums) -> u64, out: &mut String) -> fmt::Result {
    head(out, name, "counter")?;
    for (labels, sums) in &steps.sums {
        writeln!(out, "{name}{{{}}} {}", Set(labels), of(sums))?;
    }
    Ok(())
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

/// A family is called without the suffix that its counters have.
fn head(out: &mut String, name: &str, kind: &str) -> fmt::Result {
    let (family, help) = (name.strip_suffix("_total").unwrap_or(name), help(name));
    writeln!(out, "# HELP {family} {help}.")?;
    writeln!(out, "# TYPE {family} {kind}")
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
