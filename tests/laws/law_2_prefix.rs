//! Law 2: the shim goes directly after the `--` that follows `emissary`; all else of argv stays.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::case::{Case, SHIM, list, shimmed, text};
use crate::dice::{cases, rows};
use crate::pods::recorded;

/// Flags of `argoexec emissary`, all of which take a value (`cmd/argoexec/commands/root.go`, `getExecutorLogOpts`).
fn takes_value(flag: &str) -> bool {
    flag.starts_with("--") && flag.len() > 2 && !flag.contains('=')
}

/// Where the user's argv begins, if the words before it are provably Argo's: read as the executor's own flag parser reads
/// them, where the word after a flag is its value, even if it is `--`.
fn user_argv(words: &[&str]) -> Option<usize> {
    let [executor, "emissary", rest @ ..] = words else { return None };
    if !["/var/run/argo/argoexec", "/argo-bin/bin/argoexec"].contains(executor) {
        return None;
    }
    let mut rest = rest.iter().enumerate();
    while let Some((at, word)) = rest.next() {
        if *word == "--" {
            return Some(at + 3);
        }
        if takes_value(word) {
            let (_, value) = rest.next()?;
            if value.starts_with("--") {
                return None;
            }
        } else if !word.starts_with("--") {
            return None;
        }
    }
    None
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn our_words_stand_where_the_user_s_argv_began(bytes in rows()) {
        sacred(&Case::of(&bytes));
    }

    #[test]
    fn any_row_of_words_is_cut_at_one_place_or_left(words in proptest::collection::vec(word(), 0..9)) {
        let mut pod = recorded().remove(0).1;
        pod["spec"]["containers"][1]["command"] = json!(words);
        sacred(&Case::plain(pod));
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    let words = [
        "/var/run/argo/argoexec",
        "/argo-bin/bin/argoexec",
        "emissary",
        "--",
        "--loglevel",
        "info",
        "--gloglevel=0",
        "sh",
        "-c",
        "---",
        "",
        "-",
        "--=",
        "/stepspan/stepspan-shim",
        "run",
    ];
    let start = 0..words.len();
    start.prop_map(move |i| words[i])
}

#[test]
fn every_step_container_of_the_recorded_pods_has_the_shim() {
    let expected = [
        ("container-3.7", vec!["main"]),
        ("script-retry-3.7", vec!["main"]),
        ("container-set-3.7", vec!["fetch", "sign", "main"]),
        ("sidecar-daemon-4.1", vec!["main"]),
        ("init-less-4.1", vec!["main"]),
        ("resource-4.1", vec![]),
        ("agent-3.7", vec![]),
        ("artifact-gc-3.7", vec![]),
    ];
    for ((name, pod), (_, names)) in recorded().into_iter().zip(expected) {
        let case = Case::plain(pod);
        let after = case.run().after;
        let containers = list(&after["spec"], "containers");
        let found: Vec<_> = shimmed(&case.pod, &after).into_iter().map(|i| text(&containers[i], "name")).collect();
        assert_eq!(found, names, "{name}");
        sacred(&case);
    }
}

#[test]
fn a_flag_that_stands_where_a_value_must_is_not_proven() {
    for value in ["--=", "--log-format=json", "--", "---"] {
        let words = ["/var/run/argo/argoexec", "emissary", "--loglevel", value, "--", "emissary", "-"];
        let mut pod = recorded().remove(0).1;
        pod["spec"]["containers"][1]["command"] = json!(words);
        let after = Case::plain(pod).run().after;
        assert_eq!(after["spec"]["containers"][1]["command"], json!(words));
    }
}

fn sacred(case: &Case) {
    let after = case.run().after;
    let pairs = list(&case.pod["spec"], "containers").iter().zip(list(&after["spec"], "containers"));
    for (before, after) in pairs {
        assert_eq!(before.get("args"), after.get("args"));
        assert_eq!(before.get("name"), after.get("name"));
        let (old, new) = (words(before), words(after));
        if old == new {
            continue;
        }
        let at = user_argv(&old).unwrap_or_else(|| panic!("not provable: {old:?} became {new:?}"));
        assert_eq!(new[..at], old[..at]);
        assert_eq!(new[at - 1], "--");
        assert_eq!(new[at..at + 3], SHIM);
        assert_eq!(new[at + 3..], old[at..]);
        let name = text(before, "name");
        assert!(!["wait", "supervisor", "init"].contains(&name) && !name.starts_with("artifact-plugin-"), "{name}");
    }
}

fn words(container: &Value) -> Vec<&str> {
    list(container, "command").iter().map(|w| w.as_str().unwrap()).collect()
}
