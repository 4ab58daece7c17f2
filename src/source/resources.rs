//! Policies as resources: what the watch has told, which of it is in force, and what each one's status should say.
//!
//! Each resource is checked and compiled alone: one that is wrong never keeps another from being in force. Where a version is
//! wrong, the last good one of the same object stays, on the replicas that had it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::policy::{
    PolicyError, PolicySet,
    compile::Rules,
    spec::{Condition, Status, StatusError},
};

/// Most mistakes in a status, and most characters of each text in it: together a quarter of what etcd takes.
const MAX_ERRORS: usize = 128;
const MAX_TEXT: usize = 1024;

/// What the watch tells, in its order.
#[derive(Debug, Clone)]
pub enum Change {
    /// A list begins; what is not in it is gone at its end.
    Listing,
    /// An entry of the list.
    Listed(Value),
    /// The list is whole.
    AllListed,
    /// A resource is new or changed.
    Put(Value),
    /// A resource is gone.
    Gone(String),
}

/// What a change did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The policies in force are others.
    pub changed: bool,
    /// The mistakes of a version that was refused, an entry for each.
    pub refused: Vec<String>,
}

/// All resources known.
#[derive(Debug, Default)]
pub struct Resources {
    rules: Rules,
    listed: bool,
    known: BTreeMap<String, Resource>,
    listing: Option<BTreeMap<String, Resource>>,
    /// The list being told has versions that were not in force before.
    listed_others: bool,
}

/// The newest good version of a resource.
#[derive(Debug)]
pub struct InForce {
    /// Its `metadata.uid`.
    pub uid: String,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// A set of this one policy.
    pub set: PolicySet,
}

#[derive(Debug)]
struct Resource {
    uid: String,
    generation: i64,
    errors: Vec<PolicyError>,
    in_force: Option<InForce>,
    /// As it is stored.
    status: Option<Status>,
}

impl Resources {
    /// No resource yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Whether the first list has come.
    pub fn listed(&self) -> bool {
        self.listed
    }

    /// Takes in what the watch tells.
    pub fn hear(&mut self, change: Change) -> Effect {
        match change {
            Change::Listing => {
                // A list that broke off begins anew: what it had told of is known as before.
                let broken_off = self.listing.replace(BTreeMap::new());
                self.known.extend(broken_off.unwrap_or_default());
                Effect::default()
            }
            Change::Listed(object) => {
                let name = name_of(&object).to_owned();
                let before = self.known.remove(&name);
                let (now, effect) = self.put(object, before);
                self.listing.get_or_insert_default().insert(name, now);
                // In force together with the rest of the list.
                self.listed_others |= effect.changed;
                Effect { changed: false, ..effect }
            }
            Change::AllListed => {
                let listing = self.listing.take().unwrap_or_default();
                // Those of before that were listed have moved; what is left is gone.
                let gone = std::mem::replace(&mut self.known, listing);
                let some_gone = gone.values().any(|resource| resource.in_force.is_some());
                let changed = std::mem::take(&mut self.listed_others) || some_gone;
                self.listed = true;
                Effect { changed, refused: Vec::new() }
            }
            Change::Put(object) => {
                let name = name_of(&object).to_owned();
                let before = self.known.remove(&name);
                let (now, effect) = self.put(object, before);
                self.known.insert(name, now);
                effect
            }
            Change::Gone(name) => {
                let gone = self.known.remove(&name);
                Effect { changed: gone.is_some_and(|resource| resource.in_force.is_some()), refused: Vec::new() }
            }
        }
    }

