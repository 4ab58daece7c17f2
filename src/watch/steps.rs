//! The metrics of steps as they may be shown, in whatever form.

use std::collections::{BTreeMap, BTreeSet};

use super::counts::{Labels, Sums};
use super::ledger::Exemplars;
use super::seen::Active;

/// What is shown of the steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    pub(super) sums: BTreeMap<Labels, Sums>,
    pub(super) active: Active,
    pub(super) exemplars: Exemplars,
}

impl Steps {
    /// Those whose gauges are shown: one that has nothing that runs any more has 0, as long as its counts are there.
    pub(super) fn repos(&self) -> BTreeSet<&str> {
        let counted = self.sums.keys().map(|labels| labels.get("repo"));
        self.active.steps.keys().map(String::as_str).chain(counted).collect()
    }
}

/// Names, and what they mean.
const HELP: [(&str, &str); 5] = [
    ("agent_step_duration_ms", "Milliseconds that a step took, in whole seconds"),
    ("agent_step_success_total", "Steps that succeeded"),
    ("agent_step_fail_total", "Steps that failed or ended in error"),
    ("agent_steps_in_flight", "Steps that run"),
    ("agent_prs_active", "Pull requests whose Workflows go on"),
];

/// What a metric means.
pub(super) fn help(name: &str) -> &'static str {
    HELP.iter().find(|(known, _)| *known == name).map_or("", |(_, help)| help)
}
