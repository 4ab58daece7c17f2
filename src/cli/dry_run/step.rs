//! One review, and what it says to a person: which step, what became of it, whether that is a failure.

use std::fmt;
use std::sync::Arc;

use super::args::{Format, Output};
use super::compare::Pair;
use super::input::{Batch, Item};
use super::locate::Places;
use super::manifest::{self, Finder, Object, Refusal, Subject, metadata};
use super::render::{self, Piece};
use crate::admission::explain::{Explanation, explain};
use crate::admission::{Outcome, Reviewed, review};
use crate::argo::StepPod;
use crate::cli::palette::Palette;
use crate::context::Context;
use crate::inject::reason::SkipReason;
use crate::json::Json;
use crate::offline::{Expanded, Expander, Mistake};
use crate::policy::PolicySet;
use crate::yaml::{Document, Tree};

/// What all workers share.
#[derive(Debug)]
pub(super) struct Reviewer {
    pub policies: PolicySet,
    pub context: Context,
    /// Namespace of Pods that name none.
    pub namespace: String,
    pub output: Output,
    pub palette: Palette,
    pub expander: Expander,
    /// Policies to compare with.
    pub newer: Option<PolicySet>,
}

/// A reviewed object.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// Its file.
    pub file: Arc<str>,
    /// Its line.
    pub line: usize,
    /// As it came.
    pub before: Tree<'a>,
    /// What the evaluator says.
    pub reviewed: Reviewed,
    /// What has to be for the pod to be created at all.
    pub conditions: Vec<String>,
    /// What led to it, where it is asked for.
    pub explanation: Explanation,
}

/// Where an object comes from.
struct Origin<'a> {
    file: &'a Arc<str>,
    /// For pods of a Workflow.
    expanded: Option<&'a Expanded>,
    /// The same as newer policies let the Workflow carry it.
    newer: Option<&'a Expanded>,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What is to be written, in order.
    pub pieces: Vec<Piece>,
    /// How many there were.
    pub tally: Tally,
    /// Bytes of input.
    pub bytes: usize,
}

/// Numbers for the last line and the exit code.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub injected: usize,
    pub labelled: usize,
    pub skipped: usize,
    /// Selected, and could not be injected.
    pub failed: usize,
    /// Pods printed without injection.
    pub expanded: usize,
    /// Whether policies are compared.
    pub compares: bool,
    /// Compared, and not the same.
    pub changed: usize,
    /// Compared, and the same.
    pub same: usize,
    /// Manifests of other kinds.
    pub others: usize,
    /// Workflows, and what starts them or holds templates for them.
    pub workflows: usize,
    /// Documents that are no input.
    pub bad: usize,
}

/// What became of a pod, in the words that it is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Injected,
    Labelled,
    Skipped,
    /// Selected, and could not be injected.
    Failed,
}

