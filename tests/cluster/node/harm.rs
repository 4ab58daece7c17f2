//! What happens to steps: which processes and pods are theirs, and how they are ended.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{cases::watch::text, harness::namespace::Namespace};

/// After the controller has written that a node runs, it may still work with what it read before; a pod that is gone then is made anew.
pub const KNOWN: Duration = Duration::from_secs(3);

/// The process whose command is `sleep SECONDS`; the executor and the shim before it have more words.
pub fn process(seconds: &str) -> Result<Option<i32>> {
    for id in processes()? {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
        if let [program, argument] = words.as_slice()
            && program.ends_with(b"sleep")
            && *argument == seconds.as_bytes()
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// All processes of its container: they share their control groups.
pub fn beside(of: i32) -> Result<Vec<i32>> {
    let groups = |id: i32| fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap_or_default();
    let own = groups(of);
    let all: Vec<i32> = processes()?.into_iter().filter(|id| groups(*id) == own).collect();
    ensure!((2..10).contains(&all.len()), "{} processes in {own}", all.len());
    Ok(all)
}

/// All processes.
pub fn processes() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Sends it a signal.
pub fn kill(id: i32, signal: Signal) -> Result<()> {
    match kill_process(Pid::from_raw(id).context("no process")?, signal) {
        // The first of a container takes the others with it.
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The pod of the step with this name.
pub fn pod_of(namespace: &Namespace<'_>, step: &str) -> Result<String> {
    let suffix = format!("].{step}");
    let pods = namespace.list("pods")?;
    let is_it = |pod: &&Value| {
        let name = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"].as_str();
        name.is_some_and(|name| name.ends_with(&suffix))
    };
    let pod = pods.iter().find(is_it).with_context(|| format!("no pod of {step}"))?;
    Ok(text(&pod["metadata"]["name"])?.to_owned())
}

/// Processes of a container's whose command line has this word, by a variable of their environment: those of one pod.
pub fn of_pod(word: &str, variable: &str, value: &str) -> Result<Vec<i32>> {
    let has = |file: String, wanted: &str| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.split(|byte| *byte == 0).any(|part| part == wanted.as_bytes())
    };
    let wanted = format!("{variable}={value}");
    let is_it = |id: &i32| has(format!("/proc/{id}/cmdline"), word) && has(format!("/proc/{id}/environ"), &wanted);
    Ok(processes()?.into_iter().filter(is_it).collect())
}
