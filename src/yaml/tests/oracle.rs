//! Against sigs.k8s.io/yaml itself: what it reads we read alike, and what we write it reads alike.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde::Deserialize;
use serde_json::Value;

use super::write::{json, written};
use crate::yaml::{YamlError, read};

#[derive(Debug, Deserialize)]
struct Answer {
    json: Option<Value>,
    error: Option<String>,
    strict: Option<String>,
}

impl Answer {
    /// serde takes a JSON null for an absent field.
    fn with_null(mut self) -> Self {
        if self.error.is_none() {
            self.json.get_or_insert(Value::Null);
        }
        self
    }
}

/// What Go makes of each document; `None` without Go (`make test` counts the oracle's tests as skipped then).
fn ask(documents: &[String]) -> Option<Vec<Answer>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yaml/oracle");
    let built = tempfile::tempdir().expect("a folder for the oracle");
    let binary = built.path().join("oracle");
    let run = Command::new("go").args(["build", "-o"]).arg(&binary).arg(".").current_dir(folder).output();
    match run {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("the oracle cannot be built: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("SKIPPED yaml oracle: no go: {error}");
            return None;
        }
    }
    let mut child =
        Command::new(binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the oracle starts");
    let mut stdin = child.stdin.take().expect("its input");
    let lines: Vec<String> = documents.iter().map(|d| serde_json::to_string(d).expect("a string is JSON")).collect();
    let feeder = std::thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().expect("the oracle ends");
    feeder.join().expect("the feeder ends").expect("the oracle reads all");
    assert!(output.status.success());
    let answers: Vec<Answer> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("the oracle answers in JSON");
    assert_eq!(answers.len(), documents.len());
    Some(answers.into_iter().map(Answer::with_null).collect())
}

/// The documents on which we and Go differ.
fn differences(documents: &[String]) -> Option<Vec<String>> {
    let answers = ask(documents)?;
    let mut found = Vec::new();
    for (document, answer) in documents.iter().zip(answers) {
        let ours = read(document, 1);
        if let Some(difference) = difference(&ours, &answer) {
            found.push(format!("{document:?}: {difference}"));
        }
    }
    Some(found)
}

/// What Go refuses and we do not: surrogate pairs as in JSON, odd times, tabs after a dash.
const LENIENT: [&str; 3] =
    ["invalid Unicode character escape code", "as a !!timestamp", "found character that cannot start any token"];

/// What Go passes over in silence and we refuse: whatever follows the first document.
const STRICT: [&str; 2] = ["a second document starts here", "did not find expected <document start>"];

/// Equal, up to the last digit of floats, which `serde_json` may get wrong.
fn alike(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            (a - b).abs() <= 1e-15 * a.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => ours == theirs,
    }
}

fn difference(ours: &Result<Value, YamlError>, go: &Answer) -> Option<String> {
    match (ours, &go.json) {
        (Ok(ours), Some(go)) if alike(ours, go) => None,
        (Err(_), None) => None,
        // Go overwrites the first of two equal keys, or, if asked to, refuses them. We refuse them.
        (Err(error), Some(_)) if error.message.contains("is already on line") && go.strict.is_some() => None,
        (Ok(_), None) if LENIENT.iter().any(|known| go.error.as_deref().unwrap_or("").contains(known)) => None,
        (Err(error), Some(_)) if STRICT.iter().any(|known| error.message.contains(known)) => None,
        (Ok(ours), Some(go)) => Some(format!("we read {ours}, go reads {go}")),
        (Ok(ours), None) => Some(format!("we read {ours}, go refuses: {}", go.error.as_deref().unwrap_or(""))),
        (Err(error), Some(go)) => Some(format!("we refuse: {error}; go reads {go}")),
    }
}

const SCALARS: &str = include_str!("scalars.txt");

#[test]
fn scalars_resolve_as_for_kubectl() {
    let mut documents = Vec::new();
    for scalar in SCALARS.lines() {
        documents.push(scalar.to_owned());
        documents.push(format!("v: {scalar}\n"));
        documents.push(format!("- {scalar}\n"));
        documents.push(format!("{scalar}: v\n"));
        for tag in ["str", "int", "float", "bool", "null", "binary", "timestamp", "merge", "other"] {
            documents.push(format!("v: !!{tag} {scalar}\n"));
        }
        documents.push(format!("v: !own {scalar}\n"));
        documents.push(format!("v: ! {scalar}\n"));
        documents.push(format!("v: '{scalar}'\n"));
        documents.push(format!("v: !!int '{scalar}'\n"));
    }
    let Some(found) = differences(&documents) else { return };
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), documents.len(), found.join("\n"));
}

#[test]
fn documents_read_as_for_kubectl() {
    let documents: Vec<String> = include_str!("documents.txt").split("=====\n").map(str::to_owned).collect();
    let Some(found) = differences(&documents) else { return };
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), documents.len(), found.join("\n"));
}

#[test]
fn what_we_write_kubectl_reads() {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(7), ..Config::default() });
    let values: Vec<Value> = (0..2000).map(|_| json().new_tree(&mut runner).expect("a value").current()).collect();
    let documents: Vec<String> = values.iter().map(written).collect();
    let Some(answers) = ask(&documents) else { return };
    for ((value, document), answer) in values.iter().zip(&documents).zip(answers) {
        let expected = super::write::as_kubectl(value);
        assert!(answer.json.as_ref().is_some_and(|json| alike(json, &expected)), "{document}\n{answer:?}");
        assert_eq!(answer.strict, None, "{document}");
    }
}

#[test]
fn odd_plain_scalars_read_as_for_kubectl() {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(11), ..Config::default() });
    let numbers = "[-+.]?[0-9a-fxobXOB_.:eE+-]{0,8}";
    let words = "[yYnNtTfFoO~.<=][a-zA-Z]{0,4}";
    let strategy = prop_oneof![numbers, words];
    let documents: Vec<String> = (0..3000)
        .map(|_| strategy.new_tree(&mut runner).expect("a string").current())
        .map(|scalar| format!("v: {scalar}\n"))
        .collect();
    let Some(found) = differences(&documents) else { return };
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), documents.len(), found.join("\n"));
}
