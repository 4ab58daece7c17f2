//! JUnit XML: a suite for each file, a case for each step container.
//!
//! The layout that CI systems read (<https://github.com/testmoapp/junitxml>): counts on the suite, so the cases of one file
//! are kept until it ends.

use std::sync::Arc;

use super::super::manifest::Refusal;
use super::super::step::{Step, is_failure};
use crate::cli::xml::{Ending, escaped, testcase};
use crate::inject::reason::SkipReason;

/// The class of what belongs to no step.
const CLASS: &str = "stepspan";

/// A test case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its file.
    pub suite: Arc<str>,
    verdict: Verdict,
    xml: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped,
    Failed,
    Broken,
}

/// The cases of one file.
#[derive(Debug)]
pub(crate) struct Suite {
    name: Arc<str>,
    /// By verdict.
    counts: [usize; 4],
    xml: String,
}

/// Gives the cases of a step: its containers, or itself where none was looked at.
pub(super) fn cases(step: &Step<'_>, mut each: impl FnMut(Case)) {
    let (pod, name) = (step.name(), step.step_name());
    let reviewed = &step.reviewed;
    let warnings = reviewed.warnings.join("\n");
    let conditions =
        step.conditions.iter().map(|condition| format!("only if {condition}")).collect::<Vec<_>>().join("\n");
    let case = |container: &str, reason: Option<&SkipReason>| {
        let title = [pod.as_str(), container].join(" ");
        let class = if name.is_empty() { CLASS } else { &name };
        Case::new(&step.file, [title.trim_end(), class], reason, [&warnings, &conditions])
    };
    let containers = &reviewed.decision.containers;
    if containers.is_empty() {
        return each(case("", reviewed.reason.as_ref()));
    }
    // A patch that was refused leaves the containers' own decisions as if it had not been.
    let refused = reviewed.reason.as_ref().filter(|reason| is_failure(reason));
    for container in containers {
        each(case(&container.name, container.skipped.as_ref().or(refused)));
    }
}

impl Case {
    fn new(file: &Arc<str>, names: [&str; 2], reason: Option<&SkipReason>, [text, note]: [&str; 2]) -> Self {
        let (verdict, element) = match reason {
            None => (Verdict::Passed, None),
            Some(reason) if is_failure(reason) => (Verdict::Failed, Some("failure")),
            Some(_) => (Verdict::Skipped, Some("skipped")),
        };
        let message = reason.map(ToString::to_string).unwrap_or_default();
        let ending = element.map(|element| Ending { element, message: &message, text });
        Self { suite: file.clone(), verdict, xml: testcase(names, ending, note) }
    }

    /// The case of a document that is no input.
    pub fn of_refusal(file: &Arc<str>, refusal: &Refusal) -> Self {
        let title = format!("line {}", refusal.line);
        let text = refusal.hint.as_deref().unwrap_or_default();
        let ending = Ending { element: "error", message: &refusal.message, text };
        Self { suite: file.clone(), verdict: Verdict::Broken, xml: testcase([&title, CLASS], Some(ending), "") }
    }
}

impl Suite {
    /// A suite without cases.
    pub fn new(name: Arc<str>) -> Self {
        Self { name, counts: [0; 4], xml: String::new() }
    }

    /// Whether a case belongs here.
    pub fn holds(&self, case: &Case) -> bool {
        Arc::ptr_eq(&self.name, &case.suite)
    }

    /// Adds a case.
    pub fn add(&mut self, case: &Case) {
        self.counts[case.verdict as usize] += 1;
        self.xml.push_str(&case.xml);
    }

    /// Writes the suite.
    pub fn write(&self, out: &mut Vec<u8>) {
        let [passed, skipped, failed, broken] = self.counts;
        let head = format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"{broken}\" skipped=\"{skipped}\">",
            escaped(&self.name),
            passed + skipped + failed + broken,
        );
        super::line(out, &head);
        out.extend_from_slice(self.xml.as_bytes());
        super::line(out, "  </testsuite>");
    }
}
