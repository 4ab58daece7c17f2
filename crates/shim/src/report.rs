//! What is told at the end: the span, the metrics, and to people one line.

use std::time::Instant;

use nix::libc;

use crate::attributes;
use crate::command::{Ended, write_quietly};
use crate::export::Signal;
use crate::identity;
use crate::otlp::{Point, Span, Status, export_metrics, export_trace};
use crate::run::Began;
use crate::step::Step;

/// One line on stderr.
pub fn say(text: &str) {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    write_quietly(&mut std::io::stderr(), format!("stepspan: {clean}\n").as_bytes());
}

/// The requests that the command's end calls for. `asked`: SIGTERM came before.
pub fn requests(
    step: &Step,
    ended: Ended,
    began: Began,
    end: Instant,
    program: &str,
    asked: bool,
) -> Vec<(Signal, Vec<u8>)> {
    let by_term = ended == Ended::Signal(libc::SIGTERM) || ended == Ended::Code(128 + libc::SIGTERM);
    let failed = ended != Ended::Code(0) && !(step.daemon && asked && by_term);
    let exported = step.sampled || (step.keep_failed && failed);
    let (start, end_nanos) = began.span(end);
    let mut requests = Vec::new();
    if exported {
        requests.push((
            Signal::Trace,
            export_trace(&span(step, ended, failed, (start, end_nanos), program), &step.resource),
        ));
    }
    if let Some(labels) = &step.labels {
        let outcome = match (failed, asked) {
            (false, _) => "success",
            (true, true) => "cancelled",
            (true, false) => "failure",
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "a duration in nanoseconds keeps more than microseconds for a hundred days"
        )]
        let duration_ms = (end_nanos - start) as f64 / 1e6;
        let ids = (identity::bytes(&step.trace_id), identity::bytes(&step.span_id));
        let point =
            Point { time: end_nanos, duration_ms, labels: labels.clone(), outcome, exemplar: exported.then_some(ids) };
        // Attributes of the pod would make a stream of each step.
        let resource = step.resource.iter().filter(|(key, _)| !key.starts_with("k8s.pod.")).cloned().collect();
        requests.push((Signal::Metrics, export_metrics(&point, &resource)));
    }
    requests
}

fn span(step: &Step, ended: Ended, failed: bool, (start, end): (u64, u64), program: &str) -> Span {
    let mut attributes = step.attributes.clone();
    attributes::at_end(&mut attributes, program, ended, failed);
    let why = || {
        ended
            .signal_name()
            .map_or_else(|| format!("exit code {}", ended.exit_code()), |name| format!("ended by {name}"))
    };
    Span {
        trace_id: identity::bytes(&step.trace_id),
        span_id: identity::bytes(&step.span_id),
        parent: identity::bytes(&step.parent),
        name: step.name.clone(),
        start,
        end,
        attributes,
        links: step.links.clone(),
        status: if failed { Status::Error(why()) } else { Status::Unset },
        sampled: step.sampled,
    }
}
