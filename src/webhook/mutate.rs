//! `POST /mutate` and `POST /mutate-workflows`: one request from its body to its answer, counted, logged and traced.
//!
//! Both paths call the same `review`, which looks at the object's kind. A review is some 100 us of computing and runs on
//! the runtime's worker; only a body over [`INLINE`] goes to the blocking pool, so that it delays nobody else.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode},
    routing::post,
};
use serde::Serialize;

use crate::{
    admission::{Outcome, Reviewed, head::read_head},
    config::Limits,
    context::Context,
    inject::reason::SkipReason,
    policy::PolicySet,
    telemetry::{
        events::{Event, EventLog, Level},
        metrics::{AdmissionLabels, Cause, Held, Metrics},
        trace::{Finished, Tracer},
    },
    webhook::{
        answer,
        body::{self, Budget, Received},
        kept::Kept,
        recorder::Recorder,
        server::Peer,
    },
};

/// The evaluator: [`crate::admission::review`], or what a test puts in its place.
pub type Reviewer = fn(&[u8], &PolicySet, &Context) -> Reviewed;

const INLINE: usize = 1 << 20;

/// What every request shares.
pub(super) struct App {
    pub(super) reviewer: Reviewer,
    pub(super) kept: Kept,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Arc<EventLog>,
    pub(super) tracer: Option<Arc<Tracer>>,
    pub(super) recorder: Option<Arc<Recorder>>,
    pub(super) limits: Limits,
    pub(super) budget: Arc<Budget>,
    pub(super) needs_client: bool,
    pub(super) draining: Arc<AtomicBool>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// An answer and what is to be told about it.
struct Answered {
    reviewed: Reviewed,
    body: Option<Vec<u8>>,
    cause: Option<Cause>,
}

/// The two admission paths.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new().route("/mutate", post(mutate)).route("/mutate-workflows", post(mutate)).with_state(app)
}

async fn mutate(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let _held = Held::new(&app.metrics.in_flight);
    let (parts, body) = request.into_parts();
    let draining = app.draining.load(Ordering::Relaxed);
    if app.needs_client && !parts.extensions.get::<Peer>().is_some_and(|peer| peer.authenticated) {
        app.metrics.failed(Cause::Unauthenticated);
        return answer::refuse(StatusCode::UNAUTHORIZED, "stepspan: a client certificate is required", true);
    }
    let asked = (Instant::now(), SystemTime::now());
    let received = body::read(body, &app.limits, &app.budget).await;
    let last = received.cut.is_some() || draining;
    let (began, started) = if received.cut.is_some() { asked } else { (Instant::now(), SystemTime::now()) };
    let answered = if received.bytes.len() > INLINE {
        let shared = Arc::clone(&app);
        tokio::task::spawn_blocking(move || shared.evaluate(&received)).await.ok()
    } else {
        Some(app.evaluate(&received))
    };
    let Some(answered) = answered else {
        // Only a runtime that is shutting down cancels a blocking task.
        return answer::refuse(StatusCode::SERVICE_UNAVAILABLE, "stepspan: stopping", true);
    };
    app.report(&answered, &parts.headers, started, began.elapsed());
    match answered.body {
        Some(body) => answer::json(StatusCode::OK, body, last),
        None => refuse_without_uid(answered.cause, &app.limits, last),
    }
}

