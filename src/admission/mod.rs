//! bytes -> AdmissionReview -> decision -> response bytes. The one function behind every door.
//!
//! Types follow `k8s.io/api/admission/v1` (`AdmissionReview`, `AdmissionRequest`, `AdmissionResponse`); they are our
//! own because the object must stay raw JSON (law 1) and the patch must be base64 (kube's is an array of numbers).
//!
//! Invariants: [`review`] never fails and never denies; what goes wrong is an [`Outcome::Failed`] with its reason and no patch; a patch
//! it gives was applied here and its result checked.

pub mod clauses;
pub mod explain;
pub mod head;
mod request;
mod response;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::error::Category;

use self::request::{Request, Review};
use crate::argo::{PodKind, StepPod};
use crate::context::Context;
use crate::inject::carrier::{self, Carried};
use crate::inject::plan::{self, ContainerDecision};
use crate::inject::reason::SkipReason;
use crate::inject::verify;
use crate::json::Json;
use crate::patch::{self, Op};
use crate::policy::merge::Writer;
use crate::policy::value::{Asked, Value as Correlated};
use crate::policy::{Mismatch, PolicySet};

/// `apiVersion` of the only review version we speak; the API server offers what the configuration lists.
pub const API_VERSION: &str = "admission.k8s.io/v1";

/// Looks at one pod at the most; each can add what the one before made visible.
const MAX_LOOKS: usize = 8;

/// What a review did, for metrics and logs: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one step container got the shim.
    Injected,
    /// Labels and annotations only.
    Labelled,
    /// A Workflow got carrier annotations.
    Carried,
    /// Nothing to do; the reason says why.
    Skipped,
    /// Something went wrong in us or in the request; admitted unpatched.
    Failed,
}

impl Outcome {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Labelled => "labelled",
            Self::Carried => "carried",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Why the outcome is what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Matching policies, highest priority first.
    pub policies: Vec<String>,
    /// The others, each with its reason.
    pub mismatches: Vec<(String, Mismatch)>,
    /// Correlation values with their sources.
    pub values: Vec<Correlated>,
    /// Every container that is not Argo's own.
    pub containers: Vec<ContainerDecision>,
    /// Which policy wrote which leaf.
    pub writers: Arc<BTreeMap<String, Writer>>,
}

/// A part of a review and the time it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// `decode`, `match`, `plan` or `patch`.
    pub name: &'static str,
    /// From the review's start.
    pub offset: Duration,
    /// How long it took.
    pub duration: Duration,
}

/// The whole result of one review.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// `request.uid`; `None` where none could be read: the only case in which no response can be given (HTTP 400/413).
    pub uid: Option<String>,
    /// `request.namespace`.
    pub namespace: String,
    /// The object's name, or its `generateName`.
    pub name: String,
    /// `Pod`, `Workflow` or what else came.
    pub kind: String,
    /// `request.dryRun`.
    pub dry_run: bool,
    /// What was done.
    pub outcome: Outcome,
    /// Why nothing (or less) was done.
    pub reason: Option<SkipReason>,
    /// Shown to whoever created the object, and logged.
    pub warnings: Vec<String>,
    /// The patch; empty where nothing changes.
    pub patch: Vec<Op>,
    /// Why.
    pub decision: Decision,
    /// Where the time went.
    pub phases: Vec<Phase>,
}

impl Reviewed {
    /// The same review, with nothing done.
    #[must_use]
    pub fn without_patch(self, reason: SkipReason) -> Self {
        let Self { uid, namespace, name, kind, dry_run, phases, .. } = self;
        Self { uid, namespace, name, kind, dry_run, phases, ..Self::unpatched(Outcome::Skipped, reason) }
    }

    /// A result without a patch.
    pub fn unpatched(outcome: Outcome, reason: SkipReason) -> Self {
        Self {
            uid: None,
            namespace: String::new(),
            name: String::new(),
            kind: String::new(),
            dry_run: false,
            outcome,
            reason: Some(reason),
            warnings: Vec::new(),
            patch: Vec::new(),
            decision: Decision::default(),
            phases: Vec::new(),
        }
    }

    /// The response: a serialised AdmissionReview; `None` where no uid could be read.
    pub fn response(&self) -> Option<Vec<u8>> {
        response::response(self)
    }
}