impl Verdict {
    fn of(reviewed: &Reviewed) -> Self {
        match reviewed.outcome {
            _ if failure(reviewed).is_some() => Self::Failed,
            Outcome::Injected | Outcome::Carried => Self::Injected,
            Outcome::Labelled => Self::Labelled,
            Outcome::Skipped | Outcome::Failed => Self::Skipped,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Labelled => "labelled",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

impl Reviewer {
    /// Reviews a batch.
    pub fn batch(&self, batch: Batch) -> Done {
        let mut done = Done { bytes: batch.bytes, ..Done::default() };
        let mut buffer = Vec::new();
        for entry in batch.entries {
            let file = entry.source;
            match entry.item {
                Item::Document(document) => {
                    // Both closures write to the batch's result, one at a time.
                    let cell = std::cell::RefCell::new(&mut done);
                    let mut finder = Finder {
                        namespace: &self.namespace,
                        subject: |subject: Subject<'_>| {
                            self.subject(
                                subject,
                                &Origin { file: &file, expanded: None, newer: None },
                                *cell.borrow_mut(),
                            );
                        },
                        workflow: |tree: &Tree<'_>, line| {
                            self.workflow(tree, line, (&file, &document), *cell.borrow_mut());
                        },
                        refuse: |refusal| refuse(&file, &refusal, self.output, *cell.borrow_mut()),
                        buffer: std::mem::take(&mut buffer),
                        others: 0,
                    };
                    finder.document(&document);
                    let others = finder.others;
                    buffer = finder.buffer;
                    done.tally.others += others;
                }
                Item::Broken(error) => refuse(&file, &error.into(), self.output, &mut done),
                Item::Unreadable(message, hint) => {
                    let hint = Some(hint.to_owned());
                    refuse(&file, &Refusal { line: 0, column: None, message, hint }, self.output, &mut done);
                }
            }
        }
        done
    }

    /// The pods of a Workflow, which stands in a document of a file.
    fn workflow(&self, manifest: &Tree<'_>, line: usize, (file, document): (&Arc<str>, &Document), done: &mut Done) {
        // A tree holds nothing that has no JSON.
        let manifest = serde_json::to_value(manifest).unwrap_or_default();
        done.tally.workflows += 1;
        let found = self.expander.pods(&manifest, &self.namespace, &self.policies, &self.context);
        let places = (!found.problems.is_empty()).then(|| Places::of(document, &manifest)).flatten();
        for Mistake { message, place } in found.problems {
            let at = places.as_ref().and_then(|places| places.find(&place));
            let (line, column) = at.map_or((line, None), |at| (at.line, Some(at.column)));
            refuse(file, &Refusal { line, column, message, hint: None }, self.output, done);
        }
        let newer = self.newer.as_ref();
        let newer = newer.map(|newer| self.expander.pods(&manifest, &self.namespace, newer, &self.context).pods);
        let (mut buffer, start) = (Vec::new(), done.pieces.len());
        for (at, expanded) in found.pods.iter().enumerate() {
            if self.expander.only {
                render::expanded(expanded, self.output, &mut done.pieces);
                done.tally.expanded += 1;
                continue;
            }
            let pod = &expanded.pod;
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
            manifest::wrap(&mut buffer, namespace, |buffer| manifest::write(buffer, pod));
            let subject = Subject { review: &buffer, object: Object::Tree(pod.into()), line };
            let newer = newer.as_ref().and_then(|pods| pods.get(at));
            self.subject(subject, &Origin { file, expanded: Some(expanded), newer }, done);
        }
        render::workflow(&manifest, &found.nodes, (file, line), (self.output, start), &mut done.pieces);
    }

    fn subject(&self, subject: Subject<'_>, origin: &Origin<'_>, done: &mut Done) {
        let Subject { review: bytes, object, line } = subject;
        let file = origin.file;
        let unresolved = origin.expanded.map(|expanded| &expanded.unresolved).filter(|all| !all.is_empty());
        let own = unresolved.map(|all| Context { unresolved: all.clone(), ..self.context.clone() });
        let context = own.as_ref().unwrap_or(&self.context);
        let reviewed = review(bytes, &self.policies, context);
        if matches!(reviewed.reason, Some(SkipReason::Malformed | SkipReason::WrongKind)) {
            let message = match reviewed.reason {
                Some(SkipReason::WrongKind) => {
                    format!("AdmissionReview of a {}: Pods and Workflows are reviewed", reviewed.kind)
                }
                _ => reviewed.warnings.first().map_or_else(String::new, |w| {
                    w.strip_prefix("admitted without injection: ").unwrap_or(w).to_owned()
                }),
            };
            return refuse(file, &Refusal { line, column: None, message, hint: None }, self.output, done);
        }
        done.tally.count(&reviewed);
        // Most of the time goes into trees of values: where text is asked for and given, none is built.
        if let (Output::Of(Format::Json), Object::Text(text)) = (self.output, &object)
            && render::json_text(text, &reviewed.patch, &mut done.pieces).is_some()
        {
            return;
        }
        let before = match object.read() {
            Ok(before) => before,
            Err(error) => {
                let refusal = Refusal { line, column: None, message: error.to_string(), hint: None };
                return refuse(file, &refusal, self.output, done);
            }
        };
        let conditions = origin.expanded.map(|expanded| expanded.conditions.clone()).unwrap_or_default();
        let explanation = match self.output {
            Output::Explain | Output::ExplainJson | Output::Of(Format::Html) => {
                explain(bytes, &self.policies, context, &reviewed)
            }
            _ => Explanation::default(),
        };
        let step = Step { file: file.clone(), line, before, reviewed, conditions, explanation };
        if let Some(newer) = &self.newer {
            return self.compare(Pair { bytes, step, newer: origin.newer }, newer, context, done);
        }
        render::step(step, self.output, self.palette, &mut done.pieces);
    }
}

fn refuse(file: &Arc<str>, refusal: &Refusal, output: Output, done: &mut Done) {
    done.tally.bad += 1;
    render::refusal(file, refusal, output, &mut done.pieces);
}

impl Tally {
    /// Nothing yet.
    pub fn of(output: Output) -> Self {
        Self { compares: matches!(output, Output::Compare | Output::CompareJson), ..Self::default() }
    }