    fn put(&self, object: Value, before: Option<Resource>) -> (Resource, Effect) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        // A status that somebody else wrote is one to be written anew.
        let status = object.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
        let before = before.filter(|before| before.uid == uid);
        if let Some(same) = before.as_ref().filter(|before| before.generation == generation) {
            let errors = same.errors.clone();
            let in_force = before.and_then(|before| before.in_force);
            return (Resource { uid, generation, errors, in_force, status }, Effect::default());
        }
        let last = before.and_then(|before| before.in_force);
        match PolicySet::from_resource(object, &self.rules) {
            Ok(set) => {
                let in_force = Some(InForce { uid: uid.clone(), generation, set });
                let effect = Effect { changed: true, refused: Vec::new() };
                (Resource { uid, generation, errors: Vec::new(), in_force, status }, effect)
            }
            Err(errors) => {
                let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                let effect = Effect { changed: false, refused: vec![told] };
                (Resource { uid, generation, errors, in_force: last, status }, effect)
            }
        }
    }

    /// The versions in force, with their names.
    pub fn in_force(&self) -> impl Iterator<Item = (&str, &InForce)> {
        // While a list is coming in, those not yet told again are still in force.
        let all = self.known.iter().chain(self.listing.iter().flatten());
        all.filter_map(|(name, resource)| Some((name.as_str(), resource.in_force.as_ref()?)))
    }

    /// All mistakes of all resources, a line each; `None` where there are none.
    pub fn errors(&self) -> Option<String> {
        let all = self.known.values().flat_map(|resource| &resource.errors);
        let lines: Vec<String> = all.map(ToString::to_string).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The statuses that have to be written: those that say something else than they should. `now` is RFC 3339.
    pub fn outdated(&self, now: &str) -> Vec<(String, Status)> {
        let wanted = self.known.iter().map(|(name, resource)| (name, resource, resource.wanted(now)));
        wanted.filter(|(_, r, wanted)| r.status.as_ref() != Some(wanted)).map(|(n, _, w)| (n.clone(), w)).collect()
    }
}

impl Resource {
    fn wanted(&self, now: &str) -> Status {
        let accepted = match self.errors.first() {
            None => ("True", "Valid", "the spec has no mistake".to_owned()),
            Some(first) => {
                let count = self.errors.len();
                let more =
                    if count > 1 { format!(" (and {} more: see status.errors)", count - 1) } else { String::new() };
                let place = if first.path.is_empty() { String::new() } else { format!("{}: ", first.path) };
                ("False", "Invalid", cut(&format!("{place}{}{more}", first.message)))
            }
        };
        let ready = match &self.in_force {
            Some(last) if last.generation == self.generation => ("True", "InForce", "in force".to_owned()),
            Some(InForce { generation, .. }) => {
                let stays =
                    format!("generation {generation} stays in force on the replicas that had it; {}", accepted.2);
                ("False", "EarlierGeneration", cut(&stays))
            }
            None => ("False", accepted.1, accepted.2.clone()),
        };
        let error = |error: &PolicyError| StatusError {
            path: cut(&error.path),
            message: cut(&error.message),
            hint: error.hint.as_deref().map(cut),
        };
        let more = self.errors.len().saturating_sub(MAX_ERRORS);
        let more = (more > 0).then(|| StatusError {
            path: "spec".into(),
            message: format!("{more} more mistakes"),
            hint: Some("stepspan dry-run --policy on the manifest lists all".into()),
        });
        let errors = self.errors.iter().take(MAX_ERRORS).map(error).chain(more);
        Status {
            observed_generation: self.generation,
            conditions: vec![self.condition("Accepted", accepted, now), self.condition("Ready", ready, now)],
            errors: errors.collect(),
        }
    }

