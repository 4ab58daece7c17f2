//! `stepspan dry-run` of a thousand step pods beside `kyverno apply` of an equivalent mutate policy and `gator expand` with mutators that come
//! as near as they can, files in and out.
//!
//! `cargo bench --bench dry_run`, with `KYVERNO` and `GATOR` naming the peers' command lines; one that is not named is left out. Writes
//! the pods, made of those in `tests/recorded`, to `bench/` in the target folder. Each round runs every side in turn, through GNU
//! time for its peak memory. Prints each round, then medians, and `figure NAME VALUE` lines for `scripts/bench`.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stepspan::yaml;

mod pods;
mod timed;

use pods::{PODS, pods};
use timed::Run;

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
    match env::var_os("GATOR") {
        Some(program) => sides.push(gator(program.into(), &jobs(&pods, &dir)?)),
        None => println!("GATOR is not set: the Gatekeeper side is left out"),
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
    let (yaml, json) = (of[0], of[1]);
    for (side, peer) in sides.iter().zip(&of).skip(2) {
        let of_peer = |ours: Run| [peer.seconds / ours.seconds, peer.cpu / ours.cpu, ours.mib / peer.mib];
        let ([faster, cpu, memory], [json_faster, json_cpu, json_memory]) = (of_peer(yaml), of_peer(json));
        println!("{}: times as much CPU time: {cpu:.1} with YAML, {json_cpu:.1} with JSON", side.name);
        let name = side.name.split(' ').next().unwrap_or_default();
        println!("figure {name}_yaml_faster {faster:.1}\nfigure {name}_json_faster {json_faster:.1}");
        println!("figure {name}_memory_share {memory:.3}\nfigure {name}_json_memory_share {json_memory:.3}");
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

/// A Job for every pod, with the pod as its template: `gator` changes nothing but what is made of something else. And the namespaces, which it
/// looks for.
fn jobs(pods: &[Value], dir: &Path) -> Result<PathBuf> {
    let job = |pod: &Value| {
        let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
        let metadata = json!({"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]});
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}})
    };
    let namespaces: BTreeSet<&str> = pods.iter().filter_map(|pod| pod["metadata"]["namespace"].as_str()).collect();
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let all: Vec<Value> = namespaces.into_iter().map(namespace).chain(pods.iter().map(job)).collect();
    let (path, mut text) = (dir.join("jobs.yaml"), Vec::new());
    yaml::write_stream(&all, &mut text)?;
    fs::write(&path, text)?;
    Ok(path)
}

fn gator(program: PathBuf, input: &Path) -> Side {
    let out = input.with_file_name("out-gator.yaml");
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gator/policy.yaml");
    let [policy, input, output] = [&policy, input, &out].map(|path| path.display().to_string());
    let args = ["expand", "-n", &policy, "-n", &input, "-f", "yaml", "-o", &output].map(str::to_owned).into();
    Side { name: "gator expand", program, args, out, writes_itself: true, times: 1, runs: Vec::new() }
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