/// Reviews one AdmissionReview (a Pod or a Workflow). Never fails: see [`Outcome::Failed`].
pub fn review(body: &[u8], policies: &PolicySet, context: &Context) -> Reviewed {
    let mut clock = Clock::start();
    let parsed = Review::read(body);
    clock.lap("decode");
    let mut request = match parsed {
        Ok(Review { api_version, kind, request: Some(request) })
            if kind == "AdmissionReview" && api_version == API_VERSION && !request.uid.is_empty() =>
        {
            request
        }
        Ok(_) => return malformed(body, "the fields do not fit"),
        Err(error) => return malformed(body, &place(&error)),
    };
    let mut reviewed = match (&*request.kind.group, &*request.kind.kind) {
        ("", "Pod") if !request.sub_resource.is_empty() => Reviewed::unpatched(Outcome::Skipped, SkipReason::NotCreate),
        ("", "Pod") | ("argoproj.io", "Workflow") if request.operation != "CREATE" => {
            Reviewed::unpatched(Outcome::Skipped, SkipReason::NotCreate)
        }
        ("", "Pod") => settled_pod(&mut request, policies, context, &mut clock),
        ("argoproj.io", "Workflow") => workflow(&mut request, policies, &mut clock),
        _ => Reviewed::unpatched(Outcome::Failed, SkipReason::WrongKind),
    };
    reviewed.name = object_name(&request);
    reviewed.uid = Some(request.uid.into_owned());
    reviewed.namespace = request.namespace.into_owned();
    reviewed.kind = request.kind.kind.into_owned();
    reviewed.dry_run = request.dry_run.unwrap_or(false);
    reviewed.phases = clock.phases;
    reviewed
}

/// A pod that is being created, and what came with it.
#[derive(Debug)]
pub struct WholePod<'a> {
    /// `request.uid`.
    pub uid: String,
    /// `request.namespace`.
    pub namespace: String,
    /// `request.object`, without `managedFields`.
    pub pod: Json<'a>,
}

/// The pod of a review that [`review`] would look at; `None` for any other.
pub fn whole_pod(body: &[u8]) -> Option<WholePod<'_>> {
    let request = Review::read(body).ok()?.request?;
    let creates = request.operation == "CREATE" && request.sub_resource.is_empty();
    let is_pod = request.kind.group.is_empty() && request.kind.kind == "Pod";
    let (uid, namespace) = (request.uid.into_owned(), request.namespace.into_owned());
    (creates && is_pod).then_some(WholePod { uid, namespace, pod: request.object.0 })
}

/// Reviews a pod until nothing is left to do. One look is enough for a pod that gets the shim, which the next look knows by its structure; a
/// pod that gets labels only can be seen otherwise by a policy that reads a label of another's (law 3).
fn settled_pod(request: &mut Request<'_>, policies: &PolicySet, context: &Context, clock: &mut Clock) -> Reviewed {
    let mut reviewed = pod(request, policies, context, clock);
    for _ in 0..MAX_LOOKS {
        if reviewed.outcome != Outcome::Labelled || reviewed.patch.is_empty() {
            break;
        }
        let mut patched = Value::from(&request.object.0);
        if patch::apply(&mut patched, &reviewed.patch).is_err() {
            break;
        }
        request.object.0 = patched.into();
        let next = pod(request, policies, context, clock);
        if next.outcome != Outcome::Labelled || next.patch.is_empty() {
            break;
        }
        let (mut patch, warnings) = (reviewed.patch, reviewed.warnings);
        patch.extend(next.patch);
        reviewed = Reviewed { warnings, patch, ..next };
    }
    reviewed
}

