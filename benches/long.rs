//! Long inputs: `stepspan replay` of 100,000 records beside the parse of their lines, `stepspan dry-run` of 10,000 Workflows; and that neither
//! takes more memory than a tenth of it does.
//!
//! `cargo bench --bench long`. The records are those of `tests/cmd/replay.in`, the Workflows those of `tests/cluster/workflows`, again and again.
//! Prints each round, then medians, and `figure NAME VALUE` lines for `scripts/bench`.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::{
    fs,
    io::{BufWriter, Write as _},
    num::NonZero,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Instant,
};

use anyhow::{Result, ensure};
use serde_json::Value;

mod timed;

use timed::Run;

const RECORDS: usize = 100_000;
const WORKFLOWS: usize = 10_000;
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&dir)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    replay(&dir, root)?;
    workflows(&dir, root)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// A file of so many texts, again and again those given.
fn repeated(path: &Path, texts: impl Iterator<Item = String> + Clone, count: usize) -> Result<PathBuf> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for text in texts.cycle().take(count) {
        file.write_all(text.as_bytes())?;
    }
    file.flush()?;
    Ok(path.to_owned())
}

fn replay(dir: &Path, root: &Path) -> Result<()> {
    let samples = fs::read_to_string(root.join("tests/cmd/replay.in/reviews.jsonl"))?;
    let write = |name: &str, count| repeated(&dir.join(name), samples.lines().map(|line| format!("{line}\n")), count);
    let (all, tenth) = (write("records.jsonl", RECORDS)?, write("records-tenth.jsonl", RECORDS / 10)?);
    let newer = root.join("tests/cmd/replay.in/team.yaml").display().to_string();
    let (mut one, mut two, mut of_tenth, mut floor) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let run = |log: &Path, more: &[&str]| {
            let log = log.display().to_string();
            let args =
                ["replay", "-o", "json", "--log", &log].iter().chain(more).map(ToString::to_string).collect::<Vec<_>>();
            Run::of(Path::new(env!("CARGO_BIN_EXE_stepspan")), &args, Stdio::null(), dir, &[0, 1])
        };
        one.push(run(&all, &[])?);
        two.push(run(&all, &["--policy-new", &newer])?);
        of_tenth.push(run(&tenth, &["--policy-new", &newer])?);
        floor.push(parse(&all)?);
        for (name, runs) in [("one policy set", &one), ("two policy sets", &two), ("a tenth, two sets", &of_tenth)] {
            println!("round {round}  replay, {name:<18} {}", runs[round - 1].shown());
        }
        println!("round {round}  parse of the lines         {:8.3} s", floor[round - 1]);
    }
    let [one, two, of_tenth] = [&one, &two, &of_tenth].map(|runs| Run::medians(runs));
    floor.sort_by(f64::total_cmp);
    let floor = floor[floor.len() / 2];
    println!("{RECORDS} records ({} MB):", fs::metadata(&all)?.len() / 1_000_000);
    println!("median   replay, one policy set     {}", one.shown());
    println!("median   replay, two policy sets    {}", two.shown());
    println!("median   parse of the lines         {floor:8.3} s, on as many cores");
    println!("figure replay_one_of_parse {:.2}", one.seconds / floor);
    println!("figure replay_two_of_parse {:.2}", two.seconds / floor);
    println!("figure replay_memory_growth {:.2}", two.mib / of_tenth.mib);
    Ok(())
}

/// Seconds that it takes to parse each line to a value and drop it, on all cores.
fn parse(file: &Path) -> Result<f64> {
    let text = fs::read(file)?;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    ensure!(lines.len() == RECORDS, "{} lines", lines.len());
    let began = Instant::now();
    thread::scope(|scope| {
        for part in lines.chunks(lines.len().div_ceil(cores())) {
            scope.spawn(move || part.iter().filter(|line| serde_json::from_slice::<Value>(line).is_ok()).count());
        }
    });
    Ok(began.elapsed().as_secs_f64())
}

fn workflows(dir: &Path, root: &Path) -> Result<()> {
    let mut samples = Vec::new();
    for entry in fs::read_dir(root.join("tests/cluster/workflows"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        if path.extension().is_some_and(|end| end == "yaml") && !text.contains("emplateRef") {
            samples.extend(text.split("\n---\n").filter(|text| text.contains("kind: Workflow\n")).map(str::to_owned));
        }
    }
    ensure!(!samples.is_empty(), "no sample workflows");
    let write =
        |name: &str, count| repeated(&dir.join(name), samples.iter().map(|text| format!("---\n{text}\n")), count);
    let (all, tenth) = (write("workflows.yaml", WORKFLOWS)?, write("workflows-tenth.yaml", WORKFLOWS / 10)?);
    let (mut whole, mut of_tenth) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let run = |file: &Path| {
            let args = ["dry-run", "-o", "diff"].map(str::to_owned).into_iter().chain([file.display().to_string()]);
            let program = Path::new(env!("CARGO_BIN_EXE_stepspan"));
            Run::of(program, &args.collect::<Vec<_>>(), Stdio::null(), dir, &[0])
        };
        whole.push(run(&all)?);
        of_tenth.push(run(&tenth)?);
        println!("round {round}  dry-run, {WORKFLOWS} Workflows  {}", whole[round - 1].shown());
        println!("round {round}  dry-run, a tenth of them  {}", of_tenth[round - 1].shown());
    }
    let (whole, of_tenth) = (Run::medians(&whole), Run::medians(&of_tenth));
    println!("median   dry-run, {WORKFLOWS} Workflows  {}", whole.shown());
    println!("figure workflows_memory_growth {:.2}", whole.mib / of_tenth.mib);
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let cores = cores() as f64;
    println!("figure workflows_cores_share {:.2}", whole.cpu / whole.seconds / cores);
    Ok(())
}
