//! On pods as a controller makes them, some of which admission has marked.

use serde_json::{Value, json};

use super::facts::Facts;
use super::judge::{Cause, State, Step, judge};
use super::report::{Report, Tally};
use crate::argo::Layout;
use crate::context::Context;
use crate::doctor::breaker::Breakers;
use crate::doctor::install::Install;
use crate::doctor::pod::{Shape, pod};
use crate::policy::PolicySet;
use crate::policy::compile::Rules;

/// A step's pod, by minute of its creation, with what admission wrote.
fn step(namespace: &str, minute: u32, status: Option<&str>) -> Value {
    let shape = Shape {
        layout: Layout::InitContainer,
        image: "registry.example/argoexec:v3.7.3",
        resources: false,
        opted_out: false,
    };
    let mut pod = pod(shape);
    pod["metadata"]["namespace"] = namespace.into();
    pod["metadata"]["name"] = format!("step-{minute}").into();
    pod["metadata"]["creationTimestamp"] = format!("2026-11-23T10:{minute:02}:00Z").into();
    if let Some(status) = status {
        pod["metadata"]["annotations"]["stepspan.dev/status"] = status.into();
    }
    pod
}

fn configuration() -> Value {
    json!({
        "metadata": {
            "name": "stepspan", "labels": {"app.kubernetes.io/name": "stepspan"},
            "creationTimestamp": "2026-11-23T10:10:00Z", "annotations": {},
        },
        "webhooks": [{
            "name": "pods.stepspan.dev",
            "clientConfig": {"service": {"namespace": "stepspan", "name": "stepspan"}},
            "namespaceSelector": {"matchExpressions":
                [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]},
            "objectSelector": {"matchExpressions": [{"key": "no-spans", "operator": "DoesNotExist"}]},
        }],
    })
}

fn judged(pods: &[Value], configuration: Option<&Value>, breakers: &Breakers) -> Vec<Step> {
    let installs: Vec<Install> = configuration.and_then(|c| Install::of(c, None)).into_iter().collect();
    let policies = PolicySet::embedded(&Rules::default()).unwrap();
    judge(pods, &Facts { installs, breakers: breakers.clone(), policies, context: Context::default() })
}

fn states(pods: &[Value], configuration: Option<&Value>) -> Vec<State> {
    judged(pods, configuration, &Breakers::default()).into_iter().map(|step| step.state).collect()
}

#[test]
fn what_admission_wrote_counts() {
    let pods = [
        step("ci", 1, Some("injected")),
        step("ci", 2, Some("skipped: missing-repo")),
        step("ci", 3, Some("skipped: resource")),
    ];
    let wanted = [State::Injected, State::Skipped("missing-repo".into()), State::LeftOut("resource".into())];
    assert_eq!(states(&pods, Some(&configuration())), wanted);
}

#[test]
fn where_it_wrote_nothing_the_policies_say_who_was_meant_and_the_webhook_why_nobody_looked() {
    let missed = |cause| vec![State::Missed(cause)];
    let late = step("ci", 20, None);
    assert_eq!(states(std::slice::from_ref(&late), None), missed(Cause::NotInstalled));
    assert_eq!(states(std::slice::from_ref(&late), Some(&configuration())), missed(Cause::Unanswered));
    assert_eq!(states(&[step("ci", 9, None)], Some(&configuration())), missed(Cause::BeforeInstall));
    assert_eq!(states(&[step("kube-system", 20, None)], Some(&configuration())), missed(Cause::NamespaceNotSelected));
    let mut unselected = late.clone();
    unselected["metadata"]["labels"]["no-spans"] = "yes".into();
    assert_eq!(states(&[unselected], Some(&configuration())), missed(Cause::PodNotSelected));

    let mut agent = late.clone();
    agent["metadata"]["labels"]["workflows.argoproj.io/component"] = "agent".into();
    assert_eq!(states(&[agent], Some(&configuration())), [State::LeftOut("agent".into())]);
    let mut nobodys = late;
    nobodys["metadata"]["annotations"]["stepspan.dev/inject"] = "false".into();
    assert_eq!(states(&[nobodys], Some(&configuration())), [State::LeftOut("opted-out".into())]);
}

#[test]
fn what_stops_injection_now_stopped_it_since_the_last_that_was_injected() {
    let pods = [step("ci", 20, None), step("ci", 21, Some("injected")), step("ci", 22, None), step("builds", 23, None)];
    let causes = |configuration: &Value, breakers: &Breakers| -> Vec<Option<Cause>> {
        let cause = |step: Step| match step.state {
            State::Missed(cause) => Some(cause),
            _ => None,
        };
        judged(&pods, Some(configuration), breakers).into_iter().map(cause).collect()
    };
    let mut paused = configuration();
    paused["metadata"]["annotations"]["stepspan.dev/paused"] = "true".into();
    let wanted = [Some(Cause::Unanswered), None, Some(Cause::Paused), Some(Cause::Paused)];
    assert_eq!(causes(&paused, &Breakers::default()), wanted);

    let stop = json!({"namespaces": {"ci": {"phase": "open", "since": "2026-11-23T10:22:00Z",
        "until": "2026-11-23T10:32:00Z", "reason": "the image cannot be pulled"}}});
    let map = json!({"data": {"stopped": stop.to_string()}});
    let service = ("stepspan".to_owned(), "stepspan".to_owned());
    let open: Breakers = [(service, Ok(map))].into_iter().collect();
    let wanted = [Some(Cause::Unanswered), None, Some(Cause::BreakerOpen), Some(Cause::Unanswered)];
    assert_eq!(causes(&configuration(), &open), wanted);
}

#[test]
fn a_window_ends_where_a_pod_was_injected_again() {
    let pods = [
        step("ci", 20, None),
        step("ci", 21, None),
        step("builds", 22, Some("injected")),
        step("ci", 23, None),
        step("ci", 24, Some("injected")),
        step("ci", 25, None),
        step("ci", 26, Some("skipped: data")),
    ];
    let report = Report::of(&judged(&pods, Some(&configuration()), &Breakers::default()));
    let windows: Vec<_> = report
        .windows
        .iter()
        .map(|w| (w.outcome, w.reason.as_str(), w.pods, &w.from[14..16], &w.to[14..16], w.example.as_str()))
        .collect();
    let wanted = [
        ("missed", "unanswered", 3, "20", "23", "step-23"),
        ("missed", "unanswered", 1, "25", "25", "step-25"),
        ("left-out", "data", 1, "26", "26", "step-26"),
    ];
    assert_eq!(windows, wanted);
    assert_eq!(report.total, Tally { injected: 2, missed: 4, skipped: 0, left_out: 1 });
    assert_eq!((report.coverage, report.namespaces["builds"].percent()), (33, 100));
    assert_eq!(Report::of(&[]).coverage, 100);
}
