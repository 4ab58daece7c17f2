//! The circuit breaker: where pods go without us, because our image cannot start there.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    ask::{Answer, Refusal},
    install::Install,
    report::Finding,
};
use crate::{
    breaker::{KEY, Phase, Stop, Stops, in_words},
    telemetry::events::rfc3339,
};

/// The check of the install.
pub const CHECK: &str = "breaker";
/// The end of the ConfigMap's name; before it stands the release's, as the Service has it.
const SUFFIX: &str = "-breaker";
/// More circuits are counted, not told.
const TOLD: usize = 10;

/// The ConfigMap of the release with this Service.
pub fn config_map(service: &str) -> String {
    format!("{service}{SUFFIX}")
}

/// What the installs' ConfigMaps say, by namespace and name of the Service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Breakers(BTreeMap<(String, String), Answer<Value>>);

impl FromIterator<((String, String), Answer<Value>)> for Breakers {
    fn from_iter<I: IntoIterator<Item = ((String, String), Answer<Value>)>>(answers: I) -> Self {
        Self(answers.into_iter().collect())
    }
}

impl Breakers {
    /// What keeps an install from injecting in a namespace.
    pub fn stop(&self, install: &Install, namespace: &str) -> Option<Stop> {
        let map = self.0.get(install.service.as_ref()?)?.as_ref().ok()?;
        stops(map).ok()?.of(namespace).map(|(_, stop)| stop.clone())
    }

    /// How an install's breaker stands; nothing where it is called by a URL, and its ConfigMap may be anywhere.
    pub fn judge(&self, install: &Install) -> Vec<Finding> {
        let Some(service) = &install.service else { return Vec::new() };
        let (namespace, name) = (&service.0, config_map(&service.1));
        match self.0.get(service) {
            None => Vec::new(),
            Some(Ok(map)) => judge_map(namespace, &name, map),
            Some(Err(Refusal::Absent)) => {
                let hint = "breaker.enabled turns it on; a ConfigMap that was deleted comes back with helm upgrade";
                vec![Finding::skip(CHECK, format!("off: there is no ConfigMap {name} in {namespace}"), hint)]
            }
            Some(Err(refusal)) => vec![refusal.finding(CHECK)],
        }
    }
}

fn judge_map(namespace: &str, name: &str, map: &Value) -> Vec<Finding> {
    let by_hand = format!("kubectl -n {namespace} patch configmap {name} --type=json");
    let by_hand = format!(r#"to close it now: {by_hand} -p '[{{"op":"remove","path":"/data"}}]'"#);
    match stops(map) {
        Err(error) => {
            let found = format!("`{KEY}` of ConfigMap {name} is no list of circuits, and counts as none: {error}");
            vec![Finding::warn(CHECK, found, by_hand)]
        }
        Ok(stops) if stops.is_empty() => vec![Finding::ok(CHECK, "closed: nothing is stopped")],
        Ok(stops) => {
            let hint = format!("let the image be pulled and started there; {by_hand}");
            let found = stops.all().take(TOLD).map(|(scope, stop)| format!("{}: {}", in_words(scope), words(stop)));
            let more = stops.all().count().saturating_sub(TOLD);
            let more = (more > 0).then(|| format!("{more} more namespaces"));
            found.chain(more).map(|found| Finding::warn(CHECK, found, hint.clone())).collect()
        }
    }
}

/// A circuit that is not closed, in words.
pub fn words(stop: &Stop) -> String {
    let at = |moment: SystemTime| rfc3339(OffsetDateTime::from(moment));
    match stop.phase {
        Phase::Open => format!("open since {}: {}; next trial at {}", at(stop.since), stop.reason, at(stop.until)),
        Phase::Trial => {
            format!("in trial since {}, a pod for each replica: {}", at(stop.since), stop.reason)
        }
    }
}

fn stops(map: &Value) -> serde_json::Result<Stops> {
    Stops::read(map["data"][KEY].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::{
        ask::{Kind, Right},
        report::State,
    };

    fn install() -> Install {
        let webhook = json!({"name": "pods.stepspan.dev",
            "clientConfig": {"service": {"namespace": "tracing", "name": "stepspan"}}});
        Install::of(&json!({"metadata": {"name": "stepspan-tracing"}, "webhooks": [webhook]}), None).unwrap()
    }

    fn open(reason: &str) -> Value {
        json!({"phase": "open", "since": "2026-01-02T03:04:05Z", "until": "2026-01-02T03:09:05Z", "reason": reason})
    }

    fn answered(answer: Answer<Value>) -> Breakers {
        [(install().service.unwrap(), answer)].into_iter().collect()
    }

    fn told(stopped: Option<&str>) -> Breakers {
        answered(Ok(stopped.map_or_else(|| json!({}), |text| json!({"data": {KEY: text}}))))
    }

    fn judged(breakers: &Breakers) -> Vec<(State, String)> {
        breakers.judge(&install()).into_iter().map(|finding| (finding.state, finding.found)).collect()
    }

    #[test]
    fn an_open_circuit_is_told_with_scope_reason_and_next_trial() {
        let text = json!({"namespaces": {"ci": open("ErrImagePull: no such host")}}).to_string();
        let breakers = told(Some(&text));
        let found = "namespace ci: open since 2026-01-02T03:04:05Z: ErrImagePull: no such host; next trial at 2026-01-02T03:09:05Z";
        assert_eq!(judged(&breakers), [(State::Warn, found.to_owned())]);
        assert_eq!(breakers.stop(&install(), "ci").unwrap().reason, "ErrImagePull: no such host");
        assert_eq!(breakers.stop(&install(), "builds"), None);

        let mut trial = open("ErrImagePull");
        trial["phase"] = json!("trial");
        let breakers = told(Some(&json!({"cluster": trial}).to_string()));
        assert!(judged(&breakers)[0].1.starts_with("the whole cluster: in trial since 2026-01-02T03:04:05Z"));
        assert_eq!(breakers.stop(&install(), "builds").unwrap().phase, Phase::Trial);
    }

    #[test]
    fn a_closed_one_is_as_it_should_be() {
        for text in [None, Some(""), Some("{}")] {
            assert_eq!(judged(&told(text)), [(State::Ok, "closed: nothing is stopped".to_owned())]);
            assert_eq!(told(text).stop(&install(), "ci"), None);
        }
        assert_eq!(judged(&told(Some("no")))[0].0, State::Warn);
    }

    #[test]
    fn one_that_is_off_or_may_not_be_read_is_skipped() {
        assert_eq!(judged(&answered(Err(Refusal::Absent)))[0].0, State::Skip);
        let forbidden = answered(Err(Refusal::Forbidden(Right::new("get", Kind::CONFIG_MAPS, "", Some("tracing")))));
        let (state, found) = judged(&forbidden).remove(0);
        assert_eq!((state, found.as_str()), (State::Skip, "no right to get configmaps in tracing"));
        assert_eq!(forbidden.stop(&install(), "ci"), None);
    }

    #[test]
    fn many_are_counted() {
        let namespaces: serde_json::Map<_, _> = (0..12).map(|i| (format!("ci-{i:02}"), open("x"))).collect();
        let found = judged(&told(Some(&json!({"namespaces": namespaces}).to_string())));
        assert_eq!((found.len(), found[10].1.as_str()), (11, "2 more namespaces"));
    }
}
