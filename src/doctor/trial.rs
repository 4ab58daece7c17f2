//! What the dry-runs of a pod mean: was it refused, by whom, and was it injected.

use serde_json::Value;
use stepspan_contract::names;

use super::{
    ask::Reply,
    breaker,
    install::Install,
    report::Finding,
    rules::{Place, is_asked, namespace_selected},
};
use crate::{
    admission::{Outcome, Reviewed},
    breaker::Stop,
    inject::reason::SkipReason,
};

const CHECK: &str = "trial pod";

/// What the dry-runs of one namespace came to.
#[derive(Debug, Clone, Default)]
pub struct Trials {
    /// The pod, as it would be after install.
    pub with: Reply,
    /// The same, opted out; asked where `with` was refused.
    pub without: Option<Reply>,
    /// The same as `with` with resources; asked where both were refused.
    pub with_resources: Option<Reply>,
}

/// What could keep the pod from being injected.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The install whose webhook should be asked; `None` before install.
    pub install: Option<&'a Install>,
    /// What its circuit breaker has stopped here.
    pub stop: Option<&'a Stop>,
    /// The pod's place.
    pub place: Place<'a>,
    /// What our evaluator says of it.
    pub reviewed: &'a Reviewed,
}

/// Judges the dry-runs: was the pod refused, by whom, and was it injected.
pub fn judge(trials: &Trials, expected: Expected<'_>) -> Vec<Finding> {
    if trials.with.is_success() {
        return vec![judge_injection(&trials.with, expected)];
    }
    if let Some(name) = no_dry_run(trials.with.message()) {
        let hint = format!("{name} does not say sideEffects None or NoneOnDryRun: submit a workflow instead");
        return vec![Finding::skip(CHECK, format!("the webhook {name} does not take part in dry-runs"), hint)];
    }
    let refused = |reply: &Reply| format!("{}: {}", refused_by(reply.message()), brief(reply.message()));
    match (&trials.without, &trials.with_resources) {
        (Some(without), _) if without.is_success() => {
            let hint =
                "pause injection here, and send us the message: a pod that is admitted without us must be with us";
            vec![Finding::fail(
                CHECK,
                format!("refused because of what is injected, by {}", refused(&trials.with)),
                hint,
            )]
        }
        (_, Some(with_resources)) if with_resources.is_success() => {
            let found =
                format!("steps without resources are refused, with or without stepspan, by {}", refused(&trials.with));
            let hint = "give steps and Argo's executor resources, or the namespace a LimitRange with defaults";
            vec![Finding::warn(CHECK, found, hint), judge_injection(with_resources, expected)]
        }
        _ => {
            let hint = "no step can start here: mend that first";
            vec![Finding::fail(CHECK, format!("refused, with or without stepspan, by {}", refused(&trials.with)), hint)]
        }
    }
}

fn judge_injection(reply: &Reply, expected: Expected<'_>) -> Finding {
    let pod = &reply.body;
    if is_injected(pod) {
        return match expected.install {
            Some(install) => Finding::ok(CHECK, format!("admitted, and injected by {}", install.name())),
            None => Finding::ok(CHECK, "admitted as stepspan would make it"),
        };
    }
    let why = offline(expected.reviewed);
    let Some(install) = expected.install else {
        return Finding::ok(CHECK, format!("admitted; {why}"));
    };
    if let Some(status) = pod["metadata"]["annotations"][names::STATUS_ANNOTATION].as_str() {
        let hint = "`stepspan dry-run` on a pod of this namespace says why";
        return Finding::warn(CHECK, format!("admitted, not injected: {status}"), hint);
    }
    if install.paused() {
        return Finding::warn(CHECK, "admitted, not injected: paused", "see the check `webhook`");
    }
    if let Some(finding) = not_asked(install, expected.place) {
        return finding;
    }
    if expected.reviewed.outcome != Outcome::Injected {
        return Finding::warn(CHECK, format!("admitted, not injected: {why}"), "see match in docs/policy-reference.md");
    }
    // A dry-run is no trial: it goes without us in either phase.
    if let Some(stop) = expected.stop {
        let found = format!("admitted, not injected: the circuit breaker is {}", breaker::words(stop));
        return Finding::warn(CHECK, found, "see the check `breaker`");
    }
    let said: Vec<_> = reply.warnings.iter().filter(|text| text.starts_with("stepspan")).cloned().collect();
    let found = match said.first() {
        Some(text) => format!("admitted, not injected: {text}"),
        None => "admitted, not injected: the API server did not reach the webhook, and went on without it".to_owned(),
    };
    Finding::fail(
        CHECK,
        found,
        "see endpoints and certificate above, and whether a NetworkPolicy keeps the API server out",
    )
}