fn pod(request: &mut Request<'_>, policies: &PolicySet, context: &Context, clock: &mut Clock) -> Reviewed {
    let skipped = |reason| Reviewed::unpatched(Outcome::Skipped, reason);
    let raw = &request.object.0;
    let Some(pod) = StepPod::read(raw, &request.namespace) else { return skipped(SkipReason::NotArgo) };
    if pod.kind == PodKind::ArtifactGc {
        return skipped(SkipReason::ArtifactGc);
    }
    if plan::is_injected(&pod) {
        return skipped(SkipReason::AlreadyInjected);
    }
    let carried = Carried::read(raw);
    let asked = Asked { pod: &pod, carried: &carried, context };
    let selection = policies.select(&pod, &asked.scope());
    clock.lap("match");
    let Some(policy) = selection.effective else {
        let opted_out = selection.mismatches.iter().any(|(_, why)| *why == Mismatch::OptedOut);
        let mut reviewed = skipped(if opted_out { SkipReason::OptedOut } else { SkipReason::NoPolicy });
        reviewed.decision.mismatches = selection.mismatches;
        return reviewed;
    };
    let values = asked.values(&policy);
    let plan = plan::plan(&pod, &policy, &values, &carried, context);
    clock.lap("plan");
    let mut reviewed = Reviewed {
        outcome: if plan.skipped.is_none() { Outcome::Injected } else { Outcome::Labelled },
        warnings: plan.warnings,
        decision: Decision {
            policies: selection.policies,
            mismatches: selection.mismatches,
            values,
            containers: plan.containers,
            writers: policy.writers.clone(),
        },
        ..skipped(SkipReason::Internal)
    };
    reviewed.reason = plan.skipped;
    if matches!(reviewed.reason, Some(SkipReason::Missing(_))) {
        reviewed.outcome = Outcome::Skipped;
    }
    prove(&mut request.object.0, plan.ops, &mut reviewed);
    clock.lap("patch");
    reviewed
}

fn workflow(request: &mut Request<'_>, policies: &PolicySet, clock: &mut Clock) -> Reviewed {
    let ops = carrier::carry(&request.object.0, &request.namespace, policies);
    clock.lap("plan");
    let mut reviewed = Reviewed::unpatched(Outcome::Skipped, SkipReason::NoPolicy);
    if !ops.is_empty() {
        reviewed.outcome = Outcome::Carried;
        reviewed.reason = None;
        prove(&mut request.object.0, ops, &mut reviewed);
        clock.lap("patch");
    }
    reviewed
}

/// Gives the patch to the result if it applies and brings in nothing that could be refused (law 8). The object is used up.
fn prove(object: &mut Json<'_>, ops: Vec<Op>, reviewed: &mut Reviewed) {
    let refused = verify::fault(object, &ops);
    let fault =
        refused.or_else(|| patch::prove(object, &ops).err().map(|path| format!("{path}: the patch does not apply")));
    match fault {
        None => reviewed.patch = ops,
        Some(fault) => {
            reviewed.outcome = Outcome::Failed;
            reviewed.reason = Some(SkipReason::PatchUnsafe);
            reviewed.warnings.push(format!("admitted without injection: {fault}"));
        }
    }
}

fn malformed(body: &[u8], why: &str) -> Reviewed {
    let head = head::read_head(body);
    Reviewed {
        uid: head.uid,
        namespace: head.namespace,
        name: head.name,
        kind: head.kind,
        warnings: vec![format!("admitted without injection: not an AdmissionReview of {API_VERSION}: {why}")],
        ..Reviewed::unpatched(Outcome::Failed, SkipReason::Malformed)
    }
}

/// What is wrong where, without the parser's own words: they quote the value they met.
fn place(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Eof => "cut short",
        Category::Data => "a field of another type",
        Category::Syntax | Category::Io => "no JSON, or nested too deep",
    };
    format!("{what} at line {}, column {}", error.line(), error.column())
}

fn object_name(request: &Request<'_>) -> String {
    let metadata = &request.object.0["metadata"];
    let named = |field: &str| metadata[field].as_str().filter(|n| !n.is_empty());
    named("name")
        .or(Some(&request.name).filter(|n| !n.is_empty()).map(|n| &**n))
        .or(named("generateName"))
        .unwrap_or_default()
        .to_owned()
}

struct Clock {
    started: Instant,
    phases: Vec<Phase>,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now(), phases: Vec::with_capacity(4) }
    }

    fn lap(&mut self, name: &'static str) {
        let offset = self.phases.last().map_or(Duration::ZERO, |p| p.offset + p.duration);
        self.phases.push(Phase { name, offset, duration: self.started.elapsed().saturating_sub(offset) });
    }
}
