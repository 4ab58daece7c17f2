//! `stepspan test` of a thousand cases beside `kyverno test` of as many: each has a step pod and the whole pod that must come out.
//!
//! `cargo bench --bench suite`, with `KYVERNO` naming the Kyverno CLI; without it only stepspan is measured. Writes both suites to
//! `bench/suite` in the target folder: the pods are made of those in `tests/recorded`, what is expected is what `dry-run` and `kyverno apply` make of
//! them. Before anything is measured, each side has to fail where one label of one pod is expected to be another. Each round runs every side in
//! turn, through GNU time. Prints each round, then medians, and `figure NAME VALUE` lines for `scripts/bench`.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::{
    collections::HashMap,
    env, fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stepspan::yaml;

mod pods;
mod timed;

use pods::{PODS, pods};
use timed::Run;

const ROUNDS: usize = 3;
/// The cases of a suite of ours.
const CASES: usize = 100;
/// A label that both policies give; the case that must fail expects another value.
const LABEL: &str = "/metadata/labels/agent";

struct Side {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    /// What it prints, and how often, where every case was compared and holds.
    proof: (String, usize),
    runs: Vec<Run>,
}

fn main() -> Result<()> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench").join("suite");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let pods = pods()?;
    let all = dir.join("pods.yaml");
    let mut text = Vec::new();
    yaml::write_stream(&pods, &mut text)?;
    fs::write(&all, text)?;

    let mut sides = vec![ours(&pods, &all, &dir)?];
    match env::var_os("KYVERNO") {
        Some(program) => sides.push(kyverno(program.into(), &pods, &all, &dir)?),
        None => println!("KYVERNO is not set: the Kyverno side is left out"),
    }
    for round in 1..=ROUNDS {
        for side in &mut sides {
            let run = side.run(&dir, 0)?;
            println!("round {round}  {:<13} {}", side.name, run.shown());
            side.runs.push(run);
        }
    }
    let of: Vec<Run> = sides.iter().map(|side| Run::medians(&side.runs)).collect();
    for (side, run) in sides.iter().zip(&of) {
        println!("median   {:<13} {}", side.name, run.shown());
    }
    if let [ours, kyverno] = of[..] {
        println!("times as much CPU time: {:.1}", kyverno.cpu / ours.cpu);
        println!(
            "figure faster {:.1}\nfigure memory_share {:.3}",
            kyverno.seconds / ours.seconds,
            ours.mib / kyverno.mib
        );
    }
    Ok(())
}

impl Side {
    /// Runs it once; all cases have to hold, or where it has to fail, all but one.
    fn run(&self, dir: &Path, code: i32) -> Result<Run> {
        let out = dir.join("out");
        let run = Run::of(&self.program, &self.args, fs::File::create(&out)?.into(), dir, &[code])?;
        let compared = fs::read_to_string(&out)?.matches(&self.proof.0).count() == self.proof.1;
        ensure!(compared == (code == 0), "{}: not what was to be compared: {}", self.name, out.display());
        Ok(run)
    }

    /// With one expectation changed it has to fail.
    fn fails(&self, dir: &Path, file: &Path, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(file)?;
        ensure!(text.contains(from), "{}: no {from}", file.display());
        fs::write(file, text.replacen(from, to, 1))?;
        self.run(dir, 1).with_context(|| format!("{} does not see a wrong label", self.name))?;
        Ok(fs::write(file, text)?)
    }
}

/// What a program writes of the pods, in the order of the pods.
fn expected(command: &mut Command, out: &Path, pods: &[Value]) -> Result<Vec<Value>> {
    ensure!(command.stderr(Stdio::null()).status()?.success(), "{command:?}");
    let mut by_name = HashMap::new();
    for document in yaml::documents(BufReader::new(fs::File::open(out)?)) {
        let value = document.ok().context("a document")?.read().ok().context("a document's value")?;
        by_name.insert(value["metadata"]["name"].to_string(), value);
    }
    let patched = pods.iter().map(|pod| by_name.remove(&pod["metadata"]["name"].to_string()));
    patched.collect::<Option<_>>().with_context(|| format!("{command:?}: a pod is missing"))
}

