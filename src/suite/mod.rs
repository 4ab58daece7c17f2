//! Policy suites: cases of a step, and what has to become of it.
//!
//! `tests.yaml` beside a policy -> [`load`] (files; `faults`, places of mistakes; `check` and `pointer`, what says nothing) -> [`run`] (expansion, review) -> `expect` (`part`, for
//! `contains`) -> [`Outcome`]s. What holds for every patch is checked in every case without asking ([`laws`]). [`coverage`] says what of the policies no case has tried, [`update`]
//! what expectations would have to be; [`scaffold`] makes a first policy and suite.

mod check;
pub mod coverage;
mod expect;
mod faults;
mod laws;
pub mod load;
mod part;
mod pointer;
pub mod run;
pub mod scaffold;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod update;

/// What became of a case.
#[derive(Debug)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// Line of the suite on which it starts.
    pub line: usize,
    /// What is not as it should be; empty where the case passes.
    pub failures: Vec<Failure>,
    /// Why the step was treated so, in lines.
    pub explanation: Vec<String>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was looked at, such as `values.repo`.
    pub what: String,
    /// What was expected, and what is; texts of several lines are shown as a diff.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl Outcome {
    /// Of a case that was lost to a fault of ours.
    pub fn lost(case: String, line: usize) -> Self {
        let failure = Failure::new("stepspan", "an outcome", "a fault in stepspan: please report it");
        Self { case, line, failures: vec![failure], explanation: Vec::new() }
    }
}

impl Failure {
    fn new(what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), found: found.into() }
    }
}