    /// A condition that keeps the time of its last transition while its status stays.
    fn condition(&self, kind: &str, (status, reason, message): (&str, &str, String), now: &str) -> Condition {
        let before = self.status.iter().flat_map(|status| &status.conditions);
        let same = before.into_iter().find(|condition| condition.r#type == kind && condition.status == status);
        Condition {
            r#type: kind.to_owned(),
            status: status.to_owned(),
            observed_generation: self.generation,
            last_transition_time: same.map_or(now, |condition| &condition.last_transition_time).to_owned(),
            reason: reason.to_owned(),
            message,
        }
    }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT { text.to_owned() } else { text.chars().take(MAX_TEXT).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, generation: i64, spec: &Value) -> Value {
        json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "InjectionPolicy", "spec": spec,
            "metadata": {"name": name, "uid": format!("uid-of-{name}"), "generation": generation, "managedFields": []}})
    }

    fn names(resources: &Resources) -> Vec<(String, i64)> {
        resources.in_force().map(|(name, version)| (name.to_owned(), version.generation)).collect()
    }

    fn status<'a>(all: &'a [(String, Status)], name: &str) -> &'a Status {
        &all.iter().find(|(n, _)| n == name).unwrap().1
    }

    #[test]
    fn a_broken_resource_blinds_no_other_and_keeps_its_last_good_version() {
        let mut resources = Resources::new(Rules::default());
        for object in [object("a", 1, &json!({})), object("b", 1, &json!({"priority": 5}))] {
            assert!(resources.hear(Change::Put(object)).changed);
        }
        let effect =
            resources.hear(Change::Put(object("a", 2, &json!({"match": {"when": ["1 +"]}, "enviroment": "x"}))));
        assert!(!effect.changed && effect.refused[0].contains("injectionpolicy/a: spec.enviroment"), "{effect:?}");
        assert_eq!(names(&resources), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        let outdated = resources.outdated("2026-01-01T00:00:00Z");
        let [accepted, ready] = &status(&outdated, "a").conditions[..] else { panic!() };
        assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "Invalid"));
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "EarlierGeneration"));
        assert_eq!(status(&outdated, "a").errors.len(), 2, "all mistakes: {outdated:?}");
        assert_eq!(status(&outdated, "b").conditions[1].status, "True");
        assert!(resources.hear(Change::Put(object("a", 3, &json!({})))).changed);
        assert_eq!(names(&resources)[0], ("a".to_owned(), 3));
        assert_eq!(resources.errors(), None);
        assert!(resources.hear(Change::Gone("a".into())).changed);
        assert!(!resources.hear(Change::Gone("a".into())).changed);
    }

    #[test]
    fn an_object_of_the_same_name_is_another_one() {
        let mut resources = Resources::new(Rules::default());
        resources.hear(Change::Put(object("a", 1, &json!({}))));
        let mut other = object("a", 1, &json!({"nonsense": 1}));
        other["metadata"]["uid"] = "another".into();
        resources.hear(Change::Put(other));
        assert_eq!(names(&resources), []);
    }

    #[test]
    fn a_status_that_says_what_it_should_is_left_alone_and_keeps_its_times() {
        let mut resources = Resources::new(Rules::default());
        let mut policy = object("a", 1, &json!({}));
        resources.hear(Change::Put(policy.clone()));
        let written = resources.outdated("2026-01-01T00:00:00Z").remove(0).1;
        policy["status"] = serde_json::to_value(&written).unwrap();
        assert_eq!(resources.hear(Change::Put(policy.clone())), Effect::default(), "its own write changes nothing");
        assert_eq!(resources.outdated("2026-02-02T00:00:00Z"), []);
        policy["metadata"]["generation"] = 2.into();
        policy["spec"] = json!({"nonsense": 1});
        resources.hear(Change::Put(policy));
        let changed = resources.outdated("2026-03-03T00:00:00Z").remove(0).1;
        assert_eq!(changed.conditions[0].last_transition_time, "2026-03-03T00:00:00Z");
        assert_eq!(changed.observed_generation, 2);
    }

    #[test]
    fn a_status_that_cannot_hold_all_mistakes_says_how_many_more_there_are() {
        let mut resources = Resources::new(Rules::default());
        let wrong: serde_json::Map<_, _> = (0..MAX_ERRORS + 7).map(|n| (format!("x{n}"), json!(1))).collect();
        resources.hear(Change::Put(object("a", 1, &wrong.into())));
        let outdated = resources.outdated("2026-01-01T00:00:00Z");
        let errors = &status(&outdated, "a").errors;
        assert_eq!(errors.len(), MAX_ERRORS + 1);
        assert_eq!(errors[MAX_ERRORS].message, "7 more mistakes");
    }

    #[test]
    fn during_a_list_the_old_ones_stay_and_after_it_only_the_listed_do() {
        let mut resources = Resources::new(Rules::default());
        assert!(!resources.listed());
        resources.hear(Change::Put(object("a", 1, &json!({}))));
        resources.hear(Change::Put(object("b", 1, &json!({}))));
        resources.hear(Change::Listing);
        assert!(!resources.hear(Change::Listed(object("b", 1, &json!({})))).changed);
        assert_eq!(names(&resources).len(), 2);
        assert!(resources.hear(Change::AllListed).changed && resources.listed());
        assert_eq!(names(&resources), [("b".to_owned(), 1)]);
        for change in [Change::Listing, Change::Listed(object("b", 1, &json!({})))] {
            resources.hear(change);
        }
        assert!(!resources.hear(Change::AllListed).changed, "nothing is gone");
        for change in [Change::Listing, Change::Listed(object("b", 2, &json!({"nonsense": 1}))), Change::Listing] {
            resources.hear(change);
        }
        assert_eq!(names(&resources), [("b".to_owned(), 1)], "a list that breaks off takes nothing out of force");
    }
}