/// Why the API server would not ask the install's webhook.
fn not_asked(install: &Install, place: Place<'_>) -> Option<Finding> {
    let webhook = install.pods()?;
    let name = install.name();
    let home = install.service.as_ref().map(|(namespace, _)| namespace.as_str());
    if home == Some(place.namespace) {
        let found = format!("admitted, not injected: {name} never looks at the namespace it is installed in");
        return Some(Finding::warn(CHECK, found, "install it in another namespace than the workflows'"));
    }
    if !namespace_selected(webhook, place) {
        let hint = "see namespaces.include, exclude and selector of the chart";
        return Some(Finding::warn(CHECK, format!("admitted, not injected: {name} leaves this namespace out"), hint));
    }
    if !is_asked(webhook, &webhook["rules"], place) {
        let hint = "helm upgrade writes rules and objectSelector anew";
        return Some(Finding::fail(
            CHECK,
            format!("admitted, not injected: {name} does not ask about step pods"),
            hint,
        ));
    }
    let conditions = webhook["matchConditions"].as_array().into_iter().flatten();
    let mut of_requester = conditions.filter_map(|condition| condition["expression"].as_str());
    if of_requester.any(|expression| expression.contains("userInfo")) {
        let found = "admitted; the webhook is asked for certain requesters only, and you are none";
        return Some(Finding::skip(
            CHECK,
            found,
            "look at a pod of a workflow instead: annotation stepspan.dev/status",
        ));
    }
    None
}

/// What the policies say, in words.
fn offline(reviewed: &Reviewed) -> String {
    match (reviewed.outcome, &reviewed.reason) {
        (Outcome::Injected, _) => format!("stepspan would inject it ({})", reviewed.decision.policies.join(", ")),
        (_, Some(SkipReason::Missing(key))) => format!("a step needs a value for {key}, which this pod does not have"),
        (_, Some(SkipReason::NoPolicy)) => {
            let why: Vec<_> = reviewed.decision.mismatches.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            format!("no policy takes it ({})", why.join("; "))
        }
        (_, Some(reason)) => format!("the policies leave it alone: {reason}"),
        (outcome, None) => format!("the policies leave it {}", outcome.label()),
    }
}

/// By structure, as the evaluator itself knows it: our path in a command.
fn is_injected(pod: &Value) -> bool {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut words = containers.flat_map(|container| container["command"].as_array().into_iter().flatten());
    words.any(|word| word == names::SHIM_PATH)
}

/// The webhook that keeps the API server from dry-runs (`k8s.io/apiserver/pkg/admission/plugin/webhook/errors`).
fn no_dry_run(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("admission webhook \"")?;
    let (name, rest) = rest.split_once('"')?;
    rest.starts_with(" does not support dry run").then_some(name)
}

/// Who refused, from the API server's words.
fn refused_by(message: &str) -> String {
    let quoted = |before: &str, until: &str| {
        let (_, rest) = message.split_once(before)?;
        rest.split_once(until).map(|(name, _)| name.to_owned())
    };
    if let Some(name) = quoted("admission webhook \"", "\"") {
        return format!("the webhook {name}");
    }
    if let Some(name) = quoted("failed calling webhook \"", "\"") {
        return format!("the webhook {name}, which is away");
    }
    if let Some(name) = quoted("ValidatingAdmissionPolicy '", "'") {
        return format!("the ValidatingAdmissionPolicy {name}");
    }
    if let Some(name) = ["exceeded quota: ", "status unknown for quota: "]
        .iter()
        .find_map(|before| quoted(before, ","))
        .or_else(|| quoted("failed quota: ", ":"))
    {
        return format!("the ResourceQuota {name}");
    }
    if message.contains("violates PodSecurity") {
        return "Pod Security".into();
    }
    if message.contains(" usage per ") || message.contains(" per Container is ") {
        return "a LimitRange".into();
    }
    "the API server".into()
}

