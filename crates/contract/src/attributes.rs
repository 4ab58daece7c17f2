//! Names of a step's attributes: our own ("seed"), those of OpenTelemetry's semantic conventions, or both.

/// Longest value of an attribute, in bytes.
pub const LONGEST: usize = 256;

/// Seed names and what the semantic conventions 1.37 call them.
const SEMCONV: [(&str, &str); 9] = [
    ("prNumber", "vcs.change.id"),
    ("ref", "vcs.ref.head.name"),
    ("commitSha", "vcs.ref.head.revision"),
    ("workflowName", "cicd.pipeline.name"),
    ("workflow.run_id", "cicd.pipeline.run.id"),
    ("stepName", "cicd.pipeline.task.name"),
    ("workflow.job_id", "cicd.pipeline.task.run.id"),
    ("namespace", "k8s.namespace.name"),
    ("environment", "deployment.environment.name"),
];

/// What the conventions have no name for keeps ours.
const OWN: [&str; 4] = ["repo", "taskId", "agent", "nodeId"];

/// The attributes of values by their seed names, each once, in order; `names` is `seed`, `semconv` or `both`. Empty values are left out.
pub fn named(names: &str, values: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let values = || values.iter().filter(|(_, value)| !value.is_empty());
    if names != "semconv" {
        values().for_each(|(key, value)| put(&mut attributes, key, value));
    }
    if names == "seed" {
        return attributes;
    }
    for (key, value) in values() {
        match SEMCONV.iter().find(|(seed, _)| seed == key) {
            Some((_, name)) => put(&mut attributes, name, value),
            None if *key == "repo" => {
                let (owner, name) = value.rsplit_once('/').unwrap_or(("", value));
                put(&mut attributes, "vcs.repository.name", name);
                if !owner.is_empty() {
                    put(&mut attributes, "vcs.owner.name", owner);
                }
            }
            None if OWN.contains(key) && attributes.iter().any(|(name, _)| name == key) => {}
            None => put(&mut attributes, key, value),
        }
    }
    attributes
}

/// Sets an attribute, in its place where it is there.
fn put(attributes: &mut Vec<(String, String)>, key: &str, value: &str) {
    let value = clean(value);
    match attributes.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => attributes.push((key.to_owned(), value)),
    }
}

/// A value without control characters, cut.
pub fn clean(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control()).collect();
    kept[..kept.floor_char_boundary(LONGEST)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_both_names_where_both_are_wanted() {
        let values =
            [("repo", "acme/widgets"), ("taskId", "t\n1"), ("nodeId", "n"), ("workflow.job_id", "n"), ("ref", "")];
        let keys = |names| named(names, &values).into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ");
        assert_eq!(keys("seed"), "repo taskId nodeId workflow.job_id");
        let semconv = "vcs.repository.name vcs.owner.name taskId nodeId cicd.pipeline.task.run.id";
        assert_eq!(keys("semconv"), semconv);
        let both = "repo taskId nodeId workflow.job_id vcs.repository.name vcs.owner.name cicd.pipeline.task.run.id";
        assert_eq!(keys("both"), both);
        assert!(named("both", &values).contains(&("taskId".into(), "t1".into())));
    }

    /// Names of the semantic conventions' registry: VCS, CICD, Kubernetes, deployment.
    #[test]
    fn the_conventions_have_names_for_most() {
        for (key, name) in SEMCONV {
            assert_eq!(named("semconv", &[(key, "value")]), [(name.to_owned(), "value".to_owned())], "{key}");
        }
        assert!(SEMCONV.contains(&("prNumber", "vcs.change.id")));
    }

    #[test]
    fn values_are_cut_between_characters() {
        assert_eq!(clean(&"ä".repeat(200)), "ä".repeat(128));
    }
}
