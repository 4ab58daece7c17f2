//! Expansion against the real controller: every file of `expansion/` and `workflows/` is run, and each pod that the controller created is compared with
//! the one that was predicted from the file alone. What is not compared stands in [`likeness`].
//!
//! A pod counts where it is the first attempt of its node: of retries the first is predicted.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use stepspan::argo::expand::{self, Expansion, Library, Settings, Version};

use super::{Shared, trial};
use crate::harness::{
    Cluster, kept,
    likeness::{differences, fits, settled},
    namespace::{Namespace, describe},
    workflows,
};

/// Share of pods that have to be equal, in hundredths.
const LEAST: usize = 95;
/// Workflows that run at once.
const AT_ONCE: usize = 8;

pub fn trials(cluster: &Shared) -> Vec<Trial> {
    vec![trial(
        cluster,
        "fidelity::pods_are_what_the_controller_creates".to_owned(),
        pods_are_what_the_controller_creates,
    )]
}

/// How one workflow came out.
#[derive(Debug, Default)]
struct Score {
    pods: usize,
    equal: usize,
    wrong: Vec<String>,
}

fn pods_are_what_the_controller_creates(cluster: &Cluster) -> Result<()> {
    let mut files = workflows::read("expansion")?;
    files.extend(workflows::read("workflows")?);
    let count = files.len();
    let left = Mutex::new(VecDeque::from(files));
    let scores = Mutex::new(Vec::new());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((stem, yaml)) = next() {
                    let score = score(cluster, &stem, &yaml).unwrap_or_else(|error| Score {
                        pods: 1,
                        equal: 0,
                        wrong: vec![format!("{error:#}")],
                    });
                    scores.lock().unwrap_or_else(PoisonError::into_inner).push((stem, score));
                }
            });
        }
    });
    let mut scores = scores.into_inner().unwrap_or_else(PoisonError::into_inner);
    scores.sort_by(|left, right| left.0.cmp(&right.0));
    let total = |of: fn(&Score) -> usize| scores.iter().map(|(_, score)| of(score)).sum::<usize>();
    let (pods, equal) = (total(|score| score.pods), total(|score| score.equal));
    for (stem, score) in scores.iter().filter(|(_, score)| !score.wrong.is_empty()) {
        eprintln!("cluster: {stem}: {} of {} pods\n  {}", score.equal, score.pods, score.wrong.join("\n  "));
    }
    eprintln!("cluster: {equal} of {pods} pods of {count} workflows were predicted exactly");
    ensure!(count >= 60, "{count} workflows");
    ensure!(equal * 100 >= pods * LEAST, "{equal} of {pods} pods are equal, which is below {LEAST} %");
    Ok(())
}

fn score(cluster: &Cluster, stem: &str, yaml: &str) -> Result<Score> {
    let namespace = cluster.namespace("expand", &json!({}))?;
    let submitted = namespace.submit(yaml)?;
    let predicted = predict(cluster, &namespace, yaml, &submitted)?;
    let ended = namespace.wait_end(&submitted).with_context(|| format!("{stem} does not end"))?;
    kept::run("api", stem, &namespace, &ended)?;
    let phase = &submitted["metadata"]["annotations"]["test.stepspan.dev/phase"];
    ensure!(ended["status"]["phase"] == *phase, "ended otherwise than {phase}:\n{}", describe(&ended));
    let real: Vec<Value> = namespace.pods(&ended)?.into_iter().filter(is_first_attempt).collect();
    let mut score = Score { pods: real.len(), ..Score::default() };
    score.wrong.extend(predicted.problems.iter().map(|problem| format!("{}: {}", problem.node, problem.message)));
    for pod in &real {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        match likest(&predicted, pod) {
            None => score.wrong.push(format!("{name} was not predicted")),
            Some(predicted) => {
                let (made, real) = settled(&namespace, predicted, pod).with_context(|| name.to_owned())?;
                let differing = differences(&made, &real);
                score.equal += usize::from(differing.is_empty());
                score.wrong.extend(differing.into_iter().map(|line| format!("{name}{line}")));
            }
        }
    }
    // Steps are taken to succeed: what a failed one prevents is still predicted.
    let nodes = ended["status"]["nodes"].as_object().into_iter().flatten();
    let failed = nodes.filter(|(_, node)| node["phase"] == "Failed" || node["phase"] == "Error").count() > 0;
    for (at, pod) in predicted.pods.iter().enumerate() {
        let sure = !failed && predicted.conditions(pod.node).is_empty();
        let there = real.iter().any(|real| is_like(&pod.object, real));
        if sure && !there {
            score.pods += 1;
            score.wrong.push(format!("{} does not exist ({at})", pod.object["metadata"]["name"]));
        }
    }
    Ok(score)
}

/// What is predicted of the file and of what the API server adds to a Workflow.
fn predict(cluster: &Cluster, namespace: &Namespace<'_>, yaml: &str, submitted: &Value) -> Result<Expansion> {
    let mut library = Library::default();
    for document in yaml.split("\n---\n") {
        library.take(&stepspan::yaml::read(document, 1)?, namespace.name());
    }
    let config = cluster.api().get("/api/v1/namespaces/argo/configmaps/workflow-controller-configmap")?.accepted()?;
    let settings = Settings::new(Version::V3_7, Some(&config)).map_err(anyhow::Error::msg)?;
    let settings = Settings { executor_image: cluster.executor_image(), ..settings };
    expand::expand(submitted, namespace.name(), &library, &settings)
        .map_err(|refused| anyhow::Error::msg(refused.message))
}

fn node_name(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"].as_str().unwrap_or_default()
}

/// Whether no attempt of its node, or of one it is a part of, came before.
fn is_first_attempt(pod: &Value) -> bool {
    let later =
        |part: &str| part.split(')').next().is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0));
    !node_name(pod).split('(').skip(1).any(later)
}

fn is_like(predicted: &Value, real: &Value) -> bool {
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    fits(&name(predicted), &name(real)) && fits(node_name(predicted), node_name(real))
}

fn likest<'p>(predicted: &'p Expansion, real: &Value) -> Option<&'p Value> {
    let all = || predicted.pods.iter().map(|pod| &pod.object);
    let exact = all().find(|pod| pod["metadata"]["name"] == real["metadata"]["name"]);
    exact.or_else(|| all().find(|pod| is_like(pod, real)))
}
