//! JUnit XML: a suite for each file, a case for each step container.
//!
//! The layout that CI systems read (<https://github.com/testmoapp/junitxml>): counts on the suite, so the cases of one file
//! are kept until it ends. No two cases of a report have one name: GitLab, for one, passes over all but the first.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::super::manifest::Refusal;
use super::super::step::{Step, is_failure};
use crate::cli::xml::{Ending, contents, escaped, named};
use crate::inject::reason::SkipReason;

/// The class of what belongs to no step.
const CLASS: &str = "stepspan";

/// A test case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its file.
    pub suite: Arc<str>,
    /// Its line; 0 where the file has none.
    line: usize,
    /// What it is called if nothing else is, and its class.
    names: [String; 2],
    verdict: Verdict,
    /// What its element holds.
    contents: String,
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
        let names = [title.trim_end().to_owned(), class.to_owned()];
        Case::new((&step.file, step.line), names, reason, [&warnings, &conditions])
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

/// The names that cases of a report have: of each a hash, and how often it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<u64, usize>);

impl Names {
    /// A name that no other case has: as it is given, with its place where that is taken, and with a number where that is taken too.
    fn unique(&mut self, title: &str, place: &str) -> String {
        if self.ask(title) == 1 {
            return title.to_owned();
        }
        let placed = format!("{title} ({place})");
        let mut times = self.ask(&placed);
        if times == 1 {
            return placed;
        }
        loop {
            let numbered = format!("{placed} {times}");
            if self.ask(&numbered) == 1 {
                return numbered;
            }
            times = self.ask(&placed);
        }
    }

    /// How often a name was asked for, this time included.
    fn ask(&mut self, name: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let times = self.0.entry(hasher.finish()).or_default();
        *times += 1;
        *times
    }
}

impl Case {
    fn new(
        (file, line): (&Arc<str>, usize),
        names: [String; 2],
        reason: Option<&SkipReason>,
        [text, note]: [&str; 2],
    ) -> Self {
        let (verdict, element) = match reason {
            None => (Verdict::Passed, None),
            Some(reason) if is_failure(reason) => (Verdict::Failed, Some("failure")),
            Some(_) => (Verdict::Skipped, Some("skipped")),
        };
        let message = reason.map(ToString::to_string).unwrap_or_default();
        let ending = element.map(|element| Ending { element, message: &message, text });
        Self { suite: file.clone(), line, names, verdict, contents: contents(ending, note) }
    }

    /// The case of a document that is no input.
    pub fn of_refusal(file: &Arc<str>, refusal: &Refusal) -> Self {
        let line = refusal.line;
        // A file that cannot be read has no line.
        let title = if line > 0 { format!("line {line}") } else { file.to_string() };
        let text = refusal.hint.as_deref().unwrap_or_default();
        let contents = contents(Some(Ending { element: "error", message: &refusal.message, text }), "");
        let names = [title, CLASS.to_owned()];
        Self { suite: file.clone(), line, names, verdict: Verdict::Broken, contents }
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
    pub fn add(&mut self, case: &Case, names: &mut Names) {
        let Case { suite, line, names: [title, class], verdict, contents } = case;
        self.counts[*verdict as usize] += 1;
        let place = if *line > 0 { format!("{suite}:{line}") } else { suite.to_string() };
        self.xml.push_str(&named([&names.unique(title, &place), class], contents));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_the_same() {
        let mut names = Names::default();
        let cases = [
            ("ci/g-* main", "a.yaml:1", "ci/g-* main"),
            ("ci/g-* main", "a.yaml:9", "ci/g-* main (a.yaml:9)"),
            ("ci/g-* main", "a.yaml:9", "ci/g-* main (a.yaml:9) 2"),
            ("ci/g-* main (a.yaml:9) 3", "b.yaml:1", "ci/g-* main (a.yaml:9) 3"),
            ("ci/g-* main", "a.yaml:9", "ci/g-* main (a.yaml:9) 4"),
            ("line 3", "a.yaml:3", "line 3"),
            ("line 3", "b.yaml:3", "line 3 (b.yaml:3)"),
        ];
        for (title, place, name) in cases {
            assert_eq!(names.unique(title, place), name);
        }
    }

    #[test]
    fn a_file_without_a_line_is_called_by_its_path() {
        let refusal = Refusal { line: 0, column: None, message: "no such file".to_owned(), hint: None };
        let case = Case::of_refusal(&"gone.yaml".into(), &refusal);
        let mut suite = Suite::new(case.suite.clone());
        suite.add(&case, &mut Names::default());
        assert_eq!(
            (suite.counts, suite.xml.contains("name=\"gone.yaml\" classname")),
            ([0, 0, 0, 1], true),
            "{}",
            suite.xml
        );
    }
}