    fn count(&mut self, reviewed: &Reviewed) {
        let counter = match Verdict::of(reviewed) {
            Verdict::Injected => &mut self.injected,
            Verdict::Labelled => &mut self.labelled,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Failed => &mut self.failed,
        };
        *counter += 1;
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: Self) {
        self.injected += other.injected;
        self.labelled += other.labelled;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.expanded += other.expanded;
        self.changed += other.changed;
        self.same += other.same;
        self.others += other.others;
        self.workflows += other.workflows;
        self.bad += other.bad;
    }

    /// Pods that were reviewed.
    pub fn pods(self) -> usize {
        self.injected + self.labelled + self.skipped + self.failed + self.expanded
    }

    /// Whether there was nothing to look at: whoever reviews nothing has been given the wrong files, or none by a program that failed.
    pub fn is_of_nothing(self) -> bool {
        self.pods() + self.workflows + self.bad == 0
    }

    /// 0 good, 1 a step could not be injected, 2 bad input.
    pub fn exit_code(self) -> u8 {
        match self {
            Self { bad: 1.., .. } => 2,
            _ if self.is_of_nothing() => 2,
            Self { changed: 1.., .. } | Self { failed: 1.., same: 0, .. } => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.compares {
            write!(f, "{} changed, {} the same", self.changed, self.same)?;
        } else if self.expanded > 0 {
            write!(f, "{} pods, not injected", self.expanded)?;
        } else {
            write!(f, "{} injected", self.injected)?;
        }
        let of_one = |count: usize| if self.compares { 0 } else { count };
        let others = [
            (of_one(self.labelled), "labelled"),
            (of_one(self.skipped), "skipped"),
            (of_one(self.failed), "could not be injected"),
            (self.bad, "refused"),
            (self.others, "of other kinds passed over"),
        ];
        others.into_iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

impl Step<'_> {
    /// `namespace/name`; the name of a pod that is yet to get one ends in `*`.
    pub fn name(&self) -> String {
        let Reviewed { namespace, name, .. } = &self.reviewed;
        let made_up = metadata(&self.before, "name").is_none_or(str::is_empty);
        format!("{namespace}/{name}{}", if made_up { "*" } else { "" })
    }

    /// The step's name, where the pod is one.
    pub fn step_name(&self) -> String {
        let before = Json::from(&self.before);
        let pod = StepPod::read(&before, &self.reviewed.namespace);
        pod.and_then(|pod| pod.step_name().map(str::to_owned)).unwrap_or_default()
    }

    /// What became of it.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.reviewed)
    }

    /// Why a container that should have been injected could not be.
    pub fn failure(&self) -> Option<&SkipReason> {
        failure(&self.reviewed)
    }
}

fn failure(reviewed: &Reviewed) -> Option<&SkipReason> {
    let containers = reviewed.decision.containers.iter().filter_map(|c| c.skipped.as_ref());
    reviewed.reason.iter().chain(containers).find(|reason| is_failure(reason))
}

/// Whether a reason means "should have been, could not": all others are somebody's choice.
pub(super) fn is_failure(reason: &SkipReason) -> bool {
    match reason {
        SkipReason::PrefixNotProven
        | SkipReason::MountConflict
        | SkipReason::ReservedReference
        | SkipReason::Architecture
        | SkipReason::Windows
        | SkipReason::NoIdentity
        | SkipReason::PatchUnsafe
        | SkipReason::Missing(_)
        | SkipReason::Malformed
        | SkipReason::TooLarge
        | SkipReason::Internal => true,
        SkipReason::NotArgo
        | SkipReason::NotCreate
        | SkipReason::WrongKind
        | SkipReason::NoPolicy
        | SkipReason::OptedOut
        | SkipReason::Paused
        | SkipReason::BreakerOpen
        | SkipReason::ArtifactGc
        | SkipReason::Agent
        | SkipReason::Resource
        | SkipReason::Data
        | SkipReason::Sidecar
        | SkipReason::ContainerExcluded
        | SkipReason::AlreadyInjected => false,
    }
}