fn write(path: &Path, value: &Value) -> Result<()> {
    let mut text = Vec::new();
    yaml::write(value, &mut text)?;
    Ok(fs::write(path, text)?)
}

fn ours(pods: &[Value], all: &Path, dir: &Path) -> Result<Side> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_stepspan"));
    let out = dir.join("dry-run.yaml");
    let mut command = Command::new(&program);
    let patched =
        expected(command.args(["dry-run", "-o", "yaml"]).arg(all).stdout(fs::File::create(&out)?), &out, pods)?;
    let folder = dir.join("stepspan");
    let policy = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/agent-steps/policy.yaml"))?;
    for (suite, cases) in pods.iter().zip(&patched).collect::<Vec<_>>().chunks(CASES).enumerate() {
        let suite = folder.join(suite.to_string());
        fs::create_dir_all(&suite)?;
        fs::write(suite.join("policy.yaml"), &policy)?;
        let mut written = Vec::new();
        for (i, (pod, patched)) in cases.iter().enumerate() {
            let file = format!("{i}.yaml");
            write(&suite.join(&file), pod)?;
            written.push(json!({"name": pod["metadata"]["name"], "input": {"file": file}, "expect": {"pod": patched}}));
        }
        let tests = json!({"apiVersion": "stepspan.dev/v1alpha1", "kind": "PolicyTest", "cases": written});
        write(&suite.join("tests.yaml"), &tests)?;
    }
    let args = vec!["test".to_owned(), "-o".to_owned(), "json".to_owned(), folder.display().to_string()];
    let proof = ("\"passed\":true".to_owned(), PODS);
    let side = Side { name: "stepspan test", program, args, proof, runs: Vec::new() };
    let label = patched[0].pointer(LABEL).and_then(Value::as_str).context("a label")?;
    side.fails(dir, &folder.join("0/tests.yaml"), &format!("agent: {label}"), "agent: wrong")?;
    Ok(side)
}

fn kyverno(program: PathBuf, pods: &[Value], all: &Path, dir: &Path) -> Result<Side> {
    let (folder, out) = (dir.join("kyverno"), dir.join("kyverno-apply.yaml"));
    fs::create_dir_all(folder.join("expected"))?;
    let policy = folder.join("policy.yaml");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kyverno/policy.yaml"), &policy)?;
    let mut command = Command::new(&program);
    let command =
        command.arg("apply").arg(&policy).arg("--resource").arg(all).arg("--output").arg(&out).stdout(Stdio::null());
    let patched = expected(command, &out, pods)?;
    let mut results = Vec::new();
    for (i, patched) in patched.iter().enumerate() {
        let file = format!("expected/{i}.yaml");
        write(&folder.join(&file), patched)?;
        let [namespace, name] = ["namespace", "name"].map(|key| patched["metadata"][key].as_str().unwrap_or_default());
        let pod = format!("{namespace}/{name}");
        // The rule that comes last: the pod is compared once.
        results.push(json!({"policy": "agent-steps", "rule": "container", "kind": "Pod", "resources": [pod], "patchedResources": file, "result": "pass"}));
    }
    let test = json!({
        "apiVersion": "cli.kyverno.io/v1alpha1", "kind": "Test", "metadata": {"name": "steps"},
        "policies": ["policy.yaml"], "resources": [all], "results": results,
    });
    write(&folder.join("kyverno-test.yaml"), &test)?;
    let args = vec!["test".to_owned(), folder.display().to_string()];
    let proof = (format!("{PODS} tests passed and 0 tests failed"), 1);
    let side = Side { name: "kyverno test", program, args, proof, runs: Vec::new() };
    let label = patched[0].pointer(LABEL).and_then(Value::as_str).context("a label")?;
    side.fails(dir, &folder.join("expected/0.yaml"), &format!("agent: {label}"), "agent: wrong")?;
    Ok(side)
}
