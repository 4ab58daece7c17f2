//! A program's run, measured from outside: wall time, CPU time and peak memory, by GNU time.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

/// What one run took: wall time and CPU time in seconds, peak resident memory in MiB.
#[derive(Clone, Copy)]
pub struct Run {
    pub seconds: f64,
    pub cpu: f64,
    pub mib: f64,
}

impl Run {
    /// Runs a program; its exit code has to be one of `codes`. What GNU time tells goes to a file in `dir`.
    pub fn of(program: &Path, args: &[String], stdout: Stdio, dir: &Path, codes: &[i32]) -> Result<Self> {
        let peak = dir.join("peak");
        let mut command = Command::new("time");
        command.args(["-q", "-f", "%M %U %S", "-o"]).arg(&peak).arg(program).args(args);
        let began = Instant::now();
        let status = command.stdout(stdout).stderr(Stdio::null()).status().context("GNU time (Debian: time)")?;
        let seconds = began.elapsed().as_secs_f64();
        if !status.code().is_some_and(|code| codes.contains(&code)) {
            bail!("{}: {status}", program.display());
        }
        let told: Vec<f64> = fs::read_to_string(&peak)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [kib, user, system] = told[..] else { bail!("GNU time told {told:?}") };
        Ok(Self { seconds, cpu: user + system, mib: kib / 1024.0 })
    }

    /// The medians of several.
    pub fn medians(runs: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self { seconds: median(|run| run.seconds), cpu: median(|run| run.cpu), mib: median(|run| run.mib) }
    }

    /// For people.
    pub fn shown(self) -> String {
        format!("{:8.3} s, {:6.2} s of CPU, {:6.1} MiB", self.seconds, self.cpu, self.mib)
    }
}
