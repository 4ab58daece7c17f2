//! The processes of the webhook's pods, as the node sees them.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// The process ids of all replicas of the release in a namespace.
pub fn all(home: &str) -> Result<Vec<i32>> {
    let ours = format!("--webhook-configuration=stepspan-{home}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may be gone by now.
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|arg| arg == ours.as_bytes()) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Resident memory, in KiB (`proc_pid_status(5)`).
pub fn resident(id: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Processor time, of user and system (`proc_pid_stat(5)`), in steps of 10 ms.
pub fn cpu(id: i32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