/// A message without what repeats the pod's name.
fn brief(message: &str) -> String {
    let message = message.split_once(" is forbidden: ").map_or(message, |(_, rest)| rest);
    let cut = crate::text::cut(message, 300);
    if cut.len() < message.len() { format!("{cut}…") } else { cut.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::{
        argo::Layout,
        breaker::Phase,
        context::Context,
        doctor::{pod, report::State},
        policy::{PolicySet, compile::Rules},
        source::facts::Labels,
    };

    const SHAPE: pod::Shape<'_> =
        pod::Shape { layout: Layout::InitContainer, image: "e:1", resources: false, opted_out: false };

    fn refused(message: &str) -> Reply {
        Reply { status: 403, body: json!({"message": message}), ..Reply::default() }
    }

    fn admitted(body: Value) -> Reply {
        Reply { status: 201, body, ..Reply::default() }
    }

    fn install(change: impl Fn(&mut Value)) -> Install {
        let mut webhook = json!({"name": "pods.stepspan.dev", "failurePolicy": "Ignore", "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]});
        change(&mut webhook);
        let all = json!({"metadata": {"name": "stepspan-x"}, "webhooks": [webhook]});
        Install::of(&all, Some("x")).unwrap()
    }

    fn judged(trials: &Trials, install: Option<&Install>) -> Vec<(State, String)> {
        judged_with(trials, install, None)
    }

    fn judged_with(trials: &Trials, install: Option<&Install>, stop: Option<&Stop>) -> Vec<(State, String)> {
        let (namespace, labels) = (Labels::new(), pod::labels());
        let policies = PolicySet::embedded(&Rules::default()).unwrap();
        let reviewed = pod::review(&pod::pod(SHAPE), "ci", &policies, &Context::default());
        let place = Place { namespace: "ci", labels: &namespace, pod: &labels };
        let findings = judge(trials, Expected { install, stop, place, reviewed: &reviewed });
        findings.into_iter().map(|finding| (finding.state, finding.found)).collect()
    }

    fn one(with: Reply, install: Option<&Install>) -> (State, String) {
        judged(&Trials { with, ..Trials::default() }, install).remove(0)
    }

    #[test]
    fn an_answer_without_the_shim_says_why() {
        let plain = || admitted(pod::pod(SHAPE));
        let mut injected = pod::pod(SHAPE);
        injected["spec"]["containers"][1]["command"][9] = json!(names::SHIM_PATH);
        assert_eq!(one(admitted(injected), Some(&install(|_| {}))).0, State::Ok);
        assert!(one(plain(), None).1.contains("stepspan would inject it (agent-steps)"));
        let (state, found) = one(plain(), Some(&install(|_| {})));
        assert!(state == State::Fail && found.contains("did not reach the webhook"), "{found}");
        let elsewhere = install(|webhook| webhook["namespaceSelector"] = json!({"matchLabels": {"a": "b"}}));
        assert!(one(plain(), Some(&elsewhere)).1.ends_with("leaves this namespace out"));
        let requesters =
            install(|webhook| webhook["matchConditions"] = json!([{"expression": "request.userInfo.username"}]));
        assert_eq!(one(plain(), Some(&requesters)).0, State::Skip);
        let mut marked = pod::pod(SHAPE);
        marked["metadata"]["annotations"][names::STATUS_ANNOTATION] = json!("skipped: missing-repo");
        assert_eq!(one(admitted(marked), Some(&install(|_| {}))).1, "admitted, not injected: skipped: missing-repo");
    }

    #[test]
    fn an_open_breaker_is_no_broken_network() {
        let since = SystemTime::UNIX_EPOCH;
        let stop = |phase| Stop { phase, since, until: since, reason: "ErrImagePull".into() };
        let trials = Trials { with: admitted(pod::pod(SHAPE)), ..Trials::default() };
        for (phase, words) in [(Phase::Open, "is open since 1970"), (Phase::Trial, "is in trial since 1970")] {
            let (state, found) = judged_with(&trials, Some(&install(|_| {})), Some(&stop(phase))).remove(0);
            assert_eq!(state, State::Warn);
            assert!(found.contains(words) && found.contains("ErrImagePull"), "{found}");
        }
        // Who is not asked has another reason.
        let elsewhere = install(|webhook| webhook["namespaceSelector"] = json!({"matchLabels": {"a": "b"}}));
        let (_, found) = judged_with(&trials, Some(&elsewhere), Some(&stop(Phase::Open))).remove(0);
        assert!(found.ends_with("leaves this namespace out"), "{found}");
    }

    #[test]
    fn a_refusal_is_put_to_whom_it_belongs() {
        let quota = || refused(r#"pods "x" is forbidden: failed quota: compute: must specify requests.cpu"#);
        let fine = || Some(admitted(json!({})));
        let only_us = Trials { with: quota(), without: fine(), with_resources: None };
        let (state, found) = judged(&only_us, None).remove(0);
        assert_eq!(state, State::Fail);
        assert!(found.contains("by the ResourceQuota compute: failed quota"), "{found}");
        let demanding = Trials { with: quota(), without: Some(quota()), with_resources: fine() };
        assert_eq!(
            judged(&demanding, None).iter().map(|(state, _)| *state).collect::<Vec<_>>(),
            [State::Warn, State::Ok]
        );
        let all = Trials { with: quota(), without: Some(quota()), with_resources: Some(quota()) };
        assert!(judged(&all, None)[0].1.starts_with("refused, with or without stepspan"));
    }

    #[test]
    fn the_one_who_refused_is_named() {
        for (message, by) in [
            (
                r#"admission webhook "validate.kyverno.svc-fail" denied the request: no"#,
                "the webhook validate.kyverno.svc-fail",
            ),
            (r#"Internal error occurred: failed calling webhook "x.y.z": failed"#, "the webhook x.y.z, which is away"),
            (
                r#"pods "p" is forbidden: ValidatingAdmissionPolicy 'v' with binding 'b' denied"#,
                "the ValidatingAdmissionPolicy v",
            ),
            (r#"pods "p" is forbidden: exceeded quota: q, requested: pods=1"#, "the ResourceQuota q"),
            (r#"pods "p" is forbidden: violates PodSecurity "restricted:latest""#, "Pod Security"),
            (r#"pods "p" is forbidden: minimum cpu usage per Container is 1"#, "a LimitRange"),
            ("Pod \"p\" is invalid: spec", "the API server"),
        ] {
            assert_eq!(refused_by(message), by);
        }
        let message = r#"admission webhook "x.y" does not support dry run"#;
        assert_eq!(one(Reply { status: 400, ..refused(message) }, None).0, State::Skip);
    }
}
