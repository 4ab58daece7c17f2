//! What an operator sees of runs on a real node: in Jaeger, Loki and Prometheus, behind the Collector as `examples/collector` ships it. What
//! runs there is the chart, with `watch` and without.
//!
//! `shown/` starts and asks what shows it. Trials are alone on the machine, and each takes the Workflows of those before away: every release
//! watches all of the cluster.

mod check;
mod dashboards;
mod events;
mod killed;
mod logs;
mod many;
mod outages;
mod pipeline;
mod place;
mod restarts;
mod retried;
mod rules;
pub mod shown;
mod without_watch;

use anyhow::Result;
use libtest_mimic::Trial;

use crate::{cases::Shared, harness::Cluster, node};

type Body = fn(&Cluster) -> Result<()>;

pub fn all(cluster: &Shared) -> Vec<Trial> {
    let named: [(&str, Body); 13] = [
        ("rules::each_alert_fires_when_it_should", rules::as_promtool_says),
        ("killed::each_is_told_as_what_it_was", killed::each_is_told_as_what_it_was),
        ("restarts::nothing_is_missing_and_nothing_double", restarts::nothing_is_missing_and_nothing_double),
        ("outages::a_collector_that_is_away_for_the_whole_run", outages::collector_away),
        ("outages::a_backend_that_is_away_for_the_whole_run", outages::backend_away),
        ("many::fifty_at_once", many::fifty_at_once),
        ("many::a_hundred_steps", many::a_hundred_steps),
        ("retried::what_runs_again_is_linked_to_its_first_run", retried::linked),
        ("dashboards::have_data_under_every_filter", dashboards::have_data_under_every_filter),
        ("logs::lead_from_a_line_to_its_trace_and_back", logs::lead_from_a_line_to_its_trace_and_back),
        ("events::an_event_s_trace_goes_on", events::an_event_s_trace_goes_on),
        ("pipeline::agents_from_end_to_end", pipeline::agents_from_end_to_end),
        ("without_watch::what_the_shims_alone_tell", without_watch::what_the_shims_alone_tell),
    ];
    named.map(|(name, body)| node::trial(cluster, format!("backends::{name}"), true, body)).into()
}
