//! The policies in force: from files, from the ConfigMaps that the chart makes, and from InjectionPolicy resources.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ask::Refusal, report::Finding};
use crate::{
    policy::{
        Policy, PolicySet,
        compile::Rules,
        load::{LoadErrors, PolicyError, PolicyFile},
        selector::{globs_take, selects_namespace},
    },
    source::facts::Labels,
};

const CHECK: &str = "policies";

/// The policies that are looked at, and where they are from.
#[derive(Debug)]
pub struct Policies {
    /// The policies.
    pub set: PolicySet,
    /// Where they are from, in words.
    pub from: String,
}

impl Policies {
    /// Those that take a namespace, highest priority first: what says where its steps send their spans.
    pub fn of<'a>(&'a self, namespace: &'a str, labels: &'a Labels) -> impl Iterator<Item = &'a Policy> + 'a {
        self.set.policies().iter().map(AsRef::as_ref).filter(move |policy: &&Policy| {
            let matching = &policy.spec.r#match;
            globs_take(&matching.namespaces, namespace)
                && matching.namespace_selector.as_ref().is_none_or(|s| selects_namespace(s, namespace, labels))
        })
    }
}

/// Compiles what the cluster holds: the ConfigMap's files, the built-in policy where there is no ConfigMap, and the resources, which
/// win over files of their name. A policy that does not compile is told; the rest counts.
pub fn of_cluster(config_maps: &[Value], resources: &[Value], rules: &Rules) -> (Policies, Vec<Finding>) {
    let mut findings = Vec::new();
    let (mut sets, mut sources) = (Vec::new(), Vec::new());
    if config_maps.is_empty() {
        sets.push(PolicySet::embedded(rules).unwrap_or_default());
        sources.push("the built-in agent-steps".to_owned());
    }
    for map in config_maps {
        let name = map["metadata"]["name"].as_str().unwrap_or("?");
        let files = map["data"].as_object().into_iter().flatten();
        let file = |(file, text): (&String, &Value)| {
            Some(PolicyFile { name: format!("{name}/{file}"), text: text.as_str()?.to_owned() })
        };
        let files: Vec<_> = files.filter_map(file).collect();
        sources.push(format!("{} in ConfigMap {name}", files.len()));
        sets.push(of_files(files, rules, &mut findings));
    }
    // Of one that is not accepted, the status is told, by [`judge_resources`].
    let mut accepted = 0;
    for resource in resources.iter().filter(|resource| refusal(resource).is_none()) {
        match PolicySet::from_resource(resource.clone(), rules) {
            Ok(set) => {
                sets.push(set);
                accepted += 1;
            }
            Err(errors) => findings.extend(errors.into_iter().map(mistake)),
        }
    }
    if accepted > 0 {
        sources.push(format!("{accepted} InjectionPolicy"));
    }
    (Policies { set: PolicySet::combine(&sets), from: sources.join(", ") }, findings)
}

fn of_files(files: Vec<PolicyFile>, rules: &Rules, findings: &mut Vec<Finding>) -> PolicySet {
    let (mut good, mut set) = (Vec::new(), PolicySet::default());
    for file in files {
        good.push(file);
        // With those before it: names must be unique.
        match PolicySet::from_files(&good, rules) {
            Ok(together) => set = together,
            Err(LoadErrors(errors)) => {
                drop(good.pop());
                findings.extend(errors.into_iter().map(mistake));
            }
        }
    }
    set
}

fn mistake(mut error: PolicyError) -> Finding {
    let hint = error.hint.take().unwrap_or_else(|| "`stepspan schema` has what is allowed".into());
    Finding::fail(CHECK, error.to_string(), hint)
}

/// Why a resource was not accepted, where its status says so.
fn refusal(resource: &Value) -> Option<String> {
    let conditions = resource["status"]["conditions"].as_array()?;
    let refused = conditions.iter().find(|c| c["type"] == "Accepted" && c["status"] == "False")?;
    Some(refused["message"].as_str().or(refused["reason"].as_str()).unwrap_or("no reason is given").to_owned())
}

/// What the resources' status says.
pub fn judge_resources(resources: &[Value]) -> Vec<Finding> {
    let mut waiting: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for resource in resources {
        let name = resource["metadata"]["name"].as_str().unwrap_or("?");
        if let Some(why) = refusal(resource) {
            let hint = format!("mend it; `kubectl describe injectionpolicy {name}` has all of its status");
            findings.push(Finding::fail(CHECK, format!("InjectionPolicy {name} is not accepted: {why}"), hint));
        } else if resource["status"]["conditions"].as_array().is_none_or(Vec::is_empty) {
            waiting.push(name);
        }
    }
    if !waiting.is_empty() {
        let found = format!("nobody has looked at InjectionPolicy {} yet", waiting.join(", "));
        findings.push(Finding::warn(
            CHECK,
            found,
            "the webhook says so in the status: is it running, and is policies.resources true?",
        ));
    }
    findings
}

/// What was looked at.
pub fn judge(policies: &Policies, unread: &BTreeMap<&'static str, Refusal>) -> Vec<Finding> {
    let names: Vec<_> = policies.set.policies().iter().map(|policy| policy.name.as_str()).collect();
    let mut findings: Vec<_> = unread.values().map(|refusal| refusal.finding(CHECK)).collect();
    if names.is_empty() {
        findings.push(Finding::fail(CHECK, "no policy is in force", "see the mistakes above"));
    } else {
        findings.push(Finding::ok(CHECK, format!("{} ({})", names.join(", "), policies.from)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{doctor::report::State, policy::load::EMBEDDED};

    #[test]
    fn resources_are_held_to_their_status() {
        let resource = |name: &str, status: Value| {
            json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": name}, "spec": {},
                "status": status})
        };
        let condition =
            |status: &str| json!({"conditions": [{"type": "Accepted", "status": status, "message": "spec.x"}]});
        let all =
            [resource("good", condition("True")), resource("bad", condition("False")), resource("new", Value::Null)];
        let findings = judge_resources(&all);
        assert_eq!(findings.iter().map(|f| f.state).collect::<Vec<_>>(), [State::Fail, State::Warn]);
        assert!(findings[0].found.contains("bad is not accepted: spec.x"));
        let (policies, findings) = of_cluster(&[], &all, &Rules::default());
        let from = "the built-in agent-steps, 2 InjectionPolicy";
        assert_eq!((policies.set.policies().len(), policies.from.as_str()), (3, from));
        assert_eq!(findings, []);
    }

    #[test]
    fn one_policy_that_is_wrong_leaves_the_others() {
        let data = json!({"a.yaml": EMBEDDED, "b.yaml": "kind: x", "c.yaml": EMBEDDED});
        let map = json!({"metadata": {"name": "stepspan-policies"}, "data": data});
        let (policies, findings) = of_cluster(&[map], &[], &Rules::default());
        assert_eq!(policies.set.policies().len(), 1);
        assert!(!findings.is_empty() && findings.iter().all(|f| f.state == State::Fail));
        assert!(findings[0].found.starts_with("stepspan-policies/b.yaml:1"), "{findings:?}");
        assert!(
            findings.last().unwrap().found.contains("a policy named `agent-steps` is already there"),
            "{findings:?}"
        );
    }

    #[test]
    fn without_any_the_built_in_one_is_meant() {
        let (policies, findings) = of_cluster(&[], &[], &Rules::default());
        assert_eq!((policies.set.policies().len(), findings.len()), (1, 0));
        assert_eq!(policies.of("ci", &Labels::new()).count(), 1);
    }
}
