//! `stepspan dry-run` of a thousand step pods beside `kyverno apply` of an equivalent mutate policy, files in and out.
//!
//! `cargo bench --bench dry_run`, with `KYVERNO` naming the Kyverno CLI; without it only stepspan is measured. Writes
//! the pods, made of those in `tests/recorded`, to `bench/` in the target folder. Each round runs every side in turn, through GNU
//! time for its peak memory. Prints each round, then medians, and `figure NAME VALUE` lines for `scripts/bench`.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stepspan::{
    admission::{Outcome, review},
    context::Context,
    policy::{PolicySet, compile::Rules},
    yaml,
};

mod timed;

use timed::Run;

const PODS: usize = 1000;
const ROUNDS: usize = 5;
/// Our runs are short: several stand for a round, so that chance weighs as little as with the long ones.
const OURS_A_ROUND: usize = 4;
/// What only a patched pod holds.
const PROOF: &[u8] = b"stepspan-init";

/// A command line that reads the pods and writes them patched.
struct Side {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    /// It writes this file itself, else its stdout goes there.
    out: PathBuf,
    writes_itself: bool,
    times: usize,
    runs: Vec<Run>,
}

fn main() -> Result<()> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&dir)?;
    let (yaml, json) = (dir.join("pods.yaml"), dir.join("pods.json"));
    let pods = pods()?;
    let mut text = Vec::new();
    yaml::write_stream(&pods, &mut text)?;
    fs::write(&yaml, &text)?;
    let lines: Vec<String> = pods.iter().map(Value::to_string).collect();
    fs::write(&json, lines.join("\n"))?;
    println!("{PODS} step pods: {} bytes of YAML, {} of JSON", text.len(), fs::metadata(&json)?.len());

    let mut sides = vec![ours("dry-run, YAML", &yaml, "yaml"), ours("dry-run, JSON", &json, "json")];
    match env::var_os("KYVERNO") {
        Some(program) => sides.push(kyverno(program.into(), &yaml)),
        None => println!("KYVERNO is not set: the Kyverno side is left out"),
    }
    for round in 1..=ROUNDS {
        for side in &mut sides {
            for _ in 0..side.times {
                side.run(&dir)?;
            }
            let last = &side.runs[side.runs.len() - side.times..];
            println!("round {round}  {:<15} {}", side.name, Run::medians(last).shown());
        }
    }
    report(&sides);
    Ok(())
}

fn report(sides: &[Side]) {
    let of: Vec<Run> = sides.iter().map(|side| Run::medians(&side.runs)).collect();
    for (side, run) in sides.iter().zip(&of) {
        println!("median   {:<15} {} of {} runs", side.name, run.shown(), side.runs.len());
    }
    if let [yaml, json, kyverno] = of[..] {
        println!(
            "figure yaml_faster {:.1}\nfigure json_faster {:.1}",
            kyverno.seconds / yaml.seconds,
            kyverno.seconds / json.seconds
        );
        println!(
            "times less CPU time: {:.1} with YAML, {:.1} with JSON",
            kyverno.cpu / yaml.cpu,
            kyverno.cpu / json.cpu
        );
        println!(
            "figure memory_share {:.3}\nfigure json_memory_share {:.3}",
            yaml.mib / kyverno.mib,
            json.mib / kyverno.mib
        );
    }
}

fn ours(name: &'static str, input: &Path, format: &str) -> Side {
    let args = ["dry-run", "-o", format].map(str::to_owned).into_iter().chain([input.display().to_string()]).collect();
    let program = env!("CARGO_BIN_EXE_stepspan").into();
    Side { name, program, args, out: output(input), writes_itself: false, times: OURS_A_ROUND, runs: Vec::new() }
}

fn kyverno(program: PathBuf, input: &Path) -> Side {
    let out = input.with_file_name("out-kyverno.yaml");
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kyverno/policy.yaml");
    let [policy, input, output] = [&policy, input, &out].map(|path| path.display().to_string());
    let args = ["apply".to_owned(), policy, "--resource".to_owned(), input, "--output".to_owned(), output].into();
    Side { name: "kyverno apply", program, args, out, writes_itself: true, times: 1, runs: Vec::new() }
}

fn output(input: &Path) -> PathBuf {
    let extension = input.extension().unwrap_or_default();
    input.with_file_name("out-stepspan").with_extension(extension)
}

impl Side {
    /// Runs it once. All pods must come out patched.
    fn run(&mut self, dir: &Path) -> Result<()> {
        // Kyverno adds to a file that is there.
        let _ = fs::remove_file(&self.out);
        let stdout = if self.writes_itself { Stdio::null() } else { fs::File::create(&self.out)?.into() };
        let run = Run::of(&self.program, &self.args, stdout, dir, &[0])?;
        let patched = memchr::memmem::find_iter(&fs::read(&self.out)?, PROOF).count();
        ensure!(patched == PODS, "{}: {patched} of {PODS} pods came out patched", self.name);
        self.runs.push(run);
        Ok(())
    }
}

/// The recorded pods that the embedded policy injects, again and again, each with a name and in one of ten namespaces. They are made
/// manifests again: without `managedFields`, and without the token that the API server mounts into every container.
fn pods() -> Result<Vec<Value>> {
    let policies = PolicySet::embedded(&Rules::default()).ok().context("the embedded policy")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut recorded = Vec::new();
    for file in files.iter().filter(|file| file.to_string_lossy().ends_with("-pod.json")) {
        let bytes = fs::read(file)?;
        if review(&bytes, &policies, &Context::default()).outcome == Outcome::Injected {
            let mut pod = serde_json::from_slice::<Value>(&bytes)?["request"]["object"].take();
            pod["metadata"].as_object_mut().context("metadata")?.shift_remove("managedFields");
            without_token(&mut pod["spec"]);
            recorded.push(pod);
        }
    }
    ensure!(!recorded.is_empty(), "no recorded step pods");
    let renamed = (0..PODS).map(|i| {
        let mut pod = recorded[i % recorded.len()].clone();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        pod["metadata"]["name"] = format!("{name}-{i:04}").into();
        pod["metadata"]["namespace"] = format!("team-{}", i % 10).into();
        pod
    });
    let pods = renamed.collect();
    Ok(pods)
}

fn without_token(spec: &mut Value) {
    let keep = |entries: &mut Value| {
        if let Value::Array(entries) = entries {
            entries.retain(|entry| !entry["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-")));
        }
    };
    keep(&mut spec["volumes"]);
    for kind in ["initContainers", "containers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(kind) {
            for container in containers {
                keep(&mut container["volumeMounts"]);
            }
        }
    }
}