fn refuse_without_uid(cause: Option<Cause>, limits: &Limits, last: bool) -> Response<Body> {
    let cause = cause.unwrap_or(Cause::Malformed);
    let status = if cause == Cause::TooLarge { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
    let message = format!("stepspan: no request.uid to answer: {}", explain(cause, limits));
    answer::refuse(status, &message, last)
}

fn explain(cause: Cause, limits: &Limits) -> String {
    match cause {
        Cause::TooLarge => format!("the request is longer than {} bytes", limits.body_bytes),
        Cause::Timeout => format!("the request did not arrive within {}", body::seconds(limits.body_timeout)),
        Cause::Aborted => "the request broke off".into(),
        Cause::Overloaded => "too many requests at once".into(),
        Cause::Panic => "an internal error".into(),
        _ => "the request is not an AdmissionReview of admission.k8s.io/v1".into(),
    }
}

impl App {
    /// From bytes to answer; never fails, never panics.
    fn evaluate(&self, received: &Received) -> Answered {
        if let Some(cause) = received.cut {
            return self.failed(&received.bytes, cause);
        }
        if self.kept.pause.paused() {
            let head = read_head(&received.bytes);
            if head.uid.is_none() {
                return self.failed(&received.bytes, Cause::Malformed);
            }
            let mut reviewed = answer::unreviewed(head, Outcome::Skipped, SkipReason::Paused, String::new());
            reviewed.warnings.clear();
            return Answered::unpatched(reviewed, None);
        }
        let (policies, context) = (self.kept.policies.current(), self.kept.facts.current());
        let done = catch_unwind(AssertUnwindSafe(|| {
            let reviewed = (self.reviewer)(&received.bytes, &policies.set, &context);
            let body = reviewed.response();
            // What was decided, whether or not the breaker lets it through.
            if let Some(recorder) = &self.recorder {
                recorder.record(&received.bytes, &reviewed, &policies, &context);
            }
            (reviewed, body)
        }));
        match done {
            Err(_) => self.failed(&received.bytes, Cause::Panic),
            Ok((Reviewed { uid: None, .. }, _)) => self.failed(&received.bytes, Cause::Malformed),
            Ok((reviewed, None)) => Answered::unpatched(reviewed, None),
            Ok((reviewed, Some(_))) if self.stopped(&reviewed) => {
                Answered::unpatched(reviewed.without_patch(SkipReason::BreakerOpen), None)
            }
            Ok((reviewed, body)) => {
                let malformed = matches!(reviewed.reason, Some(SkipReason::Malformed));
                Answered { reviewed, body, cause: malformed.then_some(Cause::Malformed) }
            }
        }
    }

    /// Whether the breaker keeps us out of a pod that would be patched.
    fn stopped(&self, reviewed: &Reviewed) -> bool {
        reviewed.kind == "Pod"
            && reviewed.outcome == Outcome::Injected
            && !self.kept.gate.admits(&reviewed.namespace, !reviewed.dry_run)
    }

    fn failed(&self, bytes: &[u8], cause: Cause) -> Answered {
        let warning = format!("admitted without injection: {}", explain(cause, &self.limits));
        let reviewed = answer::unreviewed(read_head(bytes), Outcome::Failed, answer::reason(cause), warning);
        Answered::unpatched(reviewed, Some(cause))
    }

    fn report(&self, answered: &Answered, headers: &HeaderMap, started: SystemTime, took: Duration) {
        let reviewed = &answered.reviewed;
        let reason = reviewed.reason.as_ref().map(SkipReason::label);
        self.metrics.reviewed(&AdmissionLabels::new(&reviewed.kind, reviewed.outcome.label(), reason), took);
        if let Some(cause) = answered.cause {
            self.metrics.failed(cause);
        }
        let error =
            answered.cause.map(Cause::label).or_else(|| (reviewed.outcome == Outcome::Failed).then_some("failed"));
        if let Some(tracer) = &self.tracer {
            tracer.record(&Finished { headers, reviewed, started, took, error });
        }
        let level = level(reviewed);
        if self.events.wants(level) {
            let payload = payload(answered, reason);
            let error = error.map(str::to_owned);
            self.events.emit(&Event { action: "review", level, latency: Some(took), payload, error });
        }
    }
}

impl Answered {
    fn unpatched(reviewed: Reviewed, cause: Option<Cause>) -> Self {
        let body = reviewed.uid.as_deref().map(|uid| answer::allow(uid, &reviewed.warnings));
        Self { reviewed, body, cause }
    }
}

/// Skips that are the normal course of things are only of interest to who debugs.
fn level(reviewed: &Reviewed) -> Level {
    match (reviewed.outcome, &reviewed.reason) {
        (Outcome::Failed, _) => Level::Warn,
        (
            Outcome::Skipped,
            Some(
                SkipReason::NotArgo
                | SkipReason::NotCreate
                | SkipReason::WrongKind
                | SkipReason::NoPolicy
                | SkipReason::OptedOut
                | SkipReason::Paused
                | SkipReason::BreakerOpen
                | SkipReason::ArtifactGc
                | SkipReason::Agent
                | SkipReason::Sidecar
                | SkipReason::ContainerExcluded
                | SkipReason::AlreadyInjected,
            ),
        ) => Level::Debug,
        _ => Level::Info,
    }
}

/// What the event log tells of a review.
#[derive(Serialize)]
struct Payload<'a> {
    uid: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    dry_run: bool,
    outcome: &'static str,
    reason: Option<&'static str>,
    patch_bytes: usize,
    warnings: usize,
}

fn payload<'a>(answered: &'a Answered, reason: Option<&'static str>) -> Payload<'a> {
    let reviewed = &answered.reviewed;
    Payload {
        uid: cut(reviewed.uid.as_deref().unwrap_or_default()),
        kind: cut(&reviewed.kind),
        namespace: cut(&reviewed.namespace),
        name: cut(&reviewed.name),
        dry_run: reviewed.dry_run,
        outcome: reviewed.outcome.label(),
        reason,
        patch_bytes: answered.body.as_deref().map_or(0, answer::patch_bytes),
        warnings: reviewed.warnings.len(),
    }
}

/// No name of Kubernetes is longer than 253 bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(253)]
}
