//! Steps -> numbers by namespace, and windows of time in which pods were missed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::judge::{State, Step};

/// How many pods came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Injected.
    pub injected: usize,
    /// Meant, and nobody looked at them.
    pub missed: usize,
    /// Meant, and not injected by a decision of admission.
    pub skipped: usize,
    /// Not meant.
    #[serde(rename = "leftOut")]
    pub left_out: usize,
}

impl Tally {
    /// The share of what is meant that is injected, in percent, rounded down; 100 where nothing is meant.
    pub fn percent(self) -> usize {
        let meant = self.injected + self.missed + self.skipped;
        (self.injected * 100).checked_div(meant).unwrap_or(100)
    }

    fn add(&mut self, state: &State) {
        match state {
            State::Injected => self.injected += 1,
            State::LeftOut(_) => self.left_out += 1,
            State::Skipped(_) => self.skipped += 1,
            State::Missed(_) => self.missed += 1,
        }
    }
}

/// Pods of one namespace that were not injected for one reason, one after another: none was injected between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The namespace.
    pub namespace: String,
    /// `missed`, `skipped` or `left-out`.
    pub outcome: &'static str,
    /// The word of the reason.
    pub reason: String,
    /// How many.
    pub pods: usize,
    /// When the first was created.
    pub from: String,
    /// When the last was.
    pub to: String,
    /// The last one's name.
    pub example: String,
    /// What it means, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// In percent.
    pub coverage: usize,
    /// All namespaces together.
    pub total: Tally,
    /// Each namespace.
    pub namespaces: BTreeMap<String, Tally>,
    /// What was not injected, by time.
    pub windows: Vec<Window>,
}

impl Report {
    /// Adds up steps that are in the order of their creation.
    pub fn of(steps: &[Step]) -> Self {
        let mut report = Self::default();
        // By namespace and reason, where the window goes on.
        let mut open: BTreeMap<(&str, &'static str, String), usize> = BTreeMap::new();
        for step in steps {
            report.total.add(&step.state);
            report.namespaces.entry(step.namespace.clone()).or_default().add(&step.state);
            let hint = match &step.state {
                State::Injected => {
                    open.retain(|(namespace, _, _), _| *namespace != step.namespace);
                    continue;
                }
                State::LeftOut(_) => None,
                State::Skipped(_) => Some(SKIPPED),
                State::Missed(cause) => Some(cause.hint()),
            };
            let (outcome, reason) = step.state.words();
            let reason = reason.to_owned();
            let key = (step.namespace.as_str(), outcome, reason.clone());
            let at = *open.entry(key).or_insert_with(|| {
                report.windows.push(Window {
                    namespace: step.namespace.clone(),
                    outcome,
                    reason,
                    pods: 0,
                    from: step.created.clone(),
                    to: String::new(),
                    example: String::new(),
                    hint,
                });
                report.windows.len() - 1
            });
            if let Some(window) = report.windows.get_mut(at) {
                window.pods += 1;
                window.to.clone_from(&step.created);
                window.example.clone_from(&step.name);
            }
        }
        report.coverage = report.total.percent();
        report
    }
}

const SKIPPED: &str = "`stepspan explain pod/NAME` says why";
